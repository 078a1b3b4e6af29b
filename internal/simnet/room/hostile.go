package room

import (
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/wire"
)

// replayer is a peer on the way to the sender. It keeps what receivers say, and says it
// again once that is stale, which must change nothing.
type replayer struct {
	rand       *rand.Rand
	kept       [256]stale
	count      int // of all so far
	generation map[wire.ReceiverID]uint32
	number     map[wire.ReceiverID]uint32
	gone       map[wire.ReceiverID]bool
}

// stale is a packet, which may not be stale yet.
type stale struct {
	packet     []byte
	kind       wire.Type
	receiver   wire.ReceiverID
	generation uint32
	number     uint32
}

// newReplayer returns a replayer of one session.
func newReplayer(r *rand.Rand) replayer {
	return replayer{rand: r, generation: map[wire.ReceiverID]uint32{}, number: map[wire.ReceiverID]uint32{}, gone: map[wire.ReceiverID]bool{}}
}

// keep records a packet that the sender has taken.
func (p *replayer) keep(b []byte) {
	s := stale{packet: b}
	s.kind, _, _ = wire.Peek(b)
	switch s.kind {
	case wire.TypeReport:
		r, err := wire.ParseReport(b)
		if err != nil {
			return
		}
		s.receiver, s.number = r.Receiver, r.Number
		p.number[r.Receiver] = max(p.number[r.Receiver], r.Number)
	case wire.TypeWanted:
		w, err := wire.ParseWanted(b)
		if err != nil {
			return
		}
		s.receiver, s.generation = w.Receiver, w.Generation
		p.generation[w.Receiver] = max(p.generation[w.Receiver], w.Generation)
	case wire.TypeWantedSymbols:
		w, err := wire.ParseWantedSymbols(b)
		if err != nil {
			return
		}
		s.receiver = w.Receiver
	case wire.TypeGoodbye:
		g, err := wire.ParseGoodbye(b)
		if err != nil {
			return
		}
		p.gone[g.Receiver] = true
		return
	default:
		return
	}
	p.kept[p.count%len(p.kept)] = s
	p.count++
}

// next returns a packet that is stale by now, if it finds one.
func (p *replayer) next() (s stale, ok bool) {
	for range min(p.count, 8) {
		s = p.kept[p.rand.IntN(min(p.count, len(p.kept)))]
		switch {
		case p.gone[s.receiver]:
			return s, true
		case s.kind == wire.TypeReport && s.number <= p.number[s.receiver]:
			return s, true
		case s.kind == wire.TypeWanted && s.generation < p.generation[s.receiver]:
			return s, true
		}
	}
	return s, false
}

// replay lets the sender hear stale packets again, after b.
func (r *Room) replay(t time.Duration, b []byte) {
	p := &r.replayer
	p.keep(b)
	for p.rand.Float64() < r.cfg.Replays {
		s, ok := p.next()
		if !ok {
			return
		}
		r.Result.Replayed++
		r.server.handle(t, s.packet, r.nodes[s.receiver-1].origin())
		if p.gone[s.receiver] && r.server.knows(s.receiver) {
			r.fail("the sender takes in receiver %d again, which has said goodbye", s.receiver)
		}
	}
}

// forger is a peer on the way to a receiver, which makes up packets of the session that claim
// what cannot be.
type forger struct {
	rand  *rand.Rand
	taken int            // symbols of the stream, before
	beat  wire.Heartbeat // the last one
}

// longOver is after how many packets number 1 is so old that a forged packet with it takes no
// other's place.
const longOver = 256

// begin: what was heard of another session is of no use.
func (f *forger) begin() { f.taken, f.beat = 0, wire.Heartbeat{} }

// forge hands n a packet that must change nothing.
func (n *node) forge(now time.Duration, p *packet) {
	f, e, blocks := &n.forger, n.engine, n.room.cfg.Blocks
	if p.control == nil {
		f.taken++
	}
	if n.done != 0 || n.way.byUnicast() || f.taken < longOver || f.rand.Float64() >= n.spec.Forged {
		return
	}
	wrong := func(format string, args ...any) {
		n.room.fail("receiver %d "+format, append([]any{n.number}, args...)...)
	}
	beyond := block.ID(blocks + uint32(f.rand.IntN(block.MaxBlockCount-int(blocks))))
	tooMany := uint16(n.room.geometry.MaxK(0, symbolSize) + 1 + f.rand.IntN(10_000))
	switch f.rand.IntN(11) {
	case 0:
		s := wire.Symbol{Sequence: 1, Block: block.ID(f.rand.IntN(int(blocks))), Symbol: block.SymbolID(f.rand.IntN(3)), K: tooMany}
		if v := e.HandleSymbol(now, &s).Verdict; v != receiver.Invalid && v != receiver.Duplicate {
			wrong("takes a symbol of a block of %d: verdict %d", tooMany, v)
		}
	case 1:
		s := wire.Symbol{Sequence: 1, Block: beyond, K: 1}
		if v := e.HandleSymbol(now, &s).Verdict; v != receiver.Invalid && v != receiver.Duplicate {
			wrong("takes a symbol of block %d of %d: verdict %d", beyond, blocks, v)
		}
	case 2:
		z := wire.ZeroRun{Sequence: 1, First: block.ID(blocks - 1), Count: 2}
		if runs := e.HandleZeroRun(now, &z, nil); len(runs) > 0 {
			wrong("takes zeros of block %d of %d", blocks, blocks)
		}
	case 3:
		h := f.beat
		h.Completion.ManifestSize = 3 << 20
		f.tell(n, now, h)
	case 4:
		h := f.beat
		h.CarouselBlock = beyond
		f.tell(n, now, h)
	case 5:
		o := wire.RepairAdv{Sequence: f.beat.Sequence}
		o.Pending = o.Pending.Append(wire.SymbolCount{Block: beyond, Symbols: 1000})
		o.Pending = o.Pending.Append(wire.SymbolCount{Object: wire.Manifest, Block: beyond, Symbols: 1000})
		e.HandleRepairAdv(now, o)
	case 6:
		if e.HandleSubblockDigests(now, wire.SubblockDigests{Block: beyond, K: 1}) || e.HandleSubblockDigests(now, wire.SubblockDigests{K: tooMany}) {
			wrong("wants sub-blocks of block %d of %d, or of a block of %d symbols", beyond, blocks, tooMany)
		}
	case 7:
		a := wire.GoodbyeAck{}
		if a.Receivers = a.Receivers.Append(n.id + 1000); n.done == 0 {
			a.Receivers = a.Receivers.Append(n.id)
		}
		if e.HandleGoodbyeAck(now, a); e.Gone() {
			wrong("is gone by another's goodbye")
		}
	case 8: // from the future, and over
		h := f.random(blocks)
		h.Sequence = f.beat.Sequence + 1<<30 + wire.Sequence(f.rand.IntN(1<<30))
		before := e.InDoubt()
		if f.tell(n, now, h); f.beat.ReportInterval > 0 && !before && !e.InDoubt() {
			wrong("believes a heartbeat of sequence %d at %d", h.Sequence, f.beat.Sequence)
		}
	case 9:
		s := wire.Symbol{Sequence: f.beat.Sequence + 1<<30, Block: block.ID(f.rand.IntN(int(blocks))), K: 1}
		if v := e.HandleSymbol(now, &s).Verdict; v != receiver.Unbelieved {
			wrong("takes a symbol of sequence %d at %d: verdict %d", s.Sequence, f.beat.Sequence, v)
		}
	case 10:
		f.tell(n, now, f.random(blocks))
	}
	if o, reason, gaveUp := e.GaveUp(); gaveUp && o != wire.OutcomeTimeLimit && n.badBlocks == n.spec.BadBlocks {
		wrong("is ended by a forged packet: %s", reason)
	}
	n.arm()
}

// random is a heartbeat that a sender might send, with contents that nobody sent.
func (f *forger) random(blocks uint32) wire.Heartbeat {
	h := f.beat
	h.State, h.PassEnded = wire.SenderState(f.rand.IntN(7)), f.rand.IntN(2) == 0
	h.Pass, h.Receivers, h.Clock = uint32(f.rand.IntN(100)), uint32(f.rand.IntN(1000)), wire.Clock(f.rand.Uint32())
	h.ReportInterval = wire.MinInterval + time.Duration(f.rand.Int64N(int64(wire.MaxInterval-wire.MinInterval)))
	h.RoundTrip = time.Duration(f.rand.Int64N(int64(wire.MaxInterval)))
	h.CarouselBlock = block.ID(f.rand.IntN(int(blocks)))
	return h
}

// tell hands over a heartbeat, if one came to make it from.
func (f *forger) tell(n *node, now time.Duration, h wire.Heartbeat) {
	if h.ReportInterval > 0 {
		n.engine.HandleHeartbeat(now, h)
	}
}

// liar is a receiver that asks for what it has.
type liar struct{ lies uint32 }

// lie makes a report ask for much of blocks that may be in, and now and then wants
// everything again.
func (n *node) lie(now time.Duration, b *[]byte) {
	report, err := wire.ParseReport(*b)
	if err != nil {
		return
	}
	any := func() block.ID { return block.ID(n.rand.IntN(int(n.room.cfg.Blocks))) }
	report.NACKs = wire.List[wire.SymbolCount]{}
	for range 1 + n.rand.IntN(16) {
		report.NACKs = report.NACKs.Append(wire.SymbolCount{Block: any(), Symbols: uint16(1 + n.rand.IntN(1<<16-1))})
	}
	*b = report.AppendTo(nil)
	if n.rand.IntN(2) == 0 {
		return
	}
	n.liar.lies++
	wanted := wire.Wanted{
		Session: report.Session, Receiver: report.Receiver, Highest: report.Highest, Generation: 1<<20 + n.liar.lies, Pages: 1,
	}
	wanted.Ranges = wanted.Ranges.Append(wire.Range{Count: n.room.cfg.Blocks})
	symbols := wire.WantedSymbols{Session: report.Session, Receiver: report.Receiver, Highest: report.Highest}
	symbols.Ranges = symbols.Ranges.Append(wire.SymbolRange{Block: any(), Count: n.room.cfg.K})
	subblocks := wire.WantedSubblocks{Session: report.Session, Receiver: report.Receiver, Highest: report.Highest}
	subblocks.Blocks = subblocks.Blocks.Append(wire.Range{Count: min(n.room.cfg.Blocks, wire.MaxSubblockBlocks)})
	for _, p := range [][]byte{wanted.AppendTo(nil), symbols.AppendTo(nil), subblocks.AppendTo(nil)} {
		n.room.feedback.Push(now+n.delay, message{packet: p, from: n.origin()})
	}
}
