package path

import (
	"time"

	"multiserver/internal/simnet"
)

// neighbour is a TCP flow that always has something to send, as RFC 5681 has it: slow
// start, a packet more each round trip, half of it after a loss.
type neighbour struct {
	sim      *sim
	group    *group
	window   float64 // packets
	slow     bool
	inFlight int
	events   simnet.Queue[bool] // an acknowledgement, or the news of a loss
	cutAt    time.Duration      // no other cut before
	trip     time.Duration
	passed   float64
}

func newNeighbour(s *sim, g *group) *neighbour {
	t := &neighbour{sim: s, group: g, window: 10, slow: true, trip: 2 * s.cfg.Delay}
	t.fill(0)
	return t
}

// next is when something happens.
func (t *neighbour) next() time.Duration { return t.events.At() }

// run lets the next thing happen.
func (t *neighbour) run() {
	at, acked := t.events.Pop()
	t.inFlight--
	if acked {
		t.passed += packetBits
		if t.slow {
			t.window++
		} else {
			t.window += 1 / t.window
		}
	} else if at >= t.cutAt {
		t.window, t.slow = max(t.window/2, 2), false
		t.cutAt = at + t.trip
	}
	t.fill(at)
}

// fill sends what the window allows. It comes in no earlier than what is in the queue.
func (t *neighbour) fill(at time.Duration) {
	for t.inFlight < int(t.window) {
		t.inFlight++
		left, ok := t.group.queue.Pass(at, packetBits)
		if ok {
			t.trip = left - at + 2*t.sim.cfg.Delay
			t.events.Push(left+2*t.sim.cfg.Delay, true)
		} else {
			t.events.Push(at+t.trip, false)
		}
	}
}

// share is the part of the bottleneck that it had.
func (t *neighbour) share() float64 {
	return t.passed / (t.group.queue.Rate(0) * t.sim.now.Seconds())
}
