package simnet

import "time"

// Bottleneck is a queue in front of a link: first in, first out, and what finds it full is
// lost. The zero Bottleneck lets everything pass at once.
type Bottleneck struct {
	// Rate is bits a second at a time; nil is any number. It is asked for when a packet's
	// turn comes.
	Rate func(time.Duration) float64
	// Queue is how long a packet may wait, and Packets how many may at least.
	Queue   time.Duration
	Packets int

	free    time.Duration // when all that is in it has left
	leaving []time.Duration
	head    int
	Bits    float64 // that have passed
	waited  []uint32
	queued  int
}

// Pass puts a packet in at a time, not earlier than the one before, and tells when its
// last bit has left; ok is false if it was lost.
func (b *Bottleneck) Pass(at time.Duration, bits float64) (left time.Duration, ok bool) {
	if b.Rate == nil {
		return at, true
	}
	if b.Packets > 0 {
		for b.head < len(b.leaving) && b.leaving[b.head] <= at {
			b.head++
		}
		if b.head > 1<<12 && 2*b.head > len(b.leaving) {
			b.leaving = append(b.leaving[:0], b.leaving[b.head:]...)
			b.head = 0
		}
	}
	wait := max(0, b.free-at)
	if wait > b.Queue && len(b.leaving)-b.head > b.Packets {
		return 0, false
	}
	b.note(wait)
	start := max(at, b.free)
	b.free = start + time.Duration(bits/b.Rate(start)*float64(time.Second))
	if b.Packets > 0 {
		b.leaving = append(b.leaving, b.free)
	}
	b.Bits += bits
	return b.free, true
}

// Backlog is how long a packet would wait that came at a time.
func (b *Bottleneck) Backlog(at time.Duration) time.Duration { return max(0, b.free-at) }

// note counts a wait, in milliseconds up to 4 s.
func (b *Bottleneck) note(wait time.Duration) {
	if b.waited == nil {
		b.waited = make([]uint32, 4096)
	}
	b.waited[min(int(wait/time.Millisecond), len(b.waited)-1)]++
	b.queued++
}

// MedianWait is what half of the packets waited at most.
func (b *Bottleneck) MedianWait() time.Duration {
	sum := 0
	for ms, n := range b.waited {
		if sum += int(n); 2*sum >= b.queued {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return 0
}
