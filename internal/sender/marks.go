package sender

import "math/bits"

// marks is a set of blocks, one bit each. Unlike a block.Set it keeps its memory when it empties:
// pending blocks come and go all the time. Unlike block.Bits it finds the next one in a few steps.
type marks struct {
	words   []uint64
	summary []uint64 // bit i: words[i] is not 0
	count   int
}

func newMarks(n uint64) marks {
	words := (n + 63) / 64
	return marks{words: make([]uint64, words), summary: make([]uint64, (words+63)/64)}
}

func (m *marks) add(i uint32) {
	w, bit := i/64, uint64(1)<<(i%64)
	if m.words[w]&bit == 0 {
		m.words[w] |= bit
		m.summary[w/64] |= 1 << (w % 64)
		m.count++
	}
}

func (m *marks) remove(i uint32) {
	w, bit := i/64, uint64(1)<<(i%64)
	if m.words[w]&bit == 0 {
		return
	}
	m.words[w] &^= bit
	if m.words[w] == 0 {
		m.summary[w/64] &^= 1 << (w % 64)
	}
	m.count--
}

func (m *marks) has(i uint32) bool { return m.words[i/64]&(1<<(i%64)) != 0 }

// next returns the first mark from i on.
func (m *marks) next(i uint32) (uint32, bool) {
	w := int(i / 64)
	if w >= len(m.words) {
		return 0, false
	}
	if rest := m.words[w] >> (i % 64); rest != 0 {
		return i + uint32(bits.TrailingZeros64(rest)), true
	}
	w++
	for s := w / 64; s < len(m.summary); s++ {
		sum := m.summary[s]
		if s == w/64 {
			sum &= ^uint64(0) << (w % 64)
		}
		if sum != 0 {
			w = s*64 + bits.TrailingZeros64(sum)
			return uint32(w*64 + bits.TrailingZeros64(m.words[w])), true
		}
	}
	return 0, false
}
