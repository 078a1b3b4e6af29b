package congestion

import "time"

// neighbour is what is known of another flow in the same queue. A flow like TCP fills the
// queue and takes what is left: whoever yields to the queue yields all. So once the queue
// stands again and again although the rate is below what the path carried, it is not this
// stream's, and the stream keeps a share of what the path carries.
type neighbour struct {
	squeezes int // that the queue stood, in a row
	at       time.Duration
	carried  float64 // bits a second that the path carries, by the most that came through
	carryAt  time.Duration
	next     time.Duration // when the path is sounded
	sounding bool
	alone    time.Duration // since when the queue is empty; 0: it is not
}

// carry takes what came through while the queue stood.
func (n *neighbour) carry(now time.Duration, passed float64) {
	if passed > n.carried || now > n.carryAt+carriedAge {
		n.carried, n.carryAt = passed, now
	}
}

// squeezed tells whether somebody else keeps the queue full.
func (n *neighbour) squeezed(now time.Duration, own bool) bool {
	if own || now > n.at+squeezeSpan {
		n.squeezes = 0
	}
	if !own {
		n.squeezes++
		n.at = now
	}
	return n.squeezes >= manySqueezes
}

// share goes on at the stream's share.
func (e *Engine) share(now time.Duration) {
	n := &e.neighbour
	if e.mode != sharing {
		n.next = now + soundAgain
	}
	n.sounding, n.alone, n.squeezes = false, 0, 0
	e.raised, e.priorOK = false, false
	e.reason = Reason{Cause: CauseNeighbour, Bits: n.carried}
	e.set(now, ownPart*n.carried, sharing)
}

// through is what came through the queue, at the sender's side of random loss.
func (e *Engine) through(r round) float64 {
	return min(r.passed, r.delivered/(1-e.random.share))
}

// decideShare holds the share. The other flow yields to loss; so does this one if the
// path carries less than was thought. Now and then the path is sounded with a round at
// a multiple of the rate: what comes through then is nearly all that the path carries.
func (e *Engine) decideShare(now time.Duration, r round) {
	n := &e.neighbour
	passed := e.through(r)
	switch {
	case n.sounding:
		n.next = now + soundEvery
		if passed > 1.05*n.carried {
			n.next = now + soundAgain
		}
		n.carry(now, passed)
		e.share(now)
	case r.queue > sharedQueue:
		n.carried, n.carryAt = passed, now
		e.congested(now, r, false) // it is too deep to be left so
	case e.exceeds(r) && r.loss > sharedLoss+e.random.share:
		n.carried, n.carryAt = passed, now
		e.share(now)
	case r.recent < e.standing():
		if n.alone == 0 {
			n.alone = now
		}
		if now > n.alone+aloneTime {
			e.target = 0
			e.cruiseAt(now, e.rate, Reason{Cause: CauseQueue, Bits: e.rate / cruise, Delay: r.recent})
			return
		}
		e.again()
	case now > n.next:
		n.sounding = true
		e.set(now, soundRatio*e.rate, sharing)
	default:
		n.alone = 0
		e.again()
	}
}
