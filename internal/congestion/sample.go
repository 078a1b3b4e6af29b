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
	from    []*peer // those that may be in it
	slowest []*peer
	drawn   []*peer
	at      time.Duration // when it changes next
	again   time.Duration // when it may change before that
	gone    bool          // nobody is heard
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
	return float64(len(e.sample.from)-len(e.sample.slowest)) / float64(len(e.sample.drawn))
}

// resample changes the sample: the slowest are chosen anew, and one of the others is
// replaced. Who is gone is in it only while nobody else is heard: many that died would
// otherwise be all of it.
func (e *Engine) resample(now time.Duration) {
	s := &e.sample
	if len(e.peers) <= sampleSize {
		*s = sample{from: s.from[:0], slowest: s.slowest[:0], drawn: s.drawn[:0]}
		return
	}
	unfit := func(p *peer) bool { return e.byID[p.id] != p || !s.gone && p.gone(now) }
	s.drawn = slices.DeleteFunc(s.drawn, unfit)
	s.slowest = slices.DeleteFunc(s.slowest, unfit)
	full := len(s.drawn) == sampleSize-sampleSlowest && len(s.slowest) == sampleSlowest && !s.gone
	if now < s.at && (full || now < s.again) {
		return
	}
	s.at, s.again = now+samplePause, now+sampleInterval
	heard := func(p *peer) bool { return !p.gone(now) }
	s.from = e.onePerAddress(now, s.from[:0], e.peers, heard)
	if s.gone = len(s.from) == 0; s.gone {
		s.from = append(s.from, e.peers...)
	}
	unfit = func(p *peer) bool { return !slices.Contains(s.from, p) }
	s.drawn = slices.DeleteFunc(s.drawn, unfit)
	if len(s.from) <= sampleSize {
		s.slowest, s.drawn = s.slowest[:0], append(s.drawn[:0], s.from...)
		return
	}
	byLoss := slices.Clone(s.from)
	slices.SortStableFunc(byLoss, func(a, b *peer) int {
		return cmp.Compare(b.share, a.share)
	})
	s.slowest = append(s.slowest[:0], byLoss[:sampleSlowest]...)
	s.drawn = slices.DeleteFunc(s.drawn, func(p *peer) bool { return slices.Contains(s.slowest, p) })
	if len(s.drawn) >= sampleSize-sampleSlowest {
		s.drawn = s.drawn[:copy(s.drawn, s.drawn[len(s.drawn)-sampleSize+sampleSlowest+1:])]
	}
	for len(s.drawn) < sampleSize-sampleSlowest {
		p := s.from[e.cfg.Rand.IntN(len(s.from))]
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
