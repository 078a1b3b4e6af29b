package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Kind is the kind of packet that Next wants sent.
type Kind uint8

// The kinds.
const (
	Nothing Kind = iota
	Symbol
	ZeroRun
	Subblocks
)

// Send is a packet of the stream. The driver fills in the symbol's bytes. Subblocks stands
// for as many packets as the digests of a block of the image need; they have no sequence
// number.
type Send struct {
	Kind      Kind
	Symbol    wire.Symbol
	Zeros     wire.ZeroRun
	Subblocks Ref
}

// Next returns the next packet of the stream, which the driver sends, however long
// that takes; or Nothing, until a Handle function, Ready or SetGateClosed was called, or Deadline
// has come.
func (e *Engine) Next(now time.Duration) Send {
	if len(e.peers.list) == 0 || e.gateClosed || e.over() {
		e.flow.held, e.flow.wakeAt = false, never
		e.rest(now)
		return Send{}
	}
	e.stalled, e.regularIdle = false, false
	e.reckon(now)
	if e.subblocks.due() {
		e.wake(now)
		return e.nextSubblocks(now)
	}
	i, id, kind, run := e.pick()
	if kind == Nothing && e.subblocks.any() {
		if e.subblocks.queued.count > 0 {
			e.wake(now)
			return e.nextSubblocks(now)
		}
		e.stalled = true
	}
	if e.regularIdle && e.subblocks.queued.count == 0 {
		e.rest(now)
	} else {
		e.wake(now)
	}
	switch kind {
	case Nothing:
		return Send{}
	case ZeroRun:
		e.sequence++
		return Send{Kind: ZeroRun, Zeros: wire.ZeroRun{Session: e.session, Sequence: e.sequence, First: block.ID(run.Lo), Count: uint32(run.Len())}}
	}
	e.sequence++
	b := &e.blocks[i]
	b.sent(e.sequence)
	r := e.ref(i)
	return Send{Kind: Symbol, Symbol: wire.Symbol{
		Session: e.session, Sequence: e.sequence, Object: r.Object, Block: r.Block, Symbol: id, K: b.k,
	}}
}

// over reports whether the session has ended.
func (e *Engine) over() bool { return e.state >= wire.SenderImageChanged }

// pick chooses between the regular receivers and the stragglers (S2).
func (e *Engine) pick() (i uint32, id block.SymbolID, kind Kind, run block.Range) {
	if e.stragglerBudget > 0 {
		if e.stragglersNext = !e.stragglersNext; e.stragglersNext {
			if i, id, kind, run = e.pickStragglers(); kind != Nothing {
				e.stragglerBudget--
				return
			}
			e.stragglerBudget = 0
		}
	}
	if i, id, kind, run = e.pickRegular(); kind != Nothing {
		if e.stragglerCredit++; e.stragglerCredit == stragglerInstalment*stragglerShare {
			e.stragglerCredit, e.stragglerBudget = 0, stragglerInstalment
		}
		return
	}
	e.regularIdle = true
	e.stragglerCredit, e.stragglerBudget = 0, 0
	return e.pickStragglers()
}

// pickRegular lets repair and the carousel take turns: one packet of repair in repairSpacing,
// so that a burst of loss does not take what is to repair it, and one in two when that
// is too few.
func (e *Engine) pickRegular() (i uint32, id block.SymbolID, kind Kind, run block.Range) {
	spacing := repairSpacing
	if e.repairPending.count+e.jobs.len() > Interleave/4 {
		spacing = 2
	}
	e.sinceRepair++
	repairNext := e.sinceRepair >= spacing
	if repairNext {
		e.sinceRepair = 0
		if i, id, ok := e.pickRepair(); ok {
			return i, id, Symbol, run
		}
	}
	if i, id, kind, run = e.pickCarousel(&e.regular); kind != Nothing || repairNext {
		return
	}
	if i, id, ok := e.pickRepair(); ok {
		return i, id, Symbol, run
	}
	return
}

// pickStragglers serves the stragglers' NACKs, then their ranges.
func (e *Engine) pickStragglers() (i uint32, id block.SymbolID, kind Kind, run block.Range) {
	if i, id, ok := e.pickJob(&e.stragglerJobs); ok {
		return i, id, Symbol, run
	}
	return e.pickCarousel(&e.stragglers)
}

// pickRepair takes the next symbol that is pending.
func (e *Engine) pickRepair() (i uint32, id block.SymbolID, ok bool) {
	if i, id, ok := e.pickJob(&e.jobs); ok {
		return i, id, true
	}
	for {
		if e.turn >= e.actives {
			e.turn = 0
			e.activate()
			if e.actives == 0 {
				return 0, 0, false
			}
		}
		i = e.active[e.turn]
		b := &e.blocks[i]
		if b.repairPending == 0 {
			e.actives--
			e.active[e.turn] = e.active[e.actives]
			continue
		}
		e.turn++
		if b.repairPending--; b.repairPending == 0 {
			e.repairPending.remove(i)
		}
		return i, b.nextRepair(), true
	}
}

// activate fills up the blocks that take turns, none of which is left behind.
func (e *Engine) activate() {
	for wrapped := false; e.actives < e.interleave && e.repairPending.count > e.actives; {
		i, ok := e.repairPending.next(e.cursor)
		switch {
		case ok && !e.isActive(i):
			e.active[e.actives] = i
			e.actives++
		case !ok && wrapped:
			return
		}
		e.cursor = i + 1
		if !ok {
			wrapped, e.cursor = true, 0
		}
	}
}

func (e *Engine) isActive(i uint32) bool {
	for _, a := range e.active[:e.actives] {
		if a == i {
			return true
		}
	}
	return false
}

// rest records that there is nothing to send for the regular receivers.
func (e *Engine) rest(now time.Duration) {
	if e.idle {
		return
	}
	e.idle = true
	e.beatPause = firstHeartbeat / 2
	e.beat(now)
}

// wake records that there is something to send for the regular receivers.
func (e *Engine) wake(now time.Duration) {
	if e.idle {
		e.idle = false
		e.beatPause = heartbeatEvery
		e.beatAt = min(e.beatAt, now+heartbeatEvery)
	}
	if e.passBegun {
		e.passBegun = false
		e.beat(now)
	}
}

// beat makes a heartbeat due.
func (e *Engine) beat(now time.Duration) {
	if len(e.peers.list) > 0 {
		e.beatAt = now
	}
}
