package discover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/block"
	"multiserver/internal/failure"
	"multiserver/internal/mxb1"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const us, somebodyElse = wire.ReceiverID(7), wire.ReceiverID(8)

var group = netip.MustParseAddr("239.255.77.1")

// server is a fake one on the loopback interface.
type server struct {
	t    *testing.T
	conn *net.UDPConn
	addr netip.AddrPort

	mu     sync.Mutex
	sent   []byte            // the last answer
	number wire.ReceiverID   // of the last private offer
	silent bool              // it does not answer private offers
	heard  []wire.ReceiverID // the numbers of all of them
}

func newServer(t *testing.T) *server {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, conn: conn, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.answer()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return s
}

// answer answers private offers with what the server sent last.
func (s *server) answer() {
	buf := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		_, payload, err := mxb1.Parse(buf[:n])
		if err != nil {
			continue
		}
		offer, err := wire.ParseOffer(payload)
		if err != nil || !offer.Private {
			continue
		}
		s.mu.Lock()
		s.number = offer.Receiver
		s.heard = append(s.heard, offer.Receiver)
		d, err := wire.ParseDescription(s.sent)
		if err == nil && !s.silent {
			d.Receiver = offer.Receiver
			s.conn.WriteToUDPAddrPort(d.AppendTo(nil), from)
		}
		s.mu.Unlock()
	}
}

// private is the server's last answer, to the client's own number.
func (s *server) private(t *testing.T, packet []byte) []byte {
	t.Helper()
	d, err := wire.ParseDescription(packet)
	if err != nil {
		return packet
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Receiver = s.number
	return d.AppendTo(nil)
}

// send sends a packet to a client's control socket.
func (s *server) send(to *udp.Conn, packet []byte) {
	s.t.Helper()
	s.mu.Lock()
	s.sent = packet
	s.mu.Unlock()
	if _, err := s.conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(s.addr.Addr(), to.LocalAddr().Port())); err != nil {
		s.t.Fatal(err)
	}
}

// description is MXB 2's, of an image of that name.
func description(to wire.ReceiverID, name string) []byte {
	d := wire.Description{
		Session: 1, Receiver: to, Codecs: 1, Geometry: block.Geometry{ImageSize: 100_000, BlockSize: 1 << 16},
		Identity: wire.Identity{name[0]}, SymbolSize: 1024, ReportInterval: time.Second, FileName: []byte(name),
	}
	return d.AppendTo(nil)
}

// original is MXB 1's description.
func original(name string) []byte {
	return mxb1.Description{Name: name, SizeBytes: 5000}.AppendTo(nil)
}

func loopback(t *testing.T) udp.Interface {
	t.Helper()
	for _, name := range []string{"lo", "lo0"} {
		if i, err := udp.InterfaceByName(name); err == nil {
			return i
		}
	}
	t.Skip("no loopback interface is up here")
	return udp.Interface{}
}

// searching is a search on the loopback interface, at the port of s, and its socket.
func searching(t *testing.T, s *server) (*Search, *udp.Conn) {
	t.Helper()
	interfaces := []udp.Interface{loopback(t)}
	conn, err := udp.Listen(udp.ConnConfig{Interfaces: interfaces})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Search{
		Question: Question{Receiver: us, Group: group}, ControlPort: s.addr.Port(), Interfaces: interfaces,
		Limit: 10 * time.Second, Account: new(account.Client), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, conn
}

// TestRivals: servers that answer with different images cannot be told apart.
func TestRivals(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second []byte
		host          bool // is named
		rivals        bool
	}{
		{"one image", description(us, "a.img"), description(us, "a.img"), false, false},
		{"two images", description(us, "a.img"), description(us, "b.img"), false, true},
		{"two protocols", description(us, "a.img"), original("a.img"), false, true},
		{"two originals", original("a.img"), original("b.img"), false, true},
		{"two images, and a host is named", description(us, "a.img"), description(us, "b.img"), true, false},
		{"the second is to somebody else", description(us, "a.img"), description(somebodyElse, "b.img"), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newServer(t), newServer(t)
			search, conn := searching(t, a)
			if c.host {
				search.ControlHost = "127.0.0.1"
			}
			a.send(conn, c.first)
			b.send(conn, c.second)
			offer, err := search.Find(t.Context(), conn)
			if err == nil {
				if offer.Stands() != c.host {
					t.Errorf("it stands at once: %v", offer.Stands())
				}
				err = search.Settle(t.Context(), conn, &offer)
			}
			if c.rivals {
				if !errors.Is(err, failure.ErrIntegrity) || !strings.Contains(err.Error(), "ClientConfig.ControlHost") {
					t.Errorf("it found %+v, %v", offer, err)
				}
				return
			}
			if err != nil || offer.Server != a.addr || offer.Name != "a.img" || !offer.Stands() {
				t.Errorf("it found %+v, %v", offer, err)
			}
		})
	}
}

// TestReaderSettles: beside a session, servers that answer before the offer stands end the client
// as Settle would, and only without one it stands.
func TestReaderSettles(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second []byte
		rivals        bool
	}{
		{"nobody else", description(us, "a.img"), nil, false},
		{"one image", description(us, "a.img"), description(us, "a.img"), false},
		{"two images", description(us, "a.img"), description(us, "b.img"), true},
		{"two protocols", description(us, "a.img"), original("a.img"), true},
		{"to somebody else", description(us, "a.img"), description(somebodyElse, "b.img"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newServer(t), newServer(t)
			search, conn := searching(t, a)
			if c.rivals {
				search.Grace = time.Hour
			}
			a.send(conn, c.first)
			offer, err := search.Find(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			if c.second != nil {
				b.send(conn, c.second)
			}
			r := NewReader(conn, search, offer, nil)
			failed := make(chan error, 2)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				r.Run(func(err error) { failed <- err })
			}()
			select {
			case <-r.Settled():
				if c.rivals {
					t.Error("the offer stands beside another")
				}
			case err := <-failed:
				if !c.rivals || !errors.Is(err, failure.ErrIntegrity) || err.Error() != offer.rivals(&Offer{
					Server: b.addr, Name: nameOf(t, c.second), SizeBytes: sizeOf(t, c.second),
				}).Error() {
					t.Errorf("it failed: %v", err)
				}
			}
			conn.Close()
			<-ended
			if len(failed) > 0 {
				t.Errorf("it failed again: %v", <-failed)
			}
		})
	}
}

// TestDrained: what waits in the socket when the grace is over came before its end.
func TestDrained(t *testing.T) {
	a, b := newServer(t), newServer(t)
	search, conn := searching(t, a)
	search.Grace = 1 // over before anything else is read
	a.send(conn, description(us, "a.img"))
	offer, err := search.Find(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	b.send(conn, description(us, "b.img"))
	if err := search.Settle(t.Context(), conn, &offer); !errors.Is(err, failure.ErrIntegrity) {
		t.Errorf("settled with %v", err)
	}
	b.send(conn, description(us, "b.img"))
	r := NewReader(conn, search, offer, nil)
	r.began = time.Time{} // too early for a late rival
	failed := make(chan error, 1)
	go r.Run(func(err error) {
		conn.SetReadDeadline(time.Unix(1, 0)) // now all of the grace is over
		failed <- err
	})
	select {
	case <-r.Settled():
		t.Fatal("the offer stands beside another")
	case err := <-failed:
		if !errors.Is(err, failure.ErrIntegrity) {
			t.Errorf("it failed: %v", err)
		}
	}
	a.send(conn, a.private(t, description(us, "a.img")))
	<-r.Answers() // which is read after the end of the grace
	select {
	case <-r.Settled():
		t.Error("the offer stands in the end")
	default:
	}
	conn.Close()
	for range r.Answers() { // until Run has ended
	}
}

func nameOf(t *testing.T, packet []byte) string { return parsed(t, packet).Name }

func sizeOf(t *testing.T, packet []byte) uint64 { return parsed(t, packet).SizeBytes }

func parsed(t *testing.T, packet []byte) Offer {
	t.Helper()
	o, err := (&Question{Receiver: us}).parse(packet, us)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestForeignAnswer: an answer to another client is none, over MXB 2.
func TestForeignAnswer(t *testing.T) {
	s := newServer(t)
	search, conn := searching(t, s)
	s.send(conn, description(somebodyElse, "b.img"))
	s.send(conn, []byte("nothing of ours"))
	s.send(conn, description(us, "a.img"))
	offer, err := search.Find(t.Context(), conn)
	if err != nil || offer.Name != "a.img" || offer.Session == nil || offer.Protocol() != "mxb2" {
		t.Errorf("it found %+v, %v", offer, err)
	}
	if n := search.Account.Figures().BadPackets; n != 2 {
		t.Errorf("%d bad packets, want 2", n)
	}
}

// TestNoAnswer ends with the limit, and with a hint.
func TestNoAnswer(t *testing.T) {
	s := newServer(t)
	search, conn := searching(t, s)
	search.Limit = 1
	if _, err := search.Find(t.Context(), conn); !errors.Is(err, failure.ErrTimeLimit) || !strings.Contains(err.Error(), "is multiserver running") {
		t.Errorf("without an answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := search.Find(ctx, conn); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestSearchInTurns: by multicast, by broadcast and at the original's address within
// a second, and round again.
func TestSearchInTurns(t *testing.T) {
	search, conn := searching(t, newServer(t))
	for host, steps := range map[netip.Addr]int{{}: 3, netip.MustParseAddr("127.0.0.1"): 1} {
		for first := range 2 {
			var round time.Duration
			for step := range steps {
				round += search.ask(conn, host, first*steps+step)
			}
			if round != time.Second {
				t.Errorf("asking at %v goes round in %v, want a second", host, round)
			}
		}
	}
}

// TestQuestion: what is asked is an offer of MXB 2, or nothing but the map request.
func TestQuestion(t *testing.T) {
	for mode, only := range map[MXB1]bool{MXB1Auto: false, MXB1Never: false, MXB1Only: true} {
		q := Question{Receiver: us, Group: group, MXB1: mode}
		h, payload, err := mxb1.Parse(q.AppendTo(nil, 1500))
		if err != nil || h.Op != mxb1.OpMapRequest {
			t.Fatalf("it asks with %+v, %v", h, err)
		}
		offer, err := wire.ParseOffer(payload)
		if mode != MXB1Only && len(payload) != offerBytes { // so that the answer is no larger
			t.Errorf("the offer has %d bytes", len(payload))
		}
		if offered := err == nil && offer.Receiver == us && offer.LargestPacket == 1472; offered == only {
			t.Errorf("only MXB 1: %v; it offers %+v, %v", only, offer, err)
		}
	}
}

// TestReader: answers of the server go to the session, what others say is counted, and a
// late rival ends the client unless it was told where to ask.
func TestReader(t *testing.T) {
	const a, b = "a.img", "b.img"
	for _, c := range []struct {
		name    string
		ours    []byte // the offer that was found
		rival   []byte
		host    string
		late    time.Duration // after the search
		rivals  bool
		foreign uint64
		bad     uint64
	}{
		{"another image", description(us, a), description(us, b), "", 0, true, 1, 0},
		{"the same image", description(us, a), description(us, a), "", 0, false, 1, 0},
		{"a host was named", description(us, a), description(us, b), "127.0.0.1", 0, false, 1, 0},
		{"too late", description(us, a), description(us, b), "", 2 * lateGrace, false, 1, 0},
		{"to somebody else", description(us, a), description(somebodyElse, b), "", 0, false, 0, 1},
		{"an original server", description(us, a), original(b), "", 0, false, 1, 0},
		{"beside an original server", original(a), description(us, b), "", 0, false, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, other := newServer(t), newServer(t)
			search, conn := searching(t, s)
			search.ControlHost = c.host
			offer, err := search.parse(c.ours, us)
			if err != nil {
				t.Fatal(err)
			}
			offer.Server = s.addr
			diverted := 0
			r := NewReader(conn, search, offer, func(from netip.AddrPort, packet []byte) bool {
				if string(packet) == "data" && from == s.addr {
					diverted++
					return true
				}
				return false
			})
			r.began = r.began.Add(-c.late)
			failed := make(chan error, 1)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				r.Run(func(err error) { failed <- err })
			}()
			other.send(conn, c.rival)
			s.send(conn, []byte("data"))
			s.send(conn, c.ours)
			if got := <-r.Answers(); got.Name != a || got.Server != s.addr { // so the rival was read before
				t.Errorf("passed on %+v", got)
			}
			conn.Close()
			<-ended
			if _, ok := <-r.Answers(); ok {
				t.Error("something else was passed on")
			}
			select {
			case err := <-failed:
				if !c.rivals || !errors.Is(err, failure.ErrIntegrity) {
					t.Errorf("it failed: %v", err)
				}
			default:
				if c.rivals {
					t.Error("it goes on")
				}
			}
			if f := search.Account.Figures(); f.Strangers != c.foreign || f.BadPackets != c.bad || diverted != 1 {
				t.Errorf("%d strangers, %d bad packets, %d diverted", f.Strangers, f.BadPackets, diverted)
			}
		})
	}
}

// TestSame: an offer is of the same image only if all agrees.
func TestSame(t *testing.T) {
	one := Offer{Name: "a", SizeBytes: 5, Identity: 1, HasTrailer: true}
	for _, change := range []func(*Offer){
		func(o *Offer) { o.Name = "b" }, func(o *Offer) { o.SizeBytes++ },
		func(o *Offer) { o.Identity++ }, func(o *Offer) { o.HasTrailer = false },
	} {
		other := one
		if change(&other); one.Same(&other) || !one.Same(&one) {
			t.Errorf("%+v and %+v are the same", one, other)
		}
	}
}

// TestListsAnew: before each question the interfaces are listed anew. What comes is joined, and what
// is missing is told, at the limit too.
func TestListsAnew(t *testing.T) {
	s := newServer(t)
	search, conn := searching(t, s)
	lo := loopback(t)
	other := lo
	other.Index, other.Name = 4242, "eth9"
	search.Interfaces = []udp.Interface{other}
	const missing = "eth0 is up and has no IPv4 address yet"
	listings := 0
	search.List = func() (udp.Candidates, error) {
		if listings++; listings == 1 {
			return udp.Candidates{Waiting: []string{missing}}, nil
		}
		return udp.Candidates{Ready: []udp.Interface{lo}}, nil
	}
	var joined []string
	search.Join = func(i udp.Interface) {
		joined = append(joined, i.Name)
		if waiting := search.Account.Figures().WaitingFor; !strings.Contains(waiting, missing) {
			t.Errorf("it waited for %q, want %q", waiting, missing)
		}
		s.send(conn, description(us, "a.img"))
	}
	if _, err := search.Find(t.Context(), conn); err != nil || len(joined) != 1 || joined[0] != lo.Name {
		t.Errorf("joined %q, %v", joined, err)
	}
	search.List = func() (udp.Candidates, error) { return udp.Candidates{Waiting: []string{missing}}, nil }
	search.Limit = time.Millisecond
	if _, err := search.Find(t.Context(), conn); !errors.Is(err, failure.ErrTimeLimit) || !strings.Contains(err.Error(), missing) {
		t.Errorf("at the limit: %v", err)
	}
	search.Began, search.Limit = time.Now().Add(-time.Hour), time.Minute
	if _, err := search.Find(t.Context(), conn); !errors.Is(err, failure.ErrTimeLimit) {
		t.Errorf("an hour after it began: %v", err)
	}
}

// TestReaderSeeks: only while the server is looked for, answers from other addresses pass, of the
// same image. Once it is followed there, its answers pass and those of the old address do not.
func TestReaderSeeks(t *testing.T) {
	a, b := newServer(t), newServer(t)
	search, conn := searching(t, a)
	offer := parsed(t, description(us, "a.img"))
	offer.Server = a.addr
	r := NewReader(conn, search, offer, nil)
	r.began = time.Time{} // too early for a late rival
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(func(err error) { t.Errorf("it failed: %v", err) })
	}()
	passes := func(want *server, packets ...[]byte) { // b's, and then one of want
		t.Helper()
		for _, packet := range packets {
			b.send(conn, packet)
		}
		if want == a {
			a.send(conn, description(us, "a.img"))
		}
		if got := <-r.Answers(); got.Server != want.addr || got.Name != "a.img" || got.IfIndex == 0 {
			t.Errorf("passed on %+v, want one of %v", got, want.addr)
		}
	}
	passes(a, description(us, "a.img"))
	r.Seek(true)
	passes(b, description(us, "b.img"), description(us, "a.img"))
	r.Seek(false)
	passes(a, description(us, "a.img"))
	r.Follow(b.addr)
	a.send(conn, description(us, "a.img"))
	passes(b, description(us, "a.img"))
	conn.Close()
	<-ended
}
