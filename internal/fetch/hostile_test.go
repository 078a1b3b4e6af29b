package fetch

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/failure"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// TestFeedbackIsBounded: an engine that always has something to say keeps a step no longer than
// maxFeedback packets.
func TestFeedbackIsBounded(t *testing.T) {
	p := newPeer(t, 4)
	s := p.checked()
	// No packet can ask for that: wire refuses it.
	s.engine.HandleHeartbeat(s.now(), wire.Heartbeat{Session: ourSession, State: wire.SenderStreaming, ReportInterval: 1})
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	if at != s.cfg.Offer.Server {
		t.Fatalf("the peer is at %v", at)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.sendFeedback()
	}()
	buf := make([]byte, 2048)
	reports := 0
	for over := false; !over; {
		p.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, _, err := p.conn.ReadFromUDPAddrPort(buf); err == nil {
			if reports++; reports > maxFeedback {
				t.Fatalf("a step says more than %d packets", maxFeedback)
			}
			continue
		}
		select {
		case <-ended:
			over = true
		default:
		}
	}
	if reports != maxFeedback {
		t.Errorf("a step said %d packets", reports)
	}
}

// TestOnlyTheSource: packets of the group count only from where the server's description says that
// the stream comes from.
func TestOnlyTheSource(t *testing.T) {
	p := newPeer(t, 2)
	cfg := p.config()
	cfg.Offer.Session.Data = netip.MustParseAddrPort("239.255.77.9:16999")
	lo := loopback(t)
	s, err := newStreams(&cfg, false)
	if err != nil {
		t.Skip(err)
	}
	defer cfg.Conn.Close()
	defer p.conn.Close()
	defer s.close()
	if err := s.group.Rejoin(lo); err != nil { // for any source
		t.Fatal(err)
	}
	stranger, err := udp.Listen(udp.ConnConfig{Interfaces: []udp.Interface{lo}})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	send := func(from *udp.Conn, text string) {
		t.Helper()
		if err := from.WriteTo([]byte(text), cfg.Offer.Session.Data, lo.Index); err != nil {
			t.Skip(err)
		}
	}
	server, err := udp.Listen(udp.ConnConfig{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Interfaces: []udp.Interface{lo}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.source = server.LocalAddr()
	send(stranger, "a stranger's")
	send(server, "the server's")
	for len(s.inbox) == 0 {
		if _, _, err := s.receive(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if string(s.inbox[0]) != "the server's" || s.strangers != 1 {
		t.Errorf("%q came, and %d packets of strangers", s.inbox[0], s.strangers)
	}
}

// TestEndsWhenAsked: heartbeats that end the session change nothing while the server answers that
// it goes on, and its own word ends the client.
func TestEndsWhenAsked(t *testing.T) {
	for _, state := range []wire.SenderState{wire.SenderStreaming, wire.SenderImageChanged} {
		p := newPeer(t, 3)
		p.answer = func() *wire.Answer { return &wire.Answer{Given: true, State: state, Sequence: p.sequence} }
		p.holds = func() bool { return p.offers < 3 && state == wire.SenderStreaming }
		_, err := p.run(func() {
			p.told = p.completion()
			p.send(wire.Heartbeat{
				Session: p.session, Sequence: p.sequence, State: wire.SenderImageChanged, Receivers: 1, ReportInterval: time.Second,
			}.AppendTo(nil))
		}, nil)
		if ended := errors.Is(err, failure.ErrIntegrity); ended != (state == wire.SenderImageChanged) || !ended && err != nil {
			t.Errorf("the server is in state %d: %v", state, err)
		}
		if p.offers == 0 {
			t.Errorf("state %d: the server was not asked", state)
		}
	}
}

// TestAnswersRepeatThePrivateNumber: a description of the session without its private number is
// not the server's.
func TestAnswersRepeatThePrivateNumber(t *testing.T) {
	p := newPeer(t, 2)
	s := p.checked()
	s.cfg.Offer.Session.Answer = wire.Answer{Given: true, Private: 5}
	s.description.Answer = s.cfg.Offer.Session.Answer
	for private, want := range map[wire.PrivateNumber]wire.Token{6: 99, 0: 99, 5: 1234} {
		s.description.Token = 99
		d := p.description()
		d.Token, d.Answer = 1234, wire.Answer{Given: true, Private: private}
		o := s.cfg.Offer
		o.Session = &d
		if err := s.handleAnswer(&o); err != nil || s.description.Token != want {
			t.Errorf("private number %d: %v, token %d", private, err, s.description.Token)
		}
	}
}
