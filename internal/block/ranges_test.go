package block

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestRangeValidateIn(t *testing.T) {
	tests := []struct {
		r  Range
		n  uint64
		ok bool
	}{
		{Range{0, 1}, 1, true},
		{Range{3, 10}, 10, true},
		{Range{0, 0}, 10, false},
		{Range{5, 4}, 10, false},
		{Range{9, 11}, 10, false},
		{Range{0, 1}, 0, false},
		{Range{0, math.MaxUint64}, 10, false},
		{Range{math.MaxUint64, 0}, math.MaxUint64, false},
	}
	for _, tt := range tests {
		if err := tt.r.ValidateIn(tt.n); (err == nil) != tt.ok {
			t.Errorf("%v in %d: %v", tt.r, tt.n, err)
		}
	}
}

// TestRangesRoundTrip takes a random set apart run by run and puts it together.
func TestRangesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]uint64{0, 1, 100, pageBits + 9}).Draw(t, "n")
		s := NewSet(n)
		for range rapid.IntRange(0, 40).Draw(t, "runs") {
			lo := rapid.Uint64Range(0, n).Draw(t, "lo")
			s.Add(Range{lo, lo + rapid.Uint64Range(1, 50).Draw(t, "len")})
		}
		var all []Range
		for from := uint64(0); ; {
			r, ok := s.Next(from)
			if !ok {
				break
			}
			all, from = append(all, r), r.Hi
		}
		back := NewSet(n)
		if added := AddRanges(back, all); added != s.Count() || back.Count() != s.Count() {
			t.Fatalf("%d of %d members come back", added, s.Count())
		}
		for i, r := range all {
			if err := r.ValidateIn(n); err != nil {
				t.Fatal(err)
			}
			if i > 0 && r.Lo <= all[i-1].Hi {
				t.Fatalf("ranges %v and %v are one run or out of order", all[i-1], r)
			}
			if gap, ok := s.NextGap(r.Lo); ok && gap.Lo < r.Hi {
				t.Fatalf("range %v holds %d, which is no member", r, gap.Lo)
			}
		}
	})
}
