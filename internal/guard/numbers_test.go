package guard

import (
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/wire"
)

func port(host, port int) netip.AddrPort { return netip.AddrPortFrom(addr(host), uint16(port)) }

// TestNumbers: whose packets of a number count.
func TestNumbers(t *testing.T) {
	const id = wire.ReceiverID(7)
	us, stranger := port(1, 5000), port(2, 5000)
	const ms = time.Millisecond
	type step struct {
		at   time.Duration
		what string // "offer", "packet", "proof"; with a digest: "offer+", "proof+"
		from netip.AddrPort
		want Verdict // of an offer: Counts if it may be told the private number
	}
	for name, steps := range map[string][]step{
		"nobody asked for it":  {{0, "packet", us, Refused}},
		"who asked for it":     {{0, "offer", us, Counts}, {0, "packet", us, Counts}, {time.Hour, "packet", us, Counts}},
		"another's goodbye":    {{0, "offer", us, Counts}, {0, "packet", us, Counts}, {0, "offer", stranger, Counts}, {ms, "packet", stranger, Refused}, {2 * ms, "packet", us, Counts}},
		"another of one host":  {{0, "offer", us, Counts}, {0, "packet", us, Counts}, {0, "packet", port(1, 5001), Refused}},
		"it moves, unproven":   {{0, "offer", us, Counts}, {0, "packet", us, Counts}, {0, "offer", stranger, Counts}, {moveAfter, "packet", stranger, Counts}, {moveAfter, "packet", us, Refused}},
		"it moves, unasked":    {{0, "offer", us, Counts}, {0, "packet", us, Counts}, {moveAfter, "packet", stranger, Refused}},
		"the stranger first":   {{0, "offer", stranger, Counts}, {0, "packet", stranger, Counts}, {ms, "packet", us, Refused}, {2 * ms, "offer", us, Counts}, {3 * ms, "proof", us, Displaces}, {4 * ms, "packet", us, Counts}, {4 * ms, "packet", stranger, Refused}},
		"the stranger proves":  {{0, "offer", stranger, Counts}, {0, "proof", stranger, Counts}, {ms, "offer", us, Refused}, {ms, "proof", us, Refused}, {time.Hour, "packet", us, Refused}},
		"proven, and moves":    {{0, "offer", us, Counts}, {0, "proof", us, Counts}, {ms, "offer", stranger, Refused}, {ms, "offer+", stranger, Counts}, {ms, "proof+", stranger, Counts}, {ms, "packet", stranger, Counts}, {ms, "packet", us, Refused}},
		"proven, and is quiet": {{0, "offer", us, Counts}, {0, "proof", us, Counts}, {ms, "offer", stranger, Refused}, {time.Hour, "packet", stranger, Refused}, {time.Hour, "packet", us, Counts}},
		"its offer was lost":   {{0, "proof", us, Counts}, {0, "packet", us, Counts}},
	} {
		n := NewNumbers()
		for i, s := range steps {
			got := Refused
			switch s.what {
			case "packet":
				got = n.Packet(s.at, id, s.from, true)
			case "proof", "proof+":
				got = n.Prove(s.at, id, s.from, s.what == "proof+")
			default:
				if n.Offer(s.at, id, s.from, true, s.what == "offer+") {
					got = Counts
				}
			}
			if got != s.want {
				t.Errorf("%s, step %d, %s: %d, want %d", name, i, s.what, got, s.want)
			}
		}
	}
}

// TestOwes: who was asked for a proof, and gave none.
func TestOwes(t *testing.T) {
	n := NewNumbers()
	n.Offer(0, 1, port(1, 5000), false, false)
	n.Offer(0, 2, port(1, 5001), true, false)
	n.Offer(0, 3, port(1, 5002), true, false)
	n.Prove(0, 3, port(1, 5002), false)
	for id, want := range map[wire.ReceiverID]bool{1: false, 2: true, 3: false, 4: false} {
		if n.Owes(id) != want {
			t.Errorf("number %d owes a proof: %v", id, !want)
		}
	}
}

// TestNumberBounds: how many numbers an address may have, and how many come from hosts that nobody
// knows; a thousand machines that boot at once all join, and a receiver that leaves makes room.
func TestNumberBounds(t *testing.T) {
	n := NewNumbers()
	joined := func(first wire.ReceiverID, count int, from func(i int) netip.AddrPort) (all int) {
		for i := range count {
			id := first + wire.ReceiverID(i)
			n.Offer(0, id, from(i), false, false)
			if n.Packet(0, id, from(i), true) == Counts {
				all++
			}
		}
		return all
	}
	of := func(host int) func(int) netip.AddrPort {
		return func(i int) netip.AddrPort { return port(host, 1000+i) }
	}
	if got := joined(1, 1000, func(i int) netip.AddrPort { return port(100+i, 5000) }); got != 1000 {
		t.Errorf("of a thousand machines %d join", got)
	}
	if got := joined(10_000, 1000, of(1)); got != receiversOfAddress || n.hosts[addr(1)].offered != offersOfAddress {
		t.Errorf("%d receivers join at one address, %d have offered", got, n.hosts[addr(1)].offered)
	}
	n.Leave(10_000)
	if n.Packet(0, 10_000+receiversOfAddress, port(1, 1000+receiversOfAddress), true) != Counts {
		t.Error("one that leaves makes no room")
	}
	loopback := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(1000+i))
	}
	if got := joined(20_000, 100, loopback); got != 100 {
		t.Errorf("%d receivers join on this host", got)
	}
	if got := joined(1_000_000, 2*maxNumbers, func(i int) netip.AddrPort { return port(10_000+i, 5000) }); got > newAtOnce || len(n.bound) > maxNumbers {
		t.Errorf("%d of a flood of addresses join, %d numbers are kept", got, len(n.bound))
	}
	// Who proves the address joins during the flood.
	if n.Prove(0, 999_999, port(2, 5000), false) != Counts || n.Packet(0, 999_999, port(2, 5000), true) != Counts {
		t.Error("one that proves its address does not join during a flood")
	}
	n.Retain(func(wire.ReceiverID) bool { return false })
	n.forget(2 * offerTime)
	if len(n.bound) != 0 || len(n.hosts) != 0 {
		t.Errorf("%d numbers of %d hosts are never forgotten", len(n.bound), len(n.hosts))
	}
	for i := range maxNumbers + 10 {
		n.Prove(0, wire.ReceiverID(i), port(i, 5000), false)
	}
	if len(n.bound) != maxNumbers {
		t.Errorf("%d numbers are kept", len(n.bound))
	}
}
