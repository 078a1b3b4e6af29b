package block

import "math/bits"

// Range is the half-open range of indices [Lo, Hi).
type Range struct{ Lo, Hi uint64 }

// Len is the count of indices in the range.
func (r Range) Len() uint64 { return r.Hi - r.Lo }

const (
	// pageBits is the count of indices in one page of a Set: 4 KiB of bitmap, so
	// that a page of 1024-byte blocks stands for 32 MiB of image.
	pageBits  = 1 << 15
	pageWords = pageBits / 64
)

// Set is a set of the indices 0 .. N-1. Pages that are empty or full hold no
// bitmap, so that a set of few long runs is small; whatever is put in, it never
// takes more than one bit an index and 16 bytes a page. The zero Set has N = 0.
type Set struct {
	n     uint64
	count uint64
	pages []page
}

// page holds pageBits indices.
type page struct {
	bits  *[pageWords]uint64 // nil while count is 0 or the size of the page
	count uint32
}

// NewSet returns the empty subset of 0 .. n-1.
func NewSet(n uint64) *Set {
	return &Set{n: n, pages: make([]page, (n+pageBits-1)/pageBits)}
}

// NewFullSet returns the set of all of 0 .. n-1.
func NewFullSet(n uint64) *Set {
	s := NewSet(n)
	s.Add(Range{0, n})
	return s
}

// N is the exclusive upper bound of the indices.
func (s *Set) N() uint64 { return s.n }

// Count is the count of indices in the set.
func (s *Set) Count() uint64 { return s.count }

// pageSize is the count of indices that page p can hold: the last may be short.
func (s *Set) pageSize(p uint64) uint32 {
	return uint32(min(pageBits, s.n-p*pageBits))
}

// Has reports whether i is in the set. An index of N or more is not.
func (s *Set) Has(i uint64) bool {
	if i >= s.n {
		return false
	}
	pg := &s.pages[i/pageBits]
	if pg.bits == nil {
		return pg.count != 0
	}
	return pg.bits[i%pageBits/64]&(1<<(i%64)) != 0
}

// Add puts in the part of r below N and returns the count of indices that were
// not in the set before.
func (s *Set) Add(r Range) uint64 { return s.set(r, true) }

// Remove takes r out and returns the count of indices that were in the set.
func (s *Set) Remove(r Range) uint64 { return s.set(r, false) }

func (s *Set) set(r Range, on bool) uint64 {
	r.Hi = min(r.Hi, s.n)
	var changed uint64
	for lo := r.Lo; lo < r.Hi; {
		p := lo / pageBits
		hi := min(r.Hi, (p+1)*pageBits)
		changed += uint64(s.setInPage(p, uint32(lo%pageBits), uint32(hi-p*pageBits), on))
		lo = hi
	}
	if on {
		s.count += changed
	} else {
		s.count -= changed
	}
	return changed
}

// setInPage sets or clears the bits [lo, hi) of page p and returns how many changed.
func (s *Set) setInPage(p uint64, lo, hi uint32, on bool) uint32 {
	pg, size := &s.pages[p], s.pageSize(p)
	whole := uint32(0)
	if on {
		whole = size
	}
	if pg.count == whole {
		return 0
	}
	if lo == 0 && hi == size {
		changed := max(whole, pg.count) - min(whole, pg.count)
		pg.bits, pg.count = nil, whole
		return changed
	}
	if pg.bits == nil {
		pg.bits = new([pageWords]uint64)
		if pg.count != 0 { // the page was full
			fill(pg.bits, 0, size, true)
		}
	}
	changed := fill(pg.bits, lo, hi, on)
	if on {
		pg.count += changed
	} else {
		pg.count -= changed
	}
	if pg.count == whole {
		pg.bits = nil
	}
	return changed
}

// fill sets or clears the bits [lo, hi) and returns how many changed.
func fill(b *[pageWords]uint64, lo, hi uint32, on bool) (changed uint32) {
	for lo < hi {
		w := lo / 64
		mask := ^uint64(0) << (lo % 64)
		if end := (w + 1) * 64; hi < end {
			mask &= ^uint64(0) >> (end - hi)
		}
		if on {
			changed += uint32(bits.OnesCount64(mask &^ b[w]))
			b[w] |= mask
		} else {
			changed += uint32(bits.OnesCount64(mask & b[w]))
			b[w] &^= mask
		}
		lo = (w + 1) * 64
	}
	return changed
}

// Next returns the first maximal run of members that holds an index of i or more,
// cut at i, and false if there is none.
func (s *Set) Next(i uint64) (Range, bool) {
	lo := s.scan(i, true)
	if lo >= s.n {
		return Range{}, false
	}
	return Range{lo, s.scan(lo, false)}, true
}

// NextGap is Next for the indices that are not in the set.
func (s *Set) NextGap(i uint64) (Range, bool) {
	lo := s.scan(i, false)
	if lo >= s.n {
		return Range{}, false
	}
	return Range{lo, s.scan(lo, true)}, true
}

// scan returns the first index of i or more whose membership is want, or N.
func (s *Set) scan(i uint64, want bool) uint64 {
	for i < s.n {
		p := i / pageBits
		pg, end := &s.pages[p], (p+1)*pageBits
		if pg.bits == nil {
			if (pg.count != 0) == want {
				return i
			}
			i = end
			continue
		}
		for i < min(end, s.n) {
			w := pg.bits[i%pageBits/64]
			if !want {
				w = ^w
			}
			if w >>= i % 64; w != 0 {
				return min(i+uint64(bits.TrailingZeros64(w)), s.n)
			}
			i = (i/64 + 1) * 64
		}
	}
	return s.n
}
