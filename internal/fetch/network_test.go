package fetch

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/mxb1"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// TestWatchNetwork: each change of the interface is told once: of its address, of its index, and of
// what it lacks.
func TestWatchNetwork(t *testing.T) {
	eth0 := func(index int, addr string) udp.Interface {
		return udp.Interface{Index: index, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}
	}
	ready := func(i udp.Interface) udp.Candidates { return udp.Candidates{Ready: []udp.Interface{i}} }
	first, second, third := eth0(2, "10.0.0.1/24"), eth0(2, "10.0.0.2/24"), eth0(7, "10.0.0.2/24")
	bare := udp.Candidates{Waiting: []string{"eth0 is up and has no IPv4 address yet"}}
	listings := []udp.Candidates{ready(first), ready(second), ready(second), bare, bare, ready(second), {}, ready(third)}
	synctest.Test(t, func(t *testing.T) {
		var told []networkChanged
		ended := make(chan struct{})
		list := func() (udp.Candidates, error) {
			c := listings[0]
			if listings = listings[1:]; len(listings) == 0 {
				close(ended)
			}
			return c, nil
		}
		watchNetwork(t.Context(), first, list, func(n networkChanged) { told = append(told, n) }, ended)
		want := []networkChanged{
			{second, ""}, {second, "eth0 is up and has no IPv4 address"}, {second, ""}, {second, "eth0 does not exist"}, {third, ""},
		}
		if !slices.EqualFunc(told, want, func(a, b networkChanged) bool { return a.iface.Same(b.iface) && a.lacks == b.lacks }) {
			t.Errorf("told %+v\nwant %+v", told, want)
		}
	})
}

// standing is a session of a peer that runs by hand, since so long.
func (p *peer) standing(since time.Duration) *session {
	p.t.Helper()
	cfg := p.config()
	s, err := newSession(cfg, nil, nil, func(error) {})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cfg.Conn.Close()
		p.conn.Close()
	})
	s.origin = time.Now().Add(-since)
	return s
}

// TestServersAddress: only if nothing comes from the server's address, an answer from another one is
// taken for its: of the same session, or of the same image if no host was named.
func TestServersAddress(t *testing.T) {
	const long = 10 * time.Second
	other := netip.MustParseAddrPort("127.0.0.2:7500")
	for _, c := range []struct {
		name   string
		silent time.Duration
		host   string
		from   netip.AddrPort // if valid
		change func(*wire.Description)
		is     bool
	}{
		{"the server itself", 0, "", netip.AddrPort{}, func(*wire.Description) {}, true},
		{"another, while the server is there", 0, "", other, func(*wire.Description) {}, false},
		{"another address of a silent server", long, "", other, func(*wire.Description) {}, true},
		{"started again there", long, "", other, func(d *wire.Description) { d.Session++ }, true},
		{"there, without the private number", long, "", other, func(d *wire.Description) { d.Answer = wire.Answer{Given: true, Private: 6} }, false},
		{"a server of another image", long, "", other, func(d *wire.Description) { d.Identity[0]++ }, false},
		{"of another size", long, "", other, func(d *wire.Description) { d.Geometry.ImageSize++ }, false},
		{"of another group", long, "", other, func(d *wire.Description) { d.Data = other }, false},
		{"a host was named, the session is the same", long, "127.0.0.1", other, func(*wire.Description) {}, true},
		{"a host was named, the session is another", long, "127.0.0.1", other, func(d *wire.Description) { d.Session++ }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 2)
			s := p.standing(c.silent)
			s.cfg.Search.ControlHost = c.host
			s.description.Answer = wire.Answer{Given: true, Private: 5}
			s.cfg.Offer.Session.Answer = s.description.Answer
			d := p.description()
			d.Answer = s.description.Answer
			c.change(&d)
			o := discover.Offer{Server: s.cfg.Offer.Server, IfIndex: s.cfg.Offer.IfIndex, Session: &d, Private: true}
			if c.from.IsValid() {
				o.Server = c.from
			}
			was := s.cfg.Offer.Server
			if o.Server != was { // what answers the question that everybody heard
				public := o
				public.Private = false
				if s.isServers(&public) {
					t.Fatal("an answer to a question of everybody's is the server's")
				}
			}
			if got := s.isServers(&o); got != c.is {
				t.Fatalf("it is the server's: %v", got)
			}
			want := was
			if c.is {
				want = o.Server
			}
			packet := wire.GoodbyeAck{Session: ourSession, Receivers: wire.List[wire.ReceiverID]{}.Append(us)}.AppendTo(nil)
			if s.cfg.Offer.Server != want || !s.streams.divert(want, packet) || want != was && s.streams.divert(was, packet) {
				t.Errorf("it goes on with %v, want %v", s.cfg.Offer.Server, want)
			}
		})
	}
}

// TestNetworkIsLost: as long as this machine has no network, that is what is told, whatever else
// might be the cause. When it is there again, the server is asked at once, on the interface as it is
// then.
func TestNetworkIsLost(t *testing.T) {
	p := newPeer(t, 2)
	s := p.standing(0)
	lo := s.streams.iface
	s.cfg.Offer.AskFrom = lo.Index
	s.handleNetwork(networkChanged{lo, "eth0 has no link"})
	const want = "this machine's network is interrupted: eth0 has no link"
	if s.silence() != want || s.hint() != want {
		t.Errorf("it says %q and %q, want %q", s.silence(), s.hint(), want)
	}
	if err := s.gaveUp(wire.OutcomeTimeLimit, ""); !strings.HasSuffix(err.Error(), want) {
		t.Errorf("it gives up with %v", err)
	}
	lo.Index += 1000
	s.handleNetwork(networkChanged{lo, ""})
	if s.silence() != "" || s.cfg.Offer.AskFrom != lo.Index || s.cfg.Offer.IfIndex != lo.Index {
		t.Errorf("it says %q and asks on %d, want %d", s.silence(), s.cfg.Offer.AskFrom, lo.Index)
	}
	if !s.reach.Next(s.now(), true, false).AskSession {
		t.Error("the server is not asked")
	}
}

// TestOfferComesFirst: what this client sends once its network is back begins with an offer of the
// session's own number: the server may see another address.
func TestOfferComesFirst(t *testing.T) {
	p := newPeer(t, 2)
	s := p.standing(0)
	s.cfg.Search.Receiver = us + 1 // the search's, which everybody hears
	s.network.unsent = true
	s.send([]byte("a packet"))
	buf := make([]byte, 4096)
	if err := p.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := p.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, err := mxb1.Parse(buf[:n])
	if err != nil {
		t.Fatalf("it sends %q first: %v", buf[:n], err)
	}
	if offer, err := wire.ParseOffer(payload); err != nil || !offer.Private || offer.Receiver != us {
		t.Errorf("it offers %+v, %v", offer, err)
	}
	if n, err = p.conn.Read(buf); err != nil || string(buf[:n]) != "a packet" || s.network.unsent {
		t.Errorf("then it sends %q, %v", buf[:n], err)
	}
}
