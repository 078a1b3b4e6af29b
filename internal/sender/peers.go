package sender

import (
	"slices"
	"sort"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// peer is a receiver that is not done.
type peer struct {
	id        wire.ReceiverID
	heard     time.Duration
	number    uint32 // of its last report
	received  uint64
	lost      uint64
	loss      float64 // share of packets, smoothed
	reported  bool
	straggler bool
	noStream  bool // the stream does not reach it
	limit     wire.Limit
	room      room
	caused    float64 // symbols that were pending because of it, fading with
	streamed  wire.Sequence

	growth growth

	generation uint32
	want       []block.Range // ascending
}

// peers are all receivers that are not done.
type peers struct {
	list    []*peer // in the order of joining, except that later ones fill gaps
	byID    map[wire.ReceiverID]int
	wanters []*peer // those with a list of wanted ranges
	ranges  int     // of all of them
	// gone are the last receivers that said goodbye. Their later packets are stale.
	gone map[wire.ReceiverID]bool

	losses   []float64 // memory for the median
	median   float64
	medianAt time.Duration
}

func newPeers() peers {
	return peers{byID: map[wire.ReceiverID]int{}, gone: map[wire.ReceiverID]bool{}}
}

func (p *peers) find(id wire.ReceiverID) *peer {
	if i, ok := p.byID[id]; ok {
		return p.list[i]
	}
	return nil
}

func (p *peers) add(now time.Duration, id wire.ReceiverID) *peer {
	q := &peer{id: id, heard: now}
	p.byID[id] = len(p.list)
	p.list = append(p.list, q)
	return q
}

func (p *peers) remove(id wire.ReceiverID) bool {
	i, ok := p.byID[id]
	if !ok {
		return false
	}
	p.setWant(p.list[i], nil)
	last := len(p.list) - 1
	p.list[i] = p.list[last]
	p.byID[p.list[i].id] = i
	p.list = p.list[:last]
	delete(p.byID, id)
	return true
}

// recordGoodbye records a goodbye.
func (p *peers) recordGoodbye(id wire.ReceiverID) {
	if len(p.gone) == maxPeers {
		clear(p.gone)
	}
	p.gone[id] = true
}

// setWant replaces the ranges that q wants.
func (p *peers) setWant(q *peer, want []block.Range) {
	p.ranges += len(want) - len(q.want)
	had := len(q.want) > 0
	q.want = want
	switch has := len(want) > 0; {
	case has && !had:
		p.wanters = append(p.wanters, q)
	case had && !has:
		p.wanters = slices.DeleteFunc(p.wanters, func(w *peer) bool { return w == q })
	}
}

// wanted reports whether a receiver of the class wants block i whole.
func (p *peers) wanted(i uint32, straggler bool) bool {
	for _, q := range p.wanters {
		if q.straggler != straggler {
			continue
		}
		n := q.search(uint64(i))
		if n < len(q.want) && q.want[n].Lo <= uint64(i) {
			return true
		}
	}
	return false
}

// served takes block i, which is about to be sent whole, out of all lists. A receiver that has no
// room for it sends a new list.
func (p *peers) served(i uint32) {
	for k := 0; k < len(p.wanters); {
		q := p.wanters[k]
		before := len(q.want)
		q.serve(uint64(i))
		p.ranges += len(q.want) - before
		if len(q.want) > 0 {
			k++
			continue
		}
		last := len(p.wanters) - 1
		p.wanters[k] = p.wanters[last]
		p.wanters = p.wanters[:last]
	}
}

// serve takes block i out of the list.
func (q *peer) serve(i uint64) {
	n := q.search(i)
	if n == len(q.want) || q.want[n].Lo > i {
		return
	}
	switch r := &q.want[n]; {
	case r.Len() == 1:
		q.want = slices.Delete(q.want, n, n+1)
	case r.Lo == i:
		r.Lo++
	case r.Hi == i+1:
		r.Hi--
	default:
		hi := r.Hi
		r.Hi = i
		q.want = slices.Insert(q.want, n+1, block.Range{Lo: i + 1, Hi: hi})
	}
}

// search finds the first range that ends behind block i.
func (q *peer) search(i uint64) int {
	return sort.Search(len(q.want), func(k int) bool { return q.want[k].Hi > i })
}

// medianLoss is the median loss of the receivers that have reported; ok if they are enough to
// compare one with.
func (p *peers) medianLoss(now time.Duration) (loss float64, ok bool) {
	if now >= p.medianAt {
		p.medianAt = now + 100*time.Millisecond
		p.losses = p.losses[:0]
		for _, q := range p.list {
			if q.reported {
				p.losses = append(p.losses, q.loss)
			}
		}
		slices.Sort(p.losses)
		p.median = 0
		if n := len(p.losses); n > 0 {
			p.median = p.losses[(n-1)/2]
		}
	}
	return p.median, len(p.losses) >= min(4, len(p.list)) && len(p.losses) > 1
}
