package fec

import "encoding/binary"

// The constants of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
// Number Generators, OOPSLA 2014). They are part of the protocol.
const (
	splitmixStep = 0x9E3779B97F4A7C15
	splitmixMul1 = 0xBF58476D1CE4E5B9
	splitmixMul2 = 0x94D049BB133111EB
)

// columnsPerWord is the count of coefficients in one output of the generator.
const columnsPerWord = 8

// splitmix returns the first output of a splitmix64 generator in the given state.
func splitmix(state uint64) uint64 {
	z := state + splitmixStep
	z = (z ^ z>>30) * splitmixMul1
	z = (z ^ z>>27) * splitmixMul2
	return z ^ z>>31
}

// rowSeed is the state in which row's generator starts. It is hashed because with
// seeds in arithmetic progression one row would be another one shifted.
func rowSeed(row uint32) uint64 { return splitmix(uint64(row)) }

// coefficientWord holds the coefficients of columns 8*word to 8*word+7 of the row
// with the given seed, the first in the lowest byte. None is zero.
func coefficientWord(seed uint64, word int) uint64 {
	const low7 = 0x7F7F7F7F7F7F7F7F
	w := splitmix(seed + uint64(word)*splitmixStep)
	// The top bit of a byte of zero is set if and only if that byte of w is 0;
	// shifted down it turns the 0 into a 1.
	zero := ^((w&low7 + low7) | w | low7)
	return w | zero>>7
}

// Coefficient returns the factor, never 0, with which the source symbol of index
// column enters the repair symbol of index row.
func Coefficient(row uint32, column int) byte {
	if row == 0 {
		return 1
	}
	w := coefficientWord(rowSeed(row), column/columnsPerWord)
	return byte(w >> (8 * (column % columnsPerWord)))
}

// fillRow sets dst[column] to Coefficient(row, column).
func fillRow(dst []byte, row uint32) {
	if row == 0 {
		for i := range dst {
			dst[i] = 1
		}
		return
	}
	seed := rowSeed(row)
	word := 0
	for ; len(dst) >= columnsPerWord; dst = dst[columnsPerWord:] {
		binary.LittleEndian.PutUint64(dst, coefficientWord(seed, word))
		word++
	}
	if len(dst) > 0 {
		var rest [columnsPerWord]byte
		binary.LittleEndian.PutUint64(rest[:], coefficientWord(seed, word))
		copy(dst, rest[:])
	}
}
