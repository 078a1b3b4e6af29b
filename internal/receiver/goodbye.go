package receiver

import (
	"time"

	"multiserver/internal/wire"
)

type byeState uint8

const (
	byeNone  byeState = iota
	byeGoing          // told, and not acknowledged
	byeGone
)

type goodbyeState struct {
	state byeState
	at    time.Duration
	retry time.Duration
	tries int
	last  wire.Goodbye
}

// never is later than all times.
const never = time.Duration(1<<63 - 1)

// Leave begins the goodbye, once the target is finished or the receiver cannot go on (R15). After
// that the receiver sends nothing else. reason is cut to what a packet can hold.
func (e *Engine) Leave(now time.Duration, o wire.Outcome, reason string) {
	if e.bye.state != byeNone {
		return
	}
	n := time.Duration(max(e.session.Receivers, 1))
	e.bye = goodbyeState{
		state: byeGoing,
		at:    now + e.spread(n*goodbyeSpread),
		retry: goodbyeRetry + n*goodbyeSpread/4,
		last: wire.Goodbye{
			Session: e.session.ID, Receiver: e.cfg.Receiver, Outcome: o,
			Counts: e.stream.counts(), BlocksDone: e.done, Reason: wire.Text(reason),
		},
	}
	e.rearm()
}

// TakeNumber goes on with another number: another address has the one before. A goodbye begins anew.
func (e *Engine) TakeNumber(now time.Duration, id wire.ReceiverID) {
	e.cfg.Receiver = id
	switch b := &e.bye; b.state {
	case byeNone:
		e.SwitchStream(now) // the sender knows nothing of it
	case byeGoing:
		b.last.Receiver, b.tries, b.at, b.retry = id, 0, now, goodbyeRetry
		e.rearm()
	case byeGone:
	}
}

// HandleGoodbyeAck ends the goodbye if this receiver is named.
func (e *Engine) HandleGoodbyeAck(now time.Duration, g wire.GoodbyeAck) {
	e.heard = now
	if e.bye.state == byeGoing && !g.Refusal && g.Names(e.cfg.Receiver) {
		e.bye.state, e.bye.at = byeGone, never
		e.rearm()
	}
}

// Gone reports whether the sender has acknowledged the goodbye, or the receiver has given up on
// that.
func (e *Engine) Gone() bool { return e.bye.state == byeGone }

func (e *Engine) pollGoodbye(now time.Duration, dst []byte) ([]byte, bool) {
	b := &e.bye
	if b.state == byeGone || now < b.at {
		return dst, false
	}
	if b.tries == goodbyeTries {
		b.state, b.at = byeGone, never
		return dst, false
	}
	b.tries++
	b.at = now + b.retry
	b.retry *= 2
	b.last.Session = e.session.ID
	return b.last.AppendTo(dst), true
}
