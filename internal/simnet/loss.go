package simnet

import (
	"math"
	"math/rand/v2"
)

// Loss says which of the packets on a way are lost. Packets are numbered upwards;
// each is asked for once, in order. It draws one random number for each lost packet
// or burst, not for each packet. The zero Loss loses none.
type Loss struct {
	rand *rand.Rand
	gap  float64 // packets between bursts, on average
	run  float64 // packets in a burst, on average
	from uint64  // the next burst is [from, to)
	to   uint64
}

// NewLoss loses share of the packets, in bursts of run packets on average (the
// model of Gilbert and Elliott); 1 is independent loss.
func NewLoss(share, run float64, r *rand.Rand) Loss {
	if share <= 0 {
		return Loss{}
	}
	l := Loss{rand: r, run: run, gap: run * (1 - share) / share}
	if run <= 1 { // geometric from 0 on: bursts of one may touch
		l.gap = (1 - share) / share
	}
	l.advance(0)
	return l
}

func (l *Loss) advance(at uint64) {
	if l.run <= 1 {
		l.from = at + l.geometric(l.gap)
		l.to = l.from + 1
		return
	}
	// Both lengths are 1 at least, so that bursts keep apart.
	l.from = at + 1 + l.geometric(max(l.gap-1, 0))
	l.to = l.from + 1 + l.geometric(l.run-1)
}

// geometric is a number of failures before a success, with that mean.
func (l *Loss) geometric(mean float64) uint64 {
	if mean <= 0 {
		return 0
	}
	return uint64(math.Log(1-l.rand.Float64()) / math.Log(mean/(mean+1)))
}

// Lost reports whether packet i is lost.
func (l *Loss) Lost(i uint64) bool {
	if l.rand == nil || i < l.from {
		return false
	}
	return l.lost(i)
}

func (l *Loss) lost(i uint64) bool {
	for i >= l.to {
		l.advance(l.to)
	}
	return i >= l.from
}
