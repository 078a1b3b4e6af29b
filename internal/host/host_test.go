package host

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multiserver/internal/image"
	"multiserver/internal/legacy"
	"multiserver/internal/mxb1"
	"multiserver/internal/session"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// testTimeout is when a test gives up on what has to come.
const testTimeout = 20 * time.Second

// room is a Host on the loopback interface.
type room struct {
	*testing.T
	*Host
	source image.Source
	client *net.UDPConn
}

func newRoom(t *testing.T) *room {
	group := netip.MustParseAddr("239.255.77.7")
	all, err := udp.CandidateInterfaces("lo", group)
	if err != nil {
		t.Skipf("no loopback interface: %v", err)
	}
	t.Cleanup(func() { goleak.VerifyNone(t) })
	r := &room{T: t}
	r.Host, err = Listen(Config{
		Group: group, Interfaces: all, Interface: "lo", Control: netip.MustParseAddrPort("0.0.0.0:0"), TTL: 1, RateBitsPerSec: 1e6,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.source, err = image.FromReader(bytes.NewReader(make([]byte, 5000)), 5000, "an.img")
	if err != nil {
		t.Fatal(err)
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.Control().Port()))
	if r.client, err = net.DialUDP("udp4", nil, to); err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the Host until stop, which tells how it ended.
func (r *room) run() (stop func() error) {
	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Host.Run(ctx) }()
	return func() error {
		cancel()
		r.client.Close()
		return <-ended
	}
}

func (r *room) send(packet []byte) {
	r.Helper()
	if _, err := r.client.Write(packet); err != nil {
		r.Fatal(err)
	}
}

func (r *room) read() []byte {
	r.Helper()
	buf := make([]byte, 2048)
	r.client.SetReadDeadline(time.Now().Add(testTimeout))
	n, err := r.client.Read(buf)
	if err != nil {
		r.Fatalf("no answer: %v", err)
	}
	return buf[:n]
}

// TestHandsOn: each packet goes to whom it is for, and the answer comes from the control
// port.
func TestHandsOn(t *testing.T) {
	r := newRoom(t)
	s, err := r.Serve(session.Config{Source: r.source, Port: 16000})
	if err != nil {
		t.Fatal(err)
	}
	old, err := r.ServeLegacy(legacy.ServerConfig{Source: r.source, Port: 16000})
	if err != nil {
		t.Fatal(err)
	}
	stop := r.run()
	offer := wire.Offer{Version: 1, Receiver: 7, Codecs: 1, LargestPacket: 1472}.AppendTo(nil)
	r.send(mxb1.AppendMapRequest(nil, offer))
	if d, err := wire.ParseDescription(r.read()); err != nil || d.Session != s.ID() {
		t.Errorf("an offer of MXB 2 is answered with %+v, %v", d, err)
	}
	for _, c := range []struct {
		offer []byte
		ours  bool
	}{{nil, false}, {mxb1.Offer(), true}} {
		r.send(mxb1.AppendMapRequest(nil, c.offer))
		h, payload, err := mxb1.Parse(r.read())
		if err != nil || h.Op != mxb1.OpDescription {
			t.Fatalf("a map request with %x is answered with %+v, %v", c.offer, h, err)
		}
		if d, err := mxb1.ParseDescription(payload); err != nil || d.HasTrailer != c.ours {
			t.Errorf("a map request with %x is answered with %+v, %v", c.offer, d, err)
		}
	}
	r.send(wire.Report{Session: s.ID(), Receiver: 7, Number: 1}.AppendTo(nil))
	r.send([]byte("nobody's packet"))
	for limit := time.Now().Add(testTimeout); s.Figures().BadPackets < 1 || len(s.Figures().Receivers) < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("the session knows of %+v", s.Figures())
		}
	}
	if f := old.Figures(); f.BadPackets != 0 || r.Figures().BadPackets != 0 {
		t.Errorf("MXB 1 counts %d bad packets, the host %d", f.BadPackets, r.Figures().BadPackets)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

// TestNobody: without a session and MXB 1 every packet is bad, and Run still ends.
func TestNobody(t *testing.T) {
	r := newRoom(t)
	stop := r.run()
	r.send(mxb1.AppendMapRequest(nil, nil))
	r.send([]byte("nobody's packet"))
	for limit := time.Now().Add(testTimeout); r.Figures().BadPackets < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d bad packets", r.Figures().BadPackets)
		}
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

// TestSessionEnds: when the session ends, the host does, with its error.
func TestSessionEnds(t *testing.T) {
	r := newRoom(t)
	if _, err := r.Serve(session.Config{Source: r.source, Port: 16000, MTU: 60}); err != nil {
		t.Fatal(err)
	}
	defer r.client.Close()
	offer := wire.Offer{Version: 1, Receiver: 7, Codecs: 1, LargestPacket: 1472}.AppendTo(nil)
	ended := make(chan error, 1)
	go func() { ended <- r.Host.Run(t.Context()) }()
	r.send(mxb1.AppendMapRequest(nil, offer))
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(testTimeout):
		t.Error("it does not end")
	}
}

// TestInterfaces: interfaces that come are listened on, those that change too, and one that is lost
// is told of once.
func TestInterfaces(t *testing.T) {
	eth := func(index int, name, addr string) udp.Interface {
		return udp.Interface{Index: index, Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}
	}
	lo := eth(1, "lo", "127.0.0.1/8")
	lo.Loopback = true
	first, second, other := eth(2, "eth0", "10.0.0.1/24"), eth(7, "eth0", "10.0.0.2/24"), eth(3, "eth1", "10.1.0.1/24")
	ready := func(all ...udp.Interface) udp.Candidates { return udp.Candidates{Ready: all} }
	bare := udp.Candidates{Ready: []udp.Interface{other}, Waiting: []string{"eth0 is up and has no IPv4 address yet"}}
	unplugged := udp.Candidates{Ready: []udp.Interface{second, other}, Waiting: []string{"eth0 has no link yet"}}
	seen := interfaces{ready: []udp.Interface{lo}, lacked: map[string]string{}}
	for n, c := range []struct {
		now  udp.Candidates
		want []change
	}{
		{ready(lo), nil},
		{ready(first), []change{{first, udp.Interface{}, ""}}},
		{ready(first, other), []change{{other, udp.Interface{}, ""}}},
		{bare, []change{{first, first, "eth0 is up and has no IPv4 address"}}},
		{bare, nil},
		{ready(other, second), []change{{second, first, ""}}},
		{ready(other, first), []change{{first, second, ""}}},
		{ready(other, second), []change{{second, first, ""}}},
		{unplugged, []change{{second, second, "eth0 has no link"}}},
		{unplugged, nil},
		{ready(second, other), []change{{second, second, ""}}},
		{ready(other), []change{{second, second, "eth0 does not exist"}}},
	} {
		got := seen.look(c.now)
		if !slices.EqualFunc(got, c.want, func(a, b change) bool {
			return a.iface.Same(b.iface) && a.was.Same(b.was) && a.lacks == b.lacks
		}) {
			t.Errorf("look %d: %+v, want %+v", n, got, c.want)
		}
	}
}

// TestQueriers: an interface is kept as long as one of the two protocols sends there.
func TestQueriers(t *testing.T) {
	q := newQueriers(slog.New(slog.DiscardHandler))
	q.serve(mxb2, []int{3, 2})
	q.serve(mxb1Owner, []int{3})
	if got := q.interfaces(); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("%v are served, want 2 and 3", got)
	}
	q.serve(mxb2, []int{4})
	if got := q.interfaces(); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("%v are served, want 3 and 4", got)
	}
	if len(q.changed) != 1 {
		t.Error("runQueriers is not told")
	}
}
