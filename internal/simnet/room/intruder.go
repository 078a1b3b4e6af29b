package room

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/guard"
	"multiserver/internal/wire"
)

// intruder is a host that speaks to the sender as receivers do, with contents of its own: in its own
// numbers, which it offers as they do, and in theirs, which it knows.
type intruder struct {
	rand    *rand.Rand
	session wire.SessionID // in which it has offered its own numbers
}

const (
	// intruderFirst is the first of the intruder's own numbers, intruderCount how many it has.
	intruderFirst wire.ReceiverID = 1 << 40
	intruderCount                 = 12
)

// origin is where a packet comes from.
type origin struct {
	addr    netip.AddrPort
	network int
}

func (n *node) origin() origin { return origin{n.machine.addr, n.machine.network} }

// isIntruder reports whether a number is one of the intruder's own.
func isIntruder(id wire.ReceiverID) bool { return id >= intruderFirst }

// at is the intruder's port for a number.
func (i *intruder) at(id wire.ReceiverID) origin {
	return origin{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 0, 1}), uint16(1000+id%1000)), 0}
}

// intrude lets the sender hear something of the intruder, before what it hears from a receiver.
func (r *Room) intrude(t time.Duration) {
	i, s := &r.intruder, r.server
	if i.session != s.id {
		i.session = s.id
		i.begin(r, t)
	}
	for i.rand.Float64() < r.cfg.Intruder {
		id := intruderFirst + wire.ReceiverID(i.rand.IntN(intruderCount))
		if i.rand.IntN(2) == 0 {
			id = r.nodes[i.rand.IntN(len(r.nodes))].id
		}
		known, proven := s.knows(id), s.numbers.Proven(id)
		packet := i.packet(r, id)
		s.handle(t, packet, i.at(id))
		if !isIntruder(id) && proven && (known != s.knows(id) || !s.numbers.Proven(id)) {
			r.fail("a stranger's packet %x begins or ends receiver %d", packet, id)
		}
	}
}

// begin offers its own numbers, and says everything first, in the receivers' numbers: they are free
// when a session begins.
func (i *intruder) begin(r *Room, t time.Duration) {
	s := r.server
	for n := range wire.ReceiverID(intruderCount) {
		s.numbers.Offer(t, intruderFirst+n, i.at(intruderFirst+n).addr, true, false)
	}
	for _, n := range r.nodes {
		if i.rand.IntN(2) == 0 {
			continue
		}
		s.numbers.Offer(t, n.id, i.at(n.id).addr, true, false)
		report := wire.Report{Session: s.id, Receiver: n.id, Number: 1<<32 - 1}
		s.handle(t, report.AppendTo(nil), i.at(n.id))
		if i.rand.IntN(2) == 0 {
			s.handle(t, wire.Goodbye{Session: s.id, Receiver: n.id, Outcome: wire.OutcomeDone}.AppendTo(nil), i.at(n.id))
		}
	}
}

// packet is a valid one of any type that a receiver may send, with random contents.
func (i *intruder) packet(r *Room, id wire.ReceiverID) []byte {
	s, any := r.server, i.rand
	session, blocks := s.id, int(r.cfg.Blocks)
	highest := wire.Sequence(any.Int64N(int64(s.of(id).engine.Sequence()&(1<<38)) + int64(r.Result.packets()) + 100))
	anyBlock := func() block.ID { return block.ID(any.IntN(blocks + 2)) }
	some := 1 + any.IntN(8)
	switch any.IntN(9) {
	case 0:
		p := wire.Wanted{Session: session, Receiver: id, Highest: highest, Generation: any.Uint32(), Pages: 1}
		p.Ranges = p.Ranges.Append(wire.Range{Object: wire.Object(any.IntN(2)), First: anyBlock(), Count: 1 + uint32(any.IntN(blocks))})
		return p.AppendTo(nil)
	case 1:
		p := wire.WantedSymbols{Session: session, Receiver: id, Highest: highest}
		p.Ranges = p.Ranges.Append(wire.SymbolRange{Object: wire.Object(any.IntN(2)), Block: anyBlock(), First: uint16(any.IntN(int(r.cfg.K))), Count: 1 + uint16(any.IntN(int(r.cfg.K)))})
		return p.AppendTo(nil)
	case 2:
		p := wire.WantedSubblocks{Session: session, Receiver: id, Highest: highest}
		p.Blocks = p.Blocks.Append(wire.Range{First: anyBlock(), Count: 1 + uint32(any.IntN(wire.MaxSubblockBlocks))})
		return p.AppendTo(nil)
	case 3:
		p := wire.ProbeReport{Session: session, Receiver: id, Train: any.Uint32()}
		if any.IntN(2) == 0 {
			p.Steps = p.Steps.Append(wire.ProbeStep{Step: uint16(any.IntN(3)), LargestPacket: 1472, Received: 1 + any.Uint32N(200), Span: time.Duration(any.IntN(1_000_000)) * time.Microsecond})
		}
		return p.AppendTo(nil)
	case 4:
		return wire.Goodbye{
			Session: session, Receiver: id, Outcome: wire.Outcome(any.IntN(6)), BlocksDone: any.Uint32(), Again: any.IntN(2) == 0,
		}.AppendTo(nil)
	case 5:
		return wire.UnicastRequest{Session: session, Receiver: id, Token: wire.Token(any.Uint64()), Wanted: any.IntN(2) == 0}.AppendTo(nil)
	case 6:
		return wire.AddressProof{Session: session, Receiver: id, Proof: wire.Token(any.Uint64()), Digest: wire.PrivateDigest(any.Uint64())}.AppendTo(nil)
	}
	p := wire.Report{
		Session: session, Receiver: id, Number: any.Uint32(), Highest: highest, Clock: wire.Clock(any.Uint32()),
		ClockHeld: time.Duration(any.IntN(1_000_000)) * time.Microsecond, BlocksDone: any.Uint32N(r.cfg.Blocks + 2), Limit: wire.Limit(any.IntN(5)),
		Counts: wire.PacketCounts{Received: uint64(highest) * any.Uint64N(100) / 100, Lost: uint64(highest) * any.Uint64N(100) / 100},
	}
	for range some {
		p.NACKs = p.NACKs.Append(wire.SymbolCount{Object: wire.Object(any.IntN(2)), Block: anyBlock(), Symbols: 1 + uint16(any.IntN(1<<16-1))})
	}
	return p.AppendTo(nil)
}

// counts reports whether a packet of a receiver counts from there. One that does not is told.
func (s *server) counts(t time.Duration, id wire.ReceiverID, from origin, joins bool) bool {
	if s.numbers == nil || s.numbers.Packet(t, id, from.addr, joins) == guard.Counts {
		return true
	}
	if n := s.room.nodeAt(id, from); n != nil && n.done == 0 {
		n.way.engine.Unknown(t - n.way.origin)
	} else if n != nil {
		n.offer(t) // a driver asks when its goodbye is not acknowledged
	}
	return false
}

// nodeAt is the receiver of that number, if it is there and has not gone; else nil.
func (r *Room) nodeAt(id wire.ReceiverID, at origin) *node {
	if isIntruder(id) {
		return nil
	}
	if n := r.nodes[id-1]; n.machine.addr == at.addr && n.engine != nil && !n.gone {
		return n
	}
	return nil
}

// handleGoodbye ends a receiver. One that owes a proof hears of it alone.
func (s *server) handleGoodbye(t time.Duration, p wire.Goodbye, from origin) {
	owes := s.numbers != nil && s.numbers.Owes(p.Receiver)
	if s.numbers != nil {
		s.numbers.Leave(p.Receiver)
	}
	for _, st := range s.streams() {
		switch {
		case st == nil:
		case owes:
			st.engine.EndReceiver(p.Receiver)
		default:
			st.engine.HandleGoodbye(t, p)
		}
	}
	if n := s.room.nodeAt(p.Receiver, from); owes && n != nil {
		ack := wire.GoodbyeAck{Session: s.id}
		ack.Receivers = ack.Receivers.Append(p.Receiver)
		n.takeControl(t, parseControl(ack.AppendTo(nil)))
	}
}

// handleAddressProof binds a number.
func (s *server) handleAddressProof(t time.Duration, p wire.AddressProof, from origin) {
	if s.numbers == nil || p.Proof != s.peers.Proof(p.Receiver, from.addr) {
		return
	}
	if s.numbers.Prove(t, p.Receiver, from.addr, false) != guard.Displaces {
		return
	}
	if s.peers.Serves(p.Receiver) {
		s.peers.Drop(p.Receiver)
		s.endUnicast(p.Receiver)
	}
	for _, st := range s.streams() {
		if st != nil {
			st.engine.Forget(p.Receiver)
		}
	}
	if s.start.prober != nil {
		s.start.prober.Forget(p.Receiver)
	}
	s.board.table.Displace(time.Unix(0, 0).Add(t), p.Receiver, from.addr)
}

// checkTrueRows holds the rows of the receivers' own addresses against what became of them. The
// others are the intruder's.
func (r *Room) checkTrueRows() error {
	for number, b := range r.sessions {
		last := number == len(r.sessions)-1
		if last {
			r.Result.Failed, r.Result.All = b.table.Verdict()
		}
		for _, row := range b.table.Rows() {
			for _, n := range r.nodes {
				if row.Addr != n.machine.addr {
					continue
				}
				if err := n.checkOutcome(wire.SessionID(number+1), last, row.Outcome); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
