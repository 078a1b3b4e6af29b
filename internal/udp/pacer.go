package udp

import (
	"context"
	"time"
)

const (
	// maxCatchUp is how much lateness is made up for, or catchUpBytes, or the last
	// batch, whichever takes longest. It covers what sleep is late by (p50 40 to 70 µs,
	// p99 140 µs, on a busy machine a millisecond); more would become bursts that a
	// switch's queue, of 32 KB at the least, loses.
	maxCatchUp   = 100 * time.Microsecond
	catchUpBytes = 24 << 10

	// timerMargin is kept for Sleep after a timer, which is late by up to 1.1 ms.
	timerMargin = 2 * time.Millisecond
)

// Pacer spreads packets over time. The zero Pacer never waits. One goroutine may
// use it.
type Pacer struct {
	bitsPerSec     uint64
	perPacketDelay time.Duration

	catchUp time.Duration // that is made up for at least

	free      time.Time     // when all that was let go has left the wire
	last      time.Duration // the time that the last batch takes
	remainder uint64        // of last's division, in 1/bitsPerSec of a nanosecond
	timer     *time.Timer
}

// NewPacer returns a Pacer that lets bitsPerSec pass (0: any number), and pauses
// perPacketDelay after each packet besides.
func NewPacer(bitsPerSec uint64, perPacketDelay time.Duration) *Pacer {
	p := &Pacer{bitsPerSec: bitsPerSec, perPacketDelay: max(0, perPacketDelay)}
	if bitsPerSec > 0 {
		p.catchUp = time.Duration(8 * catchUpBytes * uint64(time.Second) / bitsPerSec)
	}
	p.catchUp = max(p.catchUp, maxCatchUp)
	return p
}

// CatchUp makes up for a lateness of d, if that is more than a Pacer makes up for anyway.
// It is for a rate that somebody adapts to what arrives.
func (p *Pacer) CatchUp(d time.Duration) { p.catchUp = max(p.catchUp, d) }

// Wait waits until the next batch may be sent. wireBytes (PacketWireBytes of each)
// and packets are the size of that batch, which the next Wait waits for. It returns
// ctx.Err() if that comes first, and then the batch is not to be sent.
func (p *Pacer) Wait(ctx context.Context, wireBytes, packets int) error {
	if p.bitsPerSec == 0 && p.perPacketDelay == 0 {
		return ctx.Err()
	}
	wait := p.Advance(time.Now(), wireBytes, packets)
	if long := wait - timerMargin; long > 0 {
		begun := time.Now()
		if p.timer == nil {
			p.timer = time.NewTimer(long)
		} else {
			p.timer.Reset(long)
		}
		select {
		case <-ctx.Done():
			p.timer.Stop()
			return ctx.Err()
		case <-p.timer.C:
		}
		wait -= time.Since(begun)
	}
	Sleep(wait)
	return ctx.Err()
}

// Advance is the arithmetic of Wait: it books a batch and returns how long after
// now it may be sent. Of the time by which the caller is late, it makes up for
// 100 µs, 24 KB or one batch at most, whichever is more.
func (p *Pacer) Advance(now time.Time, wireBytes, packets int) time.Duration {
	if p.free.IsZero() {
		p.free = now
	}
	if earliest := now.Add(-max(p.catchUp, p.last)); p.free.Before(earliest) {
		p.free = earliest
	}
	wait := max(0, p.free.Sub(now))
	p.last = p.cost(wireBytes, packets)
	p.free = p.free.Add(p.last)
	return wait
}

// cost is how long a batch takes. What the division leaves is carried over, so
// that the average is exact.
func (p *Pacer) cost(wireBytes, packets int) time.Duration {
	cost := time.Duration(packets) * p.perPacketDelay
	if p.bitsPerSec > 0 {
		bitNanos := uint64(wireBytes)*8*uint64(time.Second) + p.remainder // < 2^64 up to 2 GB
		cost += time.Duration(bitNanos / p.bitsPerSec)
		p.remainder = bitNanos % p.bitsPerSec
	}
	return cost
}
