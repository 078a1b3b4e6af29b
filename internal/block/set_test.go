package block

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSetAgainstBools holds a Set against a slice of bools through random
// operations, over sizes that end inside a page, on its edge and past it.
func TestSetAgainstBools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]uint64{0, 1, 63, 64, 65, 1000, pageBits - 1, pageBits, pageBits + 1, 2*pageBits + 77}).Draw(t, "n")
		s, ref := NewSet(n), make([]bool, n)
		if rapid.Bool().Draw(t, "full") {
			s = NewFullSet(n)
			for i := range ref {
				ref[i] = true
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "ops") {
			lo := rapid.Uint64Range(0, n+5).Draw(t, "lo")
			hi := lo + rapid.SampledFrom([]uint64{0, 1, 2, 64, 100, pageBits, 3 * pageBits}).Draw(t, "len")
			on := rapid.Bool().Draw(t, "on")
			var want uint64
			for i := lo; i < min(hi, n); i++ {
				if ref[i] != on {
					want++
				}
				ref[i] = on
			}
			got := s.Remove
			if on {
				got = s.Add
			}
			if c := got(Range{lo, hi}); c != want {
				t.Fatalf("set [%d,%d) to %v changed %d, want %d", lo, hi, on, c, want)
			}
			check(t, s, ref, lo)
		}
	})
}

func check(t *rapid.T, s *Set, ref []bool, from uint64) {
	var count uint64
	for i, on := range ref {
		if on {
			count++
		}
		if s.Has(uint64(i)) != on {
			t.Fatalf("Has(%d) = %v", i, !on)
		}
	}
	if s.Count() != count {
		t.Fatalf("Count = %d, want %d", s.Count(), count)
	}
	for _, on := range []bool{true, false} {
		next, lo := s.Next, from
		if !on {
			next = s.NextGap
		}
		for lo < uint64(len(ref)) && ref[lo] != on {
			lo++
		}
		hi := lo
		for hi < uint64(len(ref)) && ref[hi] == on {
			hi++
		}
		r, ok := next(from)
		if ok != (lo < uint64(len(ref))) || ok && r != (Range{lo, hi}) {
			t.Fatalf("Next(%d), members %v = %v, %v; want [%d,%d)", from, on, r, ok, lo, hi)
		}
	}
}

func TestSetOutOfRange(t *testing.T) {
	s := NewFullSet(10)
	if s.Has(10) || s.Has(1<<60) {
		t.Error("an index past N is a member")
	}
	if c := s.Add(Range{1 << 40, 1 << 50}); c != 0 {
		t.Errorf("Add past N changed %d", c)
	}
	if _, ok := s.Next(1 << 40); ok {
		t.Error("Next past N found a run")
	}
}

// TestSetBounded fragments a set as far as it goes and holds the memory against
// the bound in the type's comment.
func TestSetBounded(t *testing.T) {
	const n = 8 * pageBits
	s := NewSet(n)
	for i := uint64(0); i < n; i += 2 {
		s.Add(Range{i, i + 1})
	}
	for _, p := range s.pages {
		if p.bits == nil || p.count != pageBits/2 {
			t.Fatalf("page holds %d", p.count)
		}
	}
	for i := uint64(1); i < n; i += 2 {
		s.Add(Range{i, i + 1})
	}
	for _, p := range s.pages {
		if p.bits != nil {
			t.Fatal("a full page keeps its bitmap")
		}
	}
}

func BenchmarkSetAddInOrder(b *testing.B) {
	const n = 1 << 28
	s := NewSet(n)
	for i := range b.N {
		lo := uint64(i) % n
		s.Add(Range{lo, lo + 1})
	}
}
