package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Deadline is when Poll wants to be called next.
func (e *Engine) Deadline() time.Duration {
	return min(e.echoAt, e.ackAt, e.beatAt, e.checkAt)
}

// Poll appends to dst the next control packet that is due, for the data group, and
// tells whether there was one. It is called until there is none, then at Deadline,
// and after Next and the Handle functions, which may move that; early calls are
// harmless.
func (e *Engine) Poll(now time.Duration, dst []byte) ([]byte, bool) {
	if now >= e.checkAt {
		e.checkAt = now + peersEvery
		e.forget(now)
	}
	if now >= e.echoAt {
		e.echoAt = never
		if dst, sent := e.appendOwed(dst); sent {
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

// appendOwed tells what is still owed of the blocks in the echo. What was sent in
// the meantime speaks for itself.
func (e *Engine) appendOwed(dst []byte) ([]byte, bool) {
	e.owedList = e.owedList.Reset()
	for _, i := range e.echo {
		if owed := e.blocks[i].owed; owed > 0 {
			r := e.ref(i)
			e.owedList = e.owedList.Append(wire.Need{Object: r.Object, Block: r.Block, Symbols: owed})
		}
	}
	e.echo = e.echo[:0]
	if e.owedList.Len() == 0 {
		return dst, false
	}
	return wire.Owed{Session: e.session, Sequence: e.sequence, Needs: e.owedList}.AppendTo(dst), true
}

// appendHeartbeat tells how far the sender is (S12).
func (e *Engine) appendHeartbeat(now time.Duration, dst []byte) []byte {
	h := wire.Heartbeat{
		Session:        e.session,
		Sequence:       e.sequence,
		State:          e.state,
		Pass:           e.pass,
		Receivers:      uint32(len(e.peers.list)),
		ReportInterval: e.Interval(),
		RoundTrip:      e.roundTrip,
		Clock:          e.clock(now),
		Completion:     e.completion,
		Walk:           e.walked(),
	}
	switch {
	case e.over():
	case e.held:
		h.State = wire.SenderWaiting
	case e.idle && e.stalled:
		h.State = wire.SenderStalled
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

// walked is where the walk is: the lowest block of the image that is being sent, or
// where the search for the next one begins. While the main class wants
// nothing it is the tail's walk.
func (e *Engine) walked() block.ID {
	w := &e.main
	if e.passEnded() && (len(e.tail.members) > 0 || e.tail.todo.Count() > 0) {
		w = &e.tail
	}
	at := uint32(min(w.at, uint64(e.image)-1))
	for _, m := range w.members {
		at = min(at, m.index)
	}
	return block.ID(at)
}

// passEnded tells whether the main class is owed nothing, and nobody pieces.
func (e *Engine) passEnded() bool {
	m := &e.main
	return len(m.members) == 0 && m.todo.Count() == 0 && len(m.zeros)+len(m.repeat) == 0 && e.owed.count == 0 && e.jobs.len() == 0 && !e.pieces.any()
}

// forget drops receivers that were not heard for long, and what they wanted (S15).
func (e *Engine) forget(now time.Duration) {
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
