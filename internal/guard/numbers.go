package guard

import (
	"net/netip"
	"time"

	"multiserver/internal/wire"
)

const (
	// maxNumbers bounds the receivers' numbers that are kept, some 150 bytes each: as many as the
	// engines keep receivers.
	maxNumbers = 1 << 16
	// offersOfAddress is how many numbers one address may have offered and not joined with, and
	// receiversOfAddress with how many it may receive at a time. This host's own loopback has no
	// such limits.
	offersOfAddress    = 64
	receiversOfAddress = 16
	// newAtOnce and newPerSecond are how many numbers may be offered by hosts that have not proved
	// their address: a room of a thousand machines of an earlier version boots at once.
	newAtOnce, newPerSecond = 4096, 64
	// offerTime is how long an offer counts with which nobody has joined.
	offerTime = time.Minute
	// moveAfter is how long a number must have been silent before it counts from another address
	// without a proof. Receivers of earlier versions send none.
	moveAfter = 2 * time.Second
)

// Verdict is what becomes of a packet.
type Verdict int

// The verdicts.
const (
	// Refused: the packet does not count.
	Refused Verdict = iota
	// Counts: it does.
	Counts
	// Displaces: it does, and what the number did before was a stranger's.
	Displaces
)

// number is one receiver's.
type number struct {
	at     netip.AddrPort // the only address that it counts from
	proven bool           // what is sent there arrives at the receiver
	asked  bool           // its receiver was asked for a proof
	joined bool           // it counts as one of its address
	heard  time.Duration  // when its last packet counted
	next   netip.AddrPort // another address that has offered it
	nextAt time.Duration
}

// host is how many numbers an address has.
type host struct{ offered, joined int }

// Numbers binds receivers' numbers to the addresses that they count from. An offer binds a number
// that is free. It stays bound until a proof comes from elsewhere, or if nobody has proved it,
// until it is silent. Make it by NewNumbers.
type Numbers struct {
	bound map[wire.ReceiverID]*number
	hosts map[netip.Addr]host
	fresh Bucket
	swept time.Duration
}

// NewNumbers returns a Numbers that knows nobody.
func NewNumbers() *Numbers {
	return &Numbers{bound: map[wire.ReceiverID]*number{}, hosts: map[netip.Addr]host{}, fresh: NewBucket(newPerSecond, newAtOnce)}
}

// Offer records an offer from an address. asks says that the answer asks for a proof, and digest that
// the offer shows that its sender knows the number's private number. It reports whether the address
// may be told that: not if another address has proved the number.
func (n *Numbers) Offer(now time.Duration, id wire.ReceiverID, from netip.AddrPort, asks, digest bool) bool {
	b := n.bound[id]
	if b != nil {
		b.asked = b.asked || asks
	}
	switch {
	case b == nil:
		if n.mayOffer(now, from.Addr()) && n.fresh.Take(now) {
			n.bind(now, id, from).asked = asks
		}
		return true
	case b.at == from:
		if !b.joined {
			b.heard = now
		}
		return true
	case b.proven:
		return digest
	}
	b.next, b.nextAt = from, now
	return true
}

// Packet judges a packet of a receiver. joins says that it makes its sender a receiver.
func (n *Numbers) Packet(now time.Duration, id wire.ReceiverID, from netip.AddrPort, joins bool) Verdict {
	b := n.bound[id]
	switch {
	case b == nil:
		return Refused
	case b.at == from:
	case b.proven || b.next != from || now-b.nextAt > offerTime || now-b.heard < moveAfter:
		return Refused
	default:
		n.move(b, from)
	}
	if joins && !b.joined && !n.join(b) {
		return Refused
	}
	b.heard = now
	return Counts
}

// Prove judges a proof of an address that holds. digest says that it shows that it knows the number's
// private number.
func (n *Numbers) Prove(now time.Duration, id wire.ReceiverID, from netip.AddrPort, digest bool) Verdict {
	b, verdict := n.bound[id], Counts
	switch {
	case b == nil:
		if !n.mayOffer(now, from.Addr()) {
			return Refused
		}
		b = n.bind(now, id, from)
	case b.at == from:
	case b.proven && !digest:
		return Refused
	default:
		if !b.proven {
			verdict = Displaces
		}
		n.move(b, from)
	}
	b.proven = true
	return verdict
}

// Proven reports whether a number's address is proven.
func (n *Numbers) Proven(id wire.ReceiverID) bool {
	b := n.bound[id]
	return b != nil && b.proven
}

// Owes reports whether a number's receiver was asked for a proof, and none has come: perhaps it is a
// stranger who speaks.
func (n *Numbers) Owes(id wire.ReceiverID) bool {
	b := n.bound[id]
	return b != nil && b.asked && !b.proven
}

// Leave records that a receiver has ended. Its number stays bound: its goodbye may come again.
func (n *Numbers) Leave(id wire.ReceiverID) {
	if b := n.bound[id]; b != nil && b.joined {
		b.joined = false
		n.count(b.at.Addr(), 1, -1)
	}
}

// Retain has all receivers leave that are no longer known.
func (n *Numbers) Retain(known func(wire.ReceiverID) bool) {
	for id, b := range n.bound {
		if b.joined && !known(id) {
			n.Leave(id)
		}
	}
}

func (n *Numbers) bind(now time.Duration, id wire.ReceiverID, from netip.AddrPort) *number {
	b := &number{at: from, heard: now}
	n.bound[id] = b
	n.count(from.Addr(), 1, 0)
	return b
}

// move binds a number to another address. It joins there anew.
func (n *Numbers) move(b *number, to netip.AddrPort) {
	if b.joined {
		n.count(b.at.Addr(), 0, -1)
	} else {
		n.count(b.at.Addr(), -1, 0)
	}
	b.at, b.next, b.joined = to, netip.AddrPort{}, false
	n.count(to.Addr(), 1, 0)
}

func (n *Numbers) join(b *number) bool {
	addr := b.at.Addr()
	if n.hosts[addr].joined >= receiversOfAddress && !addr.IsLoopback() {
		return false
	}
	b.joined = true
	n.count(addr, -1, 1)
	return true
}

func (n *Numbers) count(addr netip.Addr, offered, joined int) {
	h := n.hosts[addr]
	h.offered += offered
	h.joined += joined
	if h == (host{}) {
		delete(n.hosts, addr)
		return
	}
	n.hosts[addr] = h
}

// mayOffer reports whether an address may have one number more.
func (n *Numbers) mayOffer(now time.Duration, addr netip.Addr) bool {
	full := len(n.bound) >= maxNumbers || n.hosts[addr].offered >= offersOfAddress && !addr.IsLoopback()
	if full && now-n.swept > time.Second {
		n.swept = now
		n.forget(now)
		full = len(n.bound) >= maxNumbers || n.hosts[addr].offered >= offersOfAddress && !addr.IsLoopback()
	}
	return !full
}

// forget drops the numbers that are not in use.
func (n *Numbers) forget(now time.Duration) {
	for id, b := range n.bound {
		if !b.joined && now-b.heard > offerTime {
			n.count(b.at.Addr(), -1, 0)
			delete(n.bound, id)
		}
	}
}
