package routes

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestNetworks: a network gets the stream as long as receivers are heard on it; the last
// one keeps it.
func TestNetworks(t *testing.T) {
	var n Networks
	if !n.Record(0, 2) {
		t.Error("a new network does not get the stream")
	}
	n.Add(0, 2)
	n.Add(0, 3)
	const interval = time.Second
	for now := time.Duration(0); now <= 7*time.Second; now += time.Second {
		if n.Record(now, 3) {
			t.Fatal("a network that is served is added again")
		}
		if n.Lapse(now, interval) {
			t.Fatalf("a network is left after %v", now)
		}
	}
	if !n.Lapse(7*time.Second+1, interval) {
		t.Error("a network without receivers is not left after 3 s and four intervals")
	}
	if got := n.Indices(nil); !slices.Equal(got, []int{3}) {
		t.Errorf("networks %v are served, want 3", got)
	}
	if n.Lapse(time.Hour, interval) || len(n.Indices(nil)) != 1 {
		t.Error("the last network is left")
	}
}

// TestLongIntervals: report intervals of many receivers prolong the memory, within bounds.
func TestLongIntervals(t *testing.T) {
	var n Networks
	n.Add(0, 2)
	n.Add(0, 3)
	n.Record(30*time.Second, 3)
	if n.Lapse(13*time.Second, time.Minute) {
		t.Error("a network is left before 13 s")
	}
	if !n.Lapse(13*time.Second+1, time.Minute) {
		t.Error("a network without receivers keeps the stream for longer than 13 s")
	}
}

// TestFixedNetwork: with an interface named the stream goes nowhere else.
func TestFixedNetwork(t *testing.T) {
	n := Networks{Fixed: true}
	n.Add(0, 2)
	if n.Record(1, 3) {
		t.Error("the stream goes to another network than the one that was named")
	}
}

func request(u *Unicast, id wire.ReceiverID, addr netip.AddrPort) wire.UnicastRequest {
	return wire.UnicastRequest{Receiver: id, Wanted: true, Token: u.Token(id, addr)}
}

// TestToken: only who hears what is sent to an address can direct a stream there.
func TestToken(t *testing.T) {
	u := NewUnicast(Auto, []byte("secret"))
	a, b := netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:5000")
	if got := u.Request(0, request(u, 1, a), a); got != New {
		t.Errorf("with its token: %v, want New", got)
	}
	for name, c := range map[string]struct {
		request wire.UnicastRequest
		from    netip.AddrPort
	}{
		"no token":            {wire.UnicastRequest{Receiver: 1, Wanted: true}, a},
		"another's address":   {request(u, 1, a), b},
		"another's token":     {wire.UnicastRequest{Receiver: 1, Wanted: true, Token: u.Token(2, a)}, a},
		"of another session":  {request(NewUnicast(Auto, []byte("other")), 1, a), a},
		"ends it for another": {wire.UnicastRequest{Receiver: 1, Token: u.Token(1, a)}, b},
	} {
		if got := u.Request(0, c.request, c.from); got != Refused {
			t.Errorf("%s: %v, want Refused", name, got)
		}
	}
	never := NewUnicast(Never, []byte("secret"))
	if got := never.Request(0, wire.UnicastRequest{Receiver: 1, Wanted: true}, a); got != Refused || never.Token(1, a) != 0 {
		t.Errorf("where unicast is not offered: %v, token %d", got, never.Token(1, a))
	}
}

// TestUnicast: who is served, until when, and how many.
func TestUnicast(t *testing.T) {
	u := NewUnicast(Auto, []byte("secret"))
	addr := func(n int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 5000)
	}
	for n := range MaxUnicast {
		id := wire.ReceiverID(n)
		if got := u.Request(0, request(u, id, addr(n)), addr(n)); got != New {
			t.Fatalf("receiver %d: %v, want New", n, got)
		}
		u.Admit(0, id, addr(n))
	}
	if got := u.Request(0, request(u, MaxUnicast, addr(MaxUnicast)), addr(MaxUnicast)); got != Full {
		t.Errorf("one more: %v, want Full", got)
	}
	if got := u.Request(time.Second, request(u, 3, addr(3)), addr(3)); got != Renewed {
		t.Errorf("one asks again: %v, want Renewed", got)
	}
	if got := u.Request(time.Second, request(u, 4, addr(999)), addr(999)); got != Moved {
		t.Errorf("one asks from another address: %v, want Moved", got)
	}
	stop := request(u, 5, addr(5))
	stop.Wanted = false
	if got := u.Request(time.Second, stop, addr(5)); got != Ended || u.Serves(5) {
		t.Errorf("one wants it no longer: %v, served %v", got, u.Serves(5))
	}
	// Two seconds and four intervals: all have lapsed but the one that asked again.
	const interval = time.Second
	if got := u.Lapse(nil, 6*time.Second, interval); len(got) != 0 {
		t.Errorf("%d lapse in time", len(got))
	}
	if got := u.Lapse(nil, 6*time.Second+1, interval); len(got) != MaxUnicast-2 || !slices.IsSorted(got) || !u.Serves(3) {
		t.Errorf("%d lapse, want %d; the one that asked again is served: %v", len(got), MaxUnicast-2, u.Serves(3))
	}
}
