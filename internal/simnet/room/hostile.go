package room

import (
	"fmt"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/wire"
)

// accident is how many blocks may fail their digest before a receiver gives up.
const accident = 16

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

// record records a packet that the sender has taken.
func (p *replayer) record(b []byte) {
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
	p.record(b)
	for p.rand.Float64() < r.cfg.Replays {
		s, ok := p.next()
		if !ok {
			return
		}
		r.Result.Replayed++
		r.handle(t, s.packet)
		if p.gone[s.receiver] && r.sender.Knows(s.receiver) {
			r.err = fmt.Errorf("the sender takes in receiver %d again, which has said goodbye", s.receiver)
		}
	}
}

// forger is a peer on the way to a receiver, which makes up packets of the session that claim
// what cannot be.
type forger struct {
	rand  *rand.Rand
	taken int            // packets of the stream, before
	beat  wire.Heartbeat // the last one
}

// longOver is after how many packets number 1 is so old that a forged packet with it takes no
// other's place.
const longOver = 256

// begin: what was heard of another session is not needed.
func (f *forger) begin() { f.taken, f.beat = 0, wire.Heartbeat{} }

// forge hands n a packet that must change nothing.
func (n *node) forge(now time.Duration) {
	f, e, blocks := &n.forger, n.engine, n.room.cfg.Blocks
	if f.taken++; f.taken < longOver || f.rand.Float64() >= n.spec.Forged {
		return
	}
	wrong := func(format string, args ...any) {
		n.room.err = fmt.Errorf("receiver %d "+format, append([]any{n.number}, args...)...)
	}
	beyond := block.ID(blocks + uint32(f.rand.IntN(block.MaxBlockCount-int(blocks))))
	tooMany := uint16(n.room.geometry.MaxK(0, symbolSize) + 1 + f.rand.IntN(10_000))
	switch f.rand.IntN(8) {
	case 0:
		s := wire.Symbol{Sequence: 1, Block: block.ID(f.rand.IntN(int(blocks))), Symbol: block.SymbolID(f.rand.IntN(3)), K: tooMany}
		if v := e.HandleSymbol(now, &s).Verdict; v != receiver.Invalid && v != receiver.Duplicate {
			wrong("takes a symbol of a block of %d: verdict %d", tooMany, v)
		}
	case 1:
		s := wire.Symbol{Sequence: 1, Block: beyond, K: 1}
		if v := e.HandleSymbol(now, &s).Verdict; v != receiver.Invalid {
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
		f.send(n, now, h)
	case 4:
		h := f.beat
		h.CarouselBlock = beyond
		f.send(n, now, h)
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
	}
	n.arm()
}

// send hands over a heartbeat, if one came to make it from.
func (f *forger) send(n *node, now time.Duration, h wire.Heartbeat) {
	if h.ReportInterval > 0 {
		n.engine.HandleHeartbeat(now, h)
	}
}

// giveUp ends a receiver that cannot go on.
func (n *node) giveUp(now time.Duration) {
	outcome, reason, ok := n.engine.GaveUp()
	if !ok || n.done != 0 {
		return
	}
	if outcome != wire.OutcomeIntegrity || n.spec.BadBlocks <= accident {
		n.room.err = fmt.Errorf("receiver %d gives up: outcome %d, %s", n.number, outcome, reason)
	}
	n.gaveUp, n.done = true, now
	n.engine.Leave(now, outcome, reason)
}

// mustHaveGivenUp reports whether so many blocks failed that they cannot be an accident.
// Of those that were filled from a target nobody knows better.
func (n *node) mustHaveGivenUp() bool {
	return n.spec.OldContent == nil && n.spec.BadBlocks-n.badBlocks > accident
}
