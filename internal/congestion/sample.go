package congestion

import (
	"cmp"
	"slices"
	"time"

	"multiserver/internal/wire"
)

// sample is which receivers report in time. While there are no more than sampleSize it is
// all of them.
type sample struct {
	slowest []*peer
	drawn   []*peer
	at      time.Duration // when it changes next
}

// members are the receivers in the sample.
func (e *Engine) members() []*peer {
	if len(e.peers) <= sampleSize {
		return e.peers
	}
	e.inSample = append(e.inSample[:0], e.sample.drawn...)
	return append(e.inSample, e.sample.slowest...)
}

// weight is how many receivers a member stands for.
func (e *Engine) weight(p *peer) float64 {
	if len(e.peers) <= sampleSize || slices.Contains(e.sample.slowest, p) {
		return 1
	}
	return float64(len(e.peers)-len(e.sample.slowest)) / float64(len(e.sample.drawn))
}

// resample changes the sample: the slowest are chosen anew, and one of the others is
// replaced.
func (e *Engine) resample(now time.Duration) {
	s := &e.sample
	if len(e.peers) <= sampleSize {
		s.slowest, s.drawn = s.slowest[:0], s.drawn[:0]
		return
	}
	left := func(p *peer) bool { return e.byID[p.id] != p }
	s.drawn = slices.DeleteFunc(s.drawn, left)
	s.slowest = slices.DeleteFunc(s.slowest, left)
	full := len(s.drawn) == sampleSize-sampleSlowest
	if full && len(s.slowest) == sampleSlowest && now < s.at {
		return
	}
	s.at = now + samplePause
	byLoss := slices.Clone(e.peers)
	slices.SortStableFunc(byLoss, func(a, b *peer) int {
		return cmp.Compare(b.share, a.share)
	})
	s.slowest = append(s.slowest[:0], byLoss[:sampleSlowest]...)
	s.drawn = slices.DeleteFunc(s.drawn, func(p *peer) bool { return slices.Contains(s.slowest, p) })
	if len(s.drawn) == sampleSize-sampleSlowest {
		s.drawn = slices.Delete(s.drawn, 0, 1) // the one that was in it longest
	}
	for len(s.drawn) < sampleSize-sampleSlowest {
		p := e.peers[e.cfg.Rand.IntN(len(e.peers))]
		if !slices.Contains(s.slowest, p) && !slices.Contains(s.drawn, p) {
			s.drawn = append(s.drawn, p)
		}
	}
}

// Sample appends to dst the receivers that shall report in time, and tells how often. The
// driver names them in each heartbeat.
func (e *Engine) Sample(now time.Duration, dst []wire.ReceiverID) ([]wire.ReceiverID, time.Duration) {
	e.resample(now)
	for _, p := range e.members() {
		dst = append(dst, p.id)
	}
	if e.mode == starting {
		return dst, startInterval
	}
	return dst, sampleInterval
}
