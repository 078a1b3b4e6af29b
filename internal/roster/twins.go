package roster

import (
	"net/netip"
	"time"

	"multiserver/internal/wire"
)

// twinTime is how long a machine has to be heard beside another one that has its address. A packet
// of one that was ended may come late by less.
const twinTime = time.Second

// machine is where an offer came from; the zero machine is unknown.
type machine struct {
	digest uint64
	link   int // index of the interface that it came in on
}

// offeredFrom is a receiver at an address, whose port does not matter.
type offeredFrom struct {
	id   wire.ReceiverID
	addr netip.Addr
}

// Twin is a receiver whose address another machine has too.
type Twin struct {
	Receiver  wire.ReceiverID
	Addr      netip.AddrPort
	Link      int // index of the interface that its offer came in on
	Name      string
	OtherName string
	// New: Twins has not told of its address before. Of the two that were found first, one is new.
	New bool
}

// twins knows which machines have the same address.
type twins struct {
	machines map[offeredFrom]machine
	rows     map[netip.Addr][]*Row // that have an address, and whose machine is known
	told     map[netip.Addr]bool   // addresses of which Twins has told
}

func newTwins() twins {
	return twins{
		machines: map[offeredFrom]machine{}, rows: map[netip.Addr][]*Row{}, told: map[netip.Addr]bool{},
	}
}

// OfferMachine keeps which machine an offer tells of, which came from an address by an interface
// of that index. The offer counts only if the machine asks from that address by its own knowledge:
// a router that translates addresses shows one for many machines, and does them no harm.
func (t *Table) OfferMachine(o wire.Offer, from netip.Addr, link int) {
	if o.Machine == 0 || o.Source != from.WithZone("") || from.IsLoopback() {
		return
	}
	if len(t.twins.machines) >= MaxRows {
		clear(t.twins.machines)
	}
	t.twins.machines[offeredFrom{o.Receiver, from}] = machine{o.Machine, link}
	if r := t.byID[o.Receiver]; r != nil && r.Addr.Addr() == from {
		t.setMachine(r, machine{o.Machine, link})
	}
}

// Twins appends to dst the unfinished receivers whose address is another machine's too.
func (t *Table) Twins(dst []Twin) []Twin {
	for _, r := range t.rows {
		if !r.SharesAddress || r.Outcome != Pending {
			continue
		}
		dst = append(dst, Twin{r.id, r.Addr, r.machine.link, r.Name, r.twin, !t.twins.told[r.known]})
		t.twins.told[r.known] = true
	}
	return dst
}

// TwinOf is the name of another machine that has a receiver's address.
func (t *Table) TwinOf(id wire.ReceiverID) (name string, ok bool) {
	if r := t.byID[id]; r != nil && r.SharesAddress {
		return r.twin, true
	}
	return "", false
}

// move records that a row is at its address from now on.
func (t *Table) move(now time.Time, id wire.ReceiverID, r *Row) {
	t.forgetMachine(r)
	r.since = now
	if m := t.twins.machines[offeredFrom{id, r.Addr.Addr()}]; m != (machine{}) {
		t.setMachine(r, m)
	}
}

func (t *Table) setMachine(r *Row, m machine) {
	if r.machine == (machine{}) {
		addr := r.Addr.Addr()
		t.twins.rows[addr] = append(t.twins.rows[addr], r)
		r.known = addr
	}
	r.machine = m
}

func (t *Table) forgetMachine(r *Row) {
	if r.machine == (machine{}) {
		return
	}
	rest := t.twins.rows[r.known][:0]
	for _, other := range t.twins.rows[r.known] {
		if other != r {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(t.twins.rows, r.known)
	} else {
		t.twins.rows[r.known] = rest
	}
	r.machine, r.SharesAddress, r.twin = machine{}, false, ""
}

// findTwin looks for another machine at the address of a row that was just heard. Both are
// unfinished, and each has been heard after the other came: a machine that was started again,
// or one that has the lease of another one now, is not beside itself.
func (t *Table) findTwin(now time.Time, r *Row) {
	if r.machine == (machine{}) || r.SharesAddress || r.Outcome != Pending {
		return
	}
	for _, other := range t.twins.rows[r.known] {
		if other == r || other.machine == r.machine || other.machine.link != r.machine.link || other.Outcome != Pending {
			continue
		}
		if now.Sub(other.since) < twinTime || other.LastSeen.Sub(r.since) < twinTime {
			continue
		}
		r.SharesAddress, r.twin = true, other.Name
		if !other.SharesAddress {
			other.SharesAddress, other.twin = true, r.Name
		}
		return
	}
}
