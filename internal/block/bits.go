package block

import "math/bits"

// Bits is a small set of indices, one bit each: index i is bit i%64 of word i/64. Use Set
// for large sets of long runs.
type Bits []uint64

// NewBits returns an empty set with room for the indices 0 .. n-1.
func NewBits(n uint32) Bits { return make(Bits, (uint64(n)+63)/64) }

// Has reports whether i, for which there is room, is in the set.
func (b Bits) Has(i uint32) bool { return b[i/64]&(1<<(i%64)) != 0 }

// Add puts in i, for which there is room. It returns false if i was in the set before.
func (b Bits) Add(i uint32) bool {
	w, bit := &b[i/64], uint64(1)<<(i%64)
	added := *w&bit == 0
	*w |= bit
	return added
}

// Count is how many are in.
func (b Bits) Count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}
