package rate

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

// rateRoom plays receivers to a Finder: each loses what a rule of its own says of
// the rate, and reports each 100 ms.
type rateRoom struct {
	f     Finder
	line  float64 // bits a second
	now   time.Duration
	loss  []func(bitsPerSec float64) float64
	disk  []float64 // blocks a second that a target takes; any number if there are fewer
	total []wire.Report
	// Blocks of each that are in memory and that are on the target.
	backlog, done []float64
}

const (
	testPacketBits = 12_000.0
	testBlockBits  = 9e6
)

func (r *rateRoom) rate() float64 {
	if r.f.limit != 0 {
		return min(r.line, float64(r.f.limit))
	}
	return r.line
}

func (r *rateRoom) run(d time.Duration) {
	const step = 100 * time.Millisecond
	if r.total == nil {
		r.total, r.backlog, r.done = make([]wire.Report, len(r.loss)), make([]float64, len(r.loss)), make([]float64, len(r.loss))
	}
	for end := r.now + d; r.now < end; r.now += step {
		rate := r.rate()
		for id, lossAt := range r.loss {
			sent := rate * step.Seconds() / testPacketBits
			lost := sent * lossAt(rate)
			t := &r.total[id]
			t.Receiver = wire.ReceiverID(id + 1)
			t.Counts.Lost += uint64(lost)
			t.Counts.Received += uint64(sent - lost)
			r.backlog[id] += rate * step.Seconds() / testBlockBits
			written := r.backlog[id]
			if id < len(r.disk) {
				written = min(written, r.disk[id]*step.Seconds())
			}
			r.backlog[id] = min(64, r.backlog[id]-written)
			r.done[id] += written
			t.Backlog, t.BlocksDone = uint32(r.backlog[id]), uint32(r.done[id])
			t.Room, t.Limit = 64-t.Backlog, wire.LimitNone
			if t.Backlog >= 32 {
				t.Limit = wire.LimitDisk
			}
			r.f.Report(r.now, *t)
		}
		r.f.Judge(r.now, rate, testPacketBits, testBlockBits, func(wire.ReceiverID) bool { return true })
	}
}

func always(share float64) func(float64) float64 { return func(float64) float64 { return share } }

// behind is a path that takes so many bits a second.
func behind(bitsPerSec float64) func(float64) float64 {
	return func(rate float64) float64 { return max(0, 1-bitsPerSec/rate) }
}

// TestRateFound: what three quarters of the receivers cannot take slows the stream to
// what they can, to within a few per cent; random loss and a minority do not.
func TestRateFound(t *testing.T) {
	const line = 1e9
	clean := always(0)
	for _, test := range []struct {
		name   string
		loss   []func(float64) float64
		disk   []float64
		want   float64
		reason string
	}{
		{"nothing lost", []func(float64) float64{clean, clean, clean, clean}, nil, line, ""},
		{"three per cent at random", []func(float64) float64{always(0.03), always(0.03), always(0.03), always(0.03)}, nil, line, ""},
		{"one of four behind a bottleneck", []func(float64) float64{behind(100e6), clean, clean, clean}, nil, line, ""},
		{"all of one", []func(float64) float64{behind(100e6)}, nil, 100e6, ReasonPath},
		{"three of four", []func(float64) float64{behind(100e6), behind(100e6), behind(100e6), clean}, nil, 100e6, ReasonPath},
		{"a bottleneck of nine tenths", []func(float64) float64{behind(900e6), behind(900e6)}, nil, 900e6, ReasonPath},
		{"slow disks", []func(float64) float64{clean, clean, clean, clean}, []float64{40, 40, 40, 40}, 40 * testBlockBits, ReasonDisk},
		{"one slow disk", []func(float64) float64{clean, clean, clean, clean}, []float64{40}, line, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rateRoom{line: line, loss: test.loss, disk: test.disk}
			r.run(3 * time.Second)
			if got := r.rate(); got < 0.9*test.want || got > 1.05*test.want || r.f.reason != test.reason {
				t.Fatalf("%.0f Mbit/s because of %q, want %.0f because of %q", got/1e6, r.f.reason, test.want/1e6, test.reason)
			}
			sum, count := 0.0, 0
			for ; count < 300; count++ {
				r.run(100 * time.Millisecond)
				sum += r.rate()
			}
			if mean := sum / float64(count); mean < 0.9*test.want || mean > 1.05*test.want {
				t.Errorf("%.0f Mbit/s in the 30 s that follow, want %.0f", mean/1e6, test.want/1e6)
			}
		})
	}
}

// TestRateReturns: a bottleneck that is gone, or was only guessed, ends.
func TestRateReturns(t *testing.T) {
	r := rateRoom{line: 1e9, loss: []func(float64) float64{behind(100e6)}}
	r.run(2 * time.Second)
	r.loss[0] = always(0)
	r.run(2 * time.Minute)
	if r.rate() < r.line {
		t.Errorf("limit %d two minutes after the bottleneck has gone", r.f.limit)
	}

	r = rateRoom{line: 1e9, loss: []func(float64) float64{always(0)}}
	r.f.Suppose(0, 100e6)
	r.run(4 * time.Second)
	if r.rate() < r.line {
		t.Errorf("limit %d four seconds after a wrong guess", r.f.limit)
	}
}

// TestRateForgetsTheGone: who has left does not hold the others back.
func TestRateForgetsTheGone(t *testing.T) {
	r := rateRoom{line: 1e9, loss: []func(float64) float64{behind(100e6)}}
	r.run(200 * time.Millisecond)
	r.f.Judge(r.now, 1e9, testPacketBits, testBlockBits, func(wire.ReceiverID) bool { return false })
	if len(r.f.peers) != 0 {
		t.Errorf("%d receivers remembered", len(r.f.peers))
	}
}
