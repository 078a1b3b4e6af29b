package legacy

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/mxb1"
	"multiserver/internal/udp"
)

// confirming is a reception that has all blocks, a fake server that it asks, and the channel by
// which answers come.
func confirming(t *testing.T, hasTrailer bool) (*reception, *net.UDPConn, chan discover.Offer) {
	t.Helper()
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	iface, err := udp.InterfaceByName("lo")
	if err != nil {
		t.Skip("no loopback interface is up here")
	}
	conn, err := udp.Listen(udp.ConnConfig{Interfaces: []udp.Interface{iface}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &reception{cfg: ReceiveConfig{
		Conn: conn, Account: new(account.Client), Log: slog.New(slog.DiscardHandler), ReceiveLimit: 10 * time.Second,
		Offer: discover.Offer{
			Name: "the.img", SizeBytes: 5000, Identity: 1, HasTrailer: hasTrailer,
			Server: server.LocalAddr().(*net.UDPAddr).AddrPort(),
		},
	}}, server, make(chan discover.Offer, 8)
}

// TestConfirm: after the last block, the server is asked whether they were of one image. An
// answer that came before that question tells nothing.
func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*discover.Offer) // of the answer
		fails  bool
	}{
		{"the same image", func(*discover.Offer) {}, false},
		{"another version", func(o *discover.Offer) { o.Identity++ }, true},
		{"another image", func(o *discover.Offer) { o.Name = "other.img" }, true},
		{"an original server", func(o *discover.Offer) { o.HasTrailer, o.Identity = false, 0 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, server, answers := confirming(t, true)
			answers <- r.cfg.Offer // stale
			asked := make(chan error, 1)
			go func() {
				buf := make([]byte, 1500)
				n, _, err := server.ReadFromUDPAddrPort(buf)
				if err == nil {
					if h, _, e := mxb1.Parse(buf[:n]); e != nil || h.Op != mxb1.OpMapRequest {
						err = errors.New("it asks something else")
					}
				}
				asked <- err
				answer := r.cfg.Offer
				c.change(&answer)
				answers <- answer
			}()
			err := r.confirm(t.Context(), answers)
			if c.fails != errors.Is(err, failure.ErrIntegrity) || !c.fails && err != nil {
				t.Errorf("it ended with %v", err)
			}
			if err := <-asked; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestConfirmAtOnce: an original server is not asked, and a stale answer of another image ends
// the client without a question.
func TestConfirmAtOnce(t *testing.T) {
	r, _, answers := confirming(t, false)
	if err := r.confirm(t.Context(), answers); err != nil {
		t.Errorf("an original server: %v", err)
	}
	r, _, answers = confirming(t, true)
	other := r.cfg.Offer
	other.Identity++
	answers <- other
	if err := r.confirm(t.Context(), answers); !errors.Is(err, failure.ErrIntegrity) {
		t.Errorf("another image: %v", err)
	}
}

// TestConfirmLimit: a server that says nothing any more ends the client.
func TestConfirmLimit(t *testing.T) {
	r, _, answers := confirming(t, true)
	r.cfg.ReceiveLimit = 1
	if err := r.confirm(t.Context(), answers); !errors.Is(err, failure.ErrTimeLimit) {
		t.Errorf("it ended with %v", err)
	}
}

// TestSources: two senders cannot be told apart.
func TestSources(t *testing.T) {
	image := randomBytes(5000)
	server := netip.MustParseAddrPort("10.0.0.1:7500")
	r := &reception{
		cfg:    ReceiveConfig{Offer: discover.Offer{SizeBytes: 5000, Server: server}},
		engine: mxb1.NewReceiver(time.Unix(0, 0), mxb1.ReceiverConfig{SizeBytes: 5000, QuietTime: time.Second, Server: server}),
	}
	r.gather = newGatherer(writerConfig(image))
	packet := append(mxb1.Header{Op: mxb1.OpBlock, Size: mxb1.BlockSize}.AppendTo(nil), image[:mxb1.BlockSize]...)
	now := time.Unix(1, 0)
	for _, from := range []string{"10.0.0.1:16001", "10.0.0.1:16002", "10.0.0.1:16001"} {
		r.handle(now, []udp.Datagram{{Payload: packet, Source: netip.MustParseAddrPort(from)}})
	}
	if !r.conflict.IsValid() || r.counts.PacketsReceived != 1 {
		t.Errorf("the conflict is %v, the counts are %+v", r.conflict, r.counts)
	}
}
