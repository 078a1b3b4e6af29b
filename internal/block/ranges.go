package block

import "fmt"

// ValidateIn reports whether r, which came from the network, is a range of at least
// one of the indices 0 .. n-1: 0 <= Lo < Hi <= n.
func (r Range) ValidateIn(n uint64) error {
	if r.Lo >= r.Hi || r.Hi > n {
		return fmt.Errorf("[%d, %d) is no range within %d", r.Lo, r.Hi, n)
	}
	return nil
}

// AddRanges puts ranges into s and returns the count of indices that were not in
// it before. Ranges may touch and overlap; what lies at N or above is left out.
func AddRanges(s *Set, ranges []Range) (added uint64) {
	for _, r := range ranges {
		added += s.Add(r)
	}
	return added
}
