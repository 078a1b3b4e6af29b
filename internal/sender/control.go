package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Deadline is when Poll wants to be called next, and Next if a block is held back.
func (e *Engine) Deadline() time.Duration {
	return min(e.advAt, e.ackAt, e.beatAt, e.checkAt, e.flow.wakeAt)
}

// Poll appends to dst the next control packet that is due, for all receivers of the engine's
// stream (the data group, or those served by unicast), and reports whether there was one. It
// is called until there is none, then at Deadline, and after Next and the Handle functions,
// which may move that; early calls are harmless.
func (e *Engine) Poll(now time.Duration, dst []byte) ([]byte, bool) {
	if now >= e.checkAt {
		e.checkAt = now + peersEvery
		e.removeSilent(now)
	}
	if now >= e.flow.wakeAt {
		e.flow.wakeAt = now + roomEvery
	}
	if now >= e.advAt {
		e.advAt = never
		if dst, sent := e.appendRepairAdv(dst); sent {
			return dst, true
		}
	}
	if now >= e.ackAt {
		e.ackAt = never
		dst = wire.GoodbyeAck{Session: e.session, Receivers: e.acks}.AppendTo(dst)
		e.acks = e.acks.Reset()
		return dst, true
	}
	if now >= e.beatAt {
		return e.appendHeartbeat(now, dst), true
	}
	return dst, false
}

// appendRepairAdv appends the repair advertisement: the repair that is still pending of its
// blocks. Symbols that were sent in the meantime need no announcement.
func (e *Engine) appendRepairAdv(dst []byte) ([]byte, bool) {
	e.advList = e.advList.Reset()
	for _, i := range e.advBlocks {
		if owed := e.blocks[i].repairPending; owed > 0 {
			r := e.ref(i)
			e.advList = e.advList.Append(wire.SymbolCount{Object: r.Object, Block: r.Block, Symbols: owed})
		}
	}
	e.advBlocks = e.advBlocks[:0]
	if e.advList.Len() == 0 {
		return dst, false
	}
	return wire.RepairAdv{Session: e.session, Sequence: e.sequence, Pending: e.advList}.AppendTo(dst), true
}

// appendHeartbeat appends a heartbeat with the state of the stream (S12).
func (e *Engine) appendHeartbeat(now time.Duration, dst []byte) []byte {
	h := wire.Heartbeat{
		Session:        e.session,
		Sequence:       e.sequence,
		State:          e.State(),
		Pass:           e.pass,
		Receivers:      uint32(len(e.peers.list)),
		ReportInterval: e.Interval(),
		RoundTrip:      e.roundTrip,
		Clock:          e.clock(now),
		Completion:     e.completion,
		CarouselBlock:  e.carouselBlock(),
		Sample:         e.sample,
	}
	h.PassEnded = !e.over() && e.passEnded()
	if e.idle {
		e.beatPause = min(2*e.beatPause, heartbeatEvery)
	} else {
		e.beatPause = heartbeatEvery
	}
	e.beatAt = now + max(e.beatPause, firstHeartbeat)
	if e.news--; e.news > 0 {
		e.beatAt = now + firstHeartbeat
	}
	return h.AppendTo(dst)
}

// State is what the sender is busy with.
func (e *Engine) State() wire.SenderState {
	switch {
	case e.over():
	case e.gateClosed:
		return wire.SenderWaiting
	case e.idle && e.stalled:
		return wire.SenderStalled
	}
	return e.state
}

// Sequence is the last one sent.
func (e *Engine) Sequence() wire.Sequence { return e.sequence }

// carouselBlock is where the carousel is: the lowest block of the image that is being sent, or
// where the search for the next one begins. While the regular receivers want
// nothing it is the stragglers' carousel.
func (e *Engine) carouselBlock() block.ID {
	w := &e.regular
	if e.passEnded() && (len(e.stragglers.members) > 0 || e.stragglers.todo.Count() > 0) {
		w = &e.stragglers
	}
	at := uint32(min(w.at, uint64(e.image)-1))
	for _, m := range w.members {
		at = min(at, m.index)
	}
	return block.ID(at)
}

// passEnded reports whether no repair is pending for the regular receivers, and no sub-block
// digests for any receiver.
func (e *Engine) passEnded() bool {
	m := &e.regular
	return len(m.members) == 0 && m.todo.Count() == 0 && len(m.zeros)+len(m.repeat) == 0 && e.repairPending.count == 0 && e.jobs.len() == 0 && !e.subblocks.any()
}

// removeSilent drops receivers that have been silent for long, with their requests (S15).
func (e *Engine) removeSilent(now time.Duration) {
	limit := lapseIntervals*e.Interval() + lapseTime
	for i := 0; i < len(e.peers.list); {
		p := e.peers.list[i]
		if now-p.heard <= limit {
			i++
			continue
		}
		e.peers.remove(p.id)
	}
	if len(e.peers.list) == 0 {
		e.clear()
	}
}
