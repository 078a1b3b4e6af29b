package udp

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPacerAdvance(t *testing.T) {
	const us = time.Microsecond
	type step struct {
		at        time.Duration // when it is called
		wireBytes int
		packets   int
		want      time.Duration
	}
	tests := []struct {
		name       string
		bitsPerSec uint64
		delay      time.Duration
		steps      []step
	}{
		{"nothing to pace", 0, 0, []step{{0, 1538, 1, 0}, {0, 1e9, 1e6, 0}, {0, 1e9, 1e6, 0}}},
		{"a rate", 8e9, 0, []step{{0, 50_000, 40, 0}, {0, 50_000, 40, 50 * us}, {50 * us, 100_000, 80, 50 * us}, {100 * us, 1, 1, 100 * us}}},
		{"a delay", 0, 10 * us, []step{{0, 1538, 1, 0}, {0, 1538, 4, 10 * us}, {10 * us, 1538, 1, 40 * us}}},
		{"both", 8e9, 10 * us, []step{{0, 1000, 1, 0}, {0, 1000, 1, 11 * us}}},
		{"a little late: made up for", 8e9, 0, []step{{0, 50_000, 40, 0}, {120 * us, 50_000, 40, 0}, {120 * us, 50_000, 40, 0}, {120 * us, 1, 1, 30 * us}}},
		{"very late: 100 µs made up for", 8e9, 0, []step{{0, 50_000, 40, 0}, {time.Second, 60_000, 40, 0}, {time.Second, 50_000, 40, 0}, {time.Second, 1, 1, 10 * us}}},
		{"very late: a batch made up for", 8e9, 0, []step{{0, 300_000, 1, 0}, {time.Second, 300_000, 1, 0}, {time.Second, 300_000, 1, 0}, {time.Second, 1, 1, 300 * us}}},
		{"a late start", 8e9, 0, []step{{time.Hour, 50_000, 40, 0}, {time.Hour, 1, 1, 50 * us}}},
		{"fractions add up", 3e9, 0, []step{{0, 1, 1, 0}, {0, 1, 1, 2}, {0, 1, 1, 5}, {0, 1, 1, 8}, {0, 1, 1, 10}}}, // 8/3 ns each
	}
	start := time.Now()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewPacer(test.bitsPerSec, test.delay)
			for n, step := range test.steps {
				if got := p.Advance(start.Add(step.at), step.wireBytes, step.packets); got != step.want {
					t.Fatalf("step %d: waits %v, want %v", n, got, step.want)
				}
			}
		})
	}
}

// However late its caller is called, in no span of time does a Pacer let more pass
// than the rate, what is made up for, and the batch that begins at its end.
func TestPacerNeverExceedsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Uint64Range(1e6, 1e10).Draw(t, "rate")
		p, now := NewPacer(rate, 0), time.Now()
		bytes := rapid.SliceOfN(rapid.IntRange(84, 67672), 2, 50).Draw(t, "batches")
		late := rapid.SliceOfN(rapid.Int64Range(0, 3e6), len(bytes), len(bytes)).Draw(t, "late")
		seconds := func(bytes int) float64 { return float64(bytes) * 8 / float64(rate) }
		sent := make([]time.Time, len(bytes))
		for n := range bytes {
			wait := p.Advance(now, bytes[n], 1)
			if wait < 0 {
				t.Fatalf("waits %v", wait)
			}
			now = now.Add(wait)
			sent[n] = now
			now = now.Add(time.Duration(late[n]))
		}
		for first := range sent {
			sum, largest := 0, bytes[max(0, first-1)]
			for n := first; n < len(sent); n++ {
				span := sent[n].Sub(sent[first]).Seconds()
				allowed := span + max(maxCatchUp.Seconds(), seconds(largest), seconds(catchUpBytes)) + 1e-7
				if seconds(sum) > allowed {
					t.Fatalf("%d bytes in %v at %d bit/s", sum, sent[n].Sub(sent[first]), rate)
				}
				sum += bytes[n]
				largest = max(largest, bytes[n])
			}
		}
	})
}

// TestPacerCatchUp: a caller that is very late makes up for as much as it was told, if that is more.
func TestPacerCatchUp(t *testing.T) {
	const us = time.Microsecond
	for _, c := range []struct{ told, want time.Duration }{{0, 900 * us}, {50 * us, 900 * us}, {600 * us, 400 * us}} {
		p, start := NewPacer(8e9, 0), time.Now()
		p.CatchUp(c.told)
		p.Advance(start, 1, 1)
		p.Advance(start.Add(time.Second), 1_000_000, 1) // 1 ms
		if got := p.Advance(start.Add(time.Second), 1, 1); got != c.want {
			t.Errorf("told %v: waits %v, want %v", c.told, got, c.want)
		}
	}
}

func TestPacerWait(t *testing.T) {
	begun := time.Now()
	p := NewPacer(1e9, 0)
	for range 4 {
		if err := p.Wait(context.Background(), 125_000, 1); err != nil { // 1 ms
			t.Fatal(err)
		}
	}
	if elapsed := time.Since(begun); elapsed < 3*time.Millisecond-maxCatchUp {
		t.Errorf("4 ms of packets began within %v", elapsed)
	}
}

func TestPacerWaitEnds(t *testing.T) {
	for _, p := range []*Pacer{{}, NewPacer(0, time.Hour), NewPacer(8, 0)} {
		ctx, cancel := context.WithCancel(context.Background())
		if err := p.Wait(ctx, 1e6, 1); err != nil {
			t.Fatalf("the first batch: %v", err)
		}
		ended := make(chan error)
		go func() { ended <- p.Wait(ctx, 1e6, 1) }()
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := p.Wait(ctx, 1e6, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("after it was cancelled: %v", err)
		}
	}
}

func TestPacerDoesNotAllocate(t *testing.T) {
	p, ctx := NewPacer(1e9, 0), context.Background()
	if allocations := testing.AllocsPerRun(20, func() {
		if err := p.Wait(ctx, 1538, 1); err != nil {
			t.Fatal(err)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkSleep(b *testing.B) {
	for _, way := range []struct {
		name  string
		sleep func(time.Duration)
	}{{"ours", Sleep}, {"time.Sleep", time.Sleep}} {
		b.Run(way.name, func(b *testing.B) {
			const d = 200 * time.Microsecond
			var late time.Duration
			for b.Loop() {
				begun := time.Now()
				way.sleep(d)
				late += time.Since(begun) - d
			}
			b.ReportMetric(float64(late.Microseconds())/float64(b.N), "µs-late/op")
		})
	}
}
