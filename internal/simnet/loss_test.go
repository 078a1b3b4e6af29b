package simnet

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestLoss(t *testing.T) {
	const packets = 2_000_000
	for _, test := range []struct{ share, run float64 }{
		{0, 1}, {0.001, 1}, {0.01, 1}, {0.2, 1}, {0.5, 1}, {0.01, 10}, {0.1, 3}, {0.3, 50},
	} {
		l := NewLoss(test.share, test.run, rand.New(rand.NewPCG(1, 1)))
		lost, bursts, before := 0, 0, false
		for i := range uint64(packets) {
			now := l.Lost(i)
			if now {
				lost++
				if !before {
					bursts++
				}
			}
			before = now
		}
		if share := float64(lost) / packets; math.Abs(share-test.share) > 0.06*test.share {
			t.Errorf("%v: %.5f lost", test, share)
		}
		if test.share == 0 {
			continue
		}
		// Independent losses touch by chance: their runs have a mean of 1/(1−share).
		want := test.run
		if want == 1 {
			want = 1 / (1 - test.share)
		}
		if run := float64(lost) / float64(bursts); math.Abs(run-want) > 0.06*want {
			t.Errorf("%v: bursts of %.3f, want %.3f", test, run, want)
		}
	}
}

// TestLossSkips: packets that nobody asks for change nothing about the rest.
func TestLossSkips(t *testing.T) {
	all := NewLoss(0.05, 4, rand.New(rand.NewPCG(1, 1)))
	some := NewLoss(0.05, 4, rand.New(rand.NewPCG(1, 1)))
	for i := range uint64(100_000) {
		want := all.Lost(i)
		if i%7 < 3 && some.Lost(i) != want {
			t.Fatalf("packet %d is lost: %v", i, !want)
		}
	}
}

func BenchmarkLost(b *testing.B) {
	l := NewLoss(0.01, 1, rand.New(rand.NewPCG(1, 1)))
	i := uint64(0)
	for b.Loop() {
		l.Lost(i)
		i++
	}
}
