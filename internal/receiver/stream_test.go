package receiver

import (
	"math/bits"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/wire"
)

// TestStreamCounts holds the counts against the packets that came, some of them late
// or twice.
func TestStreamCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := wire.Sequence(rapid.Uint64Range(1, 1<<39).Draw(t, "first"))
		var s stream
		s.recordArrival(first)
		seen, highest := map[wire.Sequence]bool{first: true}, first
		for range rapid.IntRange(0, 200).Draw(t, "packets") {
			q := highest + wire.Sequence(rapid.Uint64Range(0, 90).Draw(t, "step"))
			if back := wire.Sequence(rapid.Uint64Range(0, lateSpan-1).Draw(t, "back")); rapid.Bool().Draw(t, "late") && highest >= first+back {
				q = highest - back
			}
			if news := s.recordArrival(q); news == seen[q] {
				t.Fatalf("packet %d of %d is news: %v", q, highest, news)
			}
			seen[q] = true
			highest = max(highest, q)
		}
		c := s.counts()
		if want := uint64(len(seen)); c.Received != want {
			t.Fatalf("%d received, want %d", c.Received, want)
		}
		if want := uint64(highest-first) + 1 - uint64(len(seen)); c.Lost != want {
			t.Fatalf("%d lost, want %d", c.Lost, want)
		}
	})
}

func TestLossFollowsTheLink(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s stream
	q := wire.Sequence(0)
	for _, share := range []float64{0.01, 0.2, 0} {
		for range 8 * lossSpan {
			q++
			if r.Float64() >= share {
				s.recordArrival(q)
			}
			if q%lookEvery == 0 {
				s.loss()
			}
		}
		if got := s.loss(); got < share-0.02 || got > share+0.02 {
			t.Errorf("loss %.3f, the link has %.3f", got, share)
		}
	}
}

func TestSlotSize(t *testing.T) {
	if bits.UintSize != 64 {
		t.Skip("pointers of 32 bits make it smaller: any 64-bit machine runs this")
	}
	if size := reflect.TypeFor[slot]().Size(); size != 128 {
		t.Errorf("a slot has %d bytes, want two lines of the cache", size)
	}
}
