package receiver

import (
	"time"

	"multiserver/internal/wire"
)

// belief is which sequence numbers can be the sender's. A packet whose number is beyond all that a
// sender can have sent may be anybody's: it is dropped, and the sender is asked by unicast.
type belief struct {
	bounded bool          // the sender tells its sequence when it is asked
	known   wire.Sequence // that the sender, or a packet that was believed, told
	at      time.Duration // when
	fresh   bool          // of this stream nothing is known yet
	doubt   bool          // the sender has to be asked
	behind  int           // heartbeats in a row that are behind what is believed
}

// begin: a description has told the sequence, or the sender is an earlier one, which never does.
func (b *belief) begin(now time.Duration, s *Session) {
	*b = belief{bounded: s.TellsSequence, known: s.Sequence, at: now}
}

// switched: of another stream nothing is known yet. Its first packet is believed until the sender
// has answered.
func (b *belief) switched() {
	if b.bounded {
		*b = belief{bounded: true, fresh: true}
	}
}

// believes reports whether the sender can have sent packet q by now.
func (e *Engine) believes(now time.Duration, q wire.Sequence) bool {
	b := &e.belief
	if !b.bounded {
		return true
	}
	if b.fresh {
		b.known, b.at, b.fresh, b.doubt = q, now, false, true
		return true
	}
	if q > b.known+maxJump+e.sentIn(now-b.at) {
		b.doubt = true
		return false
	}
	if q > b.known {
		b.known, b.at = q, now
	}
	return true
}

// sentIn is how many packets a sender can send in a time.
func (e *Engine) sentIn(d time.Duration) wire.Sequence {
	packet := 8 * (float64(e.cfg.SymbolSize) + wire.SymbolHeaderSize)
	return wire.Sequence(max(0, d.Seconds()) * maxBitsPerSec / packet)
}

// heartbeatBehind records how a heartbeat's sequence compares with what was believed before: the
// sender knows best, and if several say less, something false was believed.
func (e *Engine) heartbeatBehind(now time.Duration, q wire.Sequence) {
	b := &e.belief
	if !b.bounded || e.stream.seen() <= q+e.sentIn(inFlight) {
		b.behind = 0
		return
	}
	if b.behind++; b.behind >= maxBehind {
		b.behind, b.doubt = 0, true
	}
}

// InDoubt reports whether the sender has to be asked for its sequence. The driver does that, and
// calls SenderAt with the answer.
func (e *Engine) InDoubt() bool { return e.belief.doubt }

// SenderAt records the sequence of the stream's last packet, as the sender answered by unicast.
// What was believed beyond that is forgotten.
func (e *Engine) SenderAt(now time.Duration, q wire.Sequence) {
	b := &e.belief
	seen := e.stream.seen()
	if !b.bounded || b.fresh || seen != 0 && seen.Unicast() != q.Unicast() { // an answer of before the switch
		return
	}
	b.doubt, b.behind = false, 0
	if beyond := q + e.sentIn(inFlight); seen <= beyond && b.known <= beyond {
		if q > b.known {
			b.known, b.at = q, now
		}
		return
	}
	b.known, b.at = q, now
	e.stream.retract(q)
	e.lookAt, e.quietAt = q, min(e.quietAt, q)
	for p := range e.slots {
		s := &e.slots[p]
		s.last, s.coverFrom, s.coverEnds = min(s.last, q), min(s.coverFrom, q), min(s.coverEnds, q)
	}
	e.look(now)
}
