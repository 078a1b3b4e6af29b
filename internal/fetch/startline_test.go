package fetch

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"multiserver/internal/failure"
	"multiserver/internal/mxb1"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// unsettled makes cfg that of a client that has just found the peer, and gives other servers that
// long to answer too.
func (p *peer) unsettled(cfg *Config, grace time.Duration) {
	p.t.Helper()
	cfg.Search.Grace, cfg.Search.Interfaces = grace, []udp.Interface{loopback(p.t)}
	cfg.Search.ControlPort = cfg.Offer.Server.Port()
	p.client = netip.AddrPortFrom(cfg.Offer.Server.Addr(), cfg.Conn.LocalAddr().Port())
	d := p.description()
	p.send(d.AppendTo(nil))
	p.client = netip.AddrPort{}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		buf := make([]byte, 2048)
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			p.t.Error(err)
			return
		}
		for ; ; n, from, err = p.conn.ReadFromUDPAddrPort(buf) {
			if err != nil {
				p.t.Error(err)
				return
			}
			_, payload, _ := mxb1.Parse(buf[:n])
			if offer, err := wire.ParseOffer(payload); err == nil && offer.Private {
				p.number = offer.Receiver
				p.answerOffer(buf[:n], from)
				return
			}
		}
	}()
	defer func() { <-answered }()
	var err error
	if cfg.Offer, err = cfg.Search.Find(p.t.Context(), cfg.Conn); err != nil {
		p.t.Fatal(err)
	}
	if cfg.Offer.Stands() {
		p.t.Fatal("the offer stands at once")
	}
}

// TestTargetWaits: while other servers may still answer, the client receives all of the image and
// does nothing to its target; and a server with another image ends it.
func TestTargetWaits(t *testing.T) {
	rival, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer rival.Close()
	for _, update := range []bool{false, true} {
		p := newPeer(t, 8, 1, 4)
		p.target.content, p.told = true, p.completion()
		before := bytes.Clone(p.target.image)
		held := false
		p.report = func(r wire.Report) {
			p.heartbeat()
			// Six blocks are in, and those of zeros need no room.
			if held = r.Backlog >= 6 && r.Counts.Received > 0; !held {
				return
			}
			if r.Limit == wire.LimitDisk {
				t.Error("it blames the disk")
			}
			d := p.description()
			d.Identity[0]++
			if _, err := rival.WriteToUDPAddrPort(d.AppendTo(nil), p.client); err != nil {
				t.Error(err)
			}
		}
		_, err := p.run(func() { p.sendImage(); p.sendManifest() }, func(cfg *Config) {
			cfg.Update = update
			p.unsettled(cfg, time.Hour)
			cfg.Offer.Session.ReportInterval = 20 * time.Millisecond
		})
		if !errors.Is(err, failure.ErrIntegrity) || !strings.Contains(err.Error(), "two servers answer") || !held {
			t.Errorf("all received: %v; it ended with %v", held, err)
		}
		if did := p.target.done(); len(did) > 0 || !bytes.Equal(p.target.image, before) {
			t.Errorf("it did %q", did)
		}
		if p.goodbye.Outcome != wire.OutcomeIntegrity {
			t.Errorf("it said goodbye with %v", p.goodbye.Outcome)
		}
	}
}

// TestTargetIsPrepared: once the offer stands the target is prepared, what it held is put on the
// device, and only then anything is read or written.
func TestTargetIsPrepared(t *testing.T) {
	no := errors.New("no")
	for _, c := range []struct {
		name           string
		update         bool
		refuses, flush error
		first          []string // of what is done
		kept           uint64
		outcome        wire.Outcome
	}{
		{"nothing held", false, nil, nil, []string{"prepare"}, 0, wire.OutcomeDone},
		{"update", true, nil, nil, []string{"prepare", "flush"}, 2 * blockBytes, wire.OutcomeDone},
		{"what is held cannot be put on the device", true, nil, no, []string{"prepare", "flush"}, 0, wire.OutcomeDone},
		{"refused", true, failure.New(target.ErrRefused, "no"), nil, []string{"prepare"}, 0, wire.OutcomeTargetRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 4)
			p.target.content, p.target.refuses, p.target.flushFails = c.update, c.refuses, c.flush
			if c.update {
				copy(p.target.image, p.image[:2*blockBytes])
			}
			p.told = p.completion()
			figures, err := p.run(func() { p.sendManifest() }, func(cfg *Config) {
				cfg.Update = c.update
				p.unsettled(cfg, time.Millisecond)
			})
			if !errors.Is(err, c.refuses) || p.goodbye.Outcome != c.outcome {
				t.Errorf("it ended with %v, and said goodbye with %v", err, p.goodbye.Outcome)
			}
			did := p.target.done()
			if len(did) < len(c.first) || !slices.Equal(did[:len(c.first)], c.first) {
				t.Errorf("it did %q", did)
			}
			if c.refuses != nil && len(did) > len(c.first) {
				t.Errorf("it did %q", did)
			}
			if c.refuses == nil && !bytes.Equal(p.target.image, p.image) || figures.BytesKept != c.kept {
				t.Errorf("%d bytes are kept, want %d", figures.BytesKept, c.kept)
			}
			if c.flush != nil && slices.ContainsFunc(did, func(did string) bool { return strings.HasPrefix(did, "read") }) {
				t.Errorf("it read what may not be on the device: %q", did)
			}
		})
	}
}
