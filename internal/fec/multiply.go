package fec

import (
	"slices"

	"github.com/klauspost/cpuid/v2"
	"github.com/klauspost/reedsolomon"
)

// tileRows is the largest count of rows that one pass over the source makes. Four
// rows of the usual symbol and one source symbol fit a first-level cache of 32 KiB
// with room to spare, and in the GFNI kernel they fill the registers; with sixteen
// the portable path is slower by a fifth, with all of a 10% repair by two thirds.
const tileRows = 4

// polynomial of the field GF(2^8): x^8 + x^4 + x^3 + x^2 + 1.
const polynomial = 0x11D

// galois multiplies by whatever instructions the processor has.
var galois reedsolomon.LowLevel

// useTable reports that it has none that galois knows. Galois then takes a table of
// 128 KiB for each factor, which no cache holds: five to ten times slower than
// mulAddTable, and 32 MiB of memory.
var useTable = !cpuid.CPU.Supports(cpuid.SSSE3) && !cpuid.CPU.Supports(cpuid.ASIMD)

// mulAdd adds to each dst[i] the sum over j of coefficients[i*n+j] times source
// symbol j, n being the count of symbols of symbolSize bytes in src. The last may
// be short, and counts as padded with zeros.
// dst holds 1 to tileRows slices of symbolSize bytes that do not overlap src.
func mulAdd(dst [][]byte, coefficients, src []byte, symbolSize int) {
	count := len(coefficients) / len(dst)
	column := 0
	// A single row of ones, the usual end of a single loss, is faster below.
	if len(dst) > 1 || slices.Max(coefficients) > 1 {
		whole := len(src) / symbolSize * symbolSize
		column = mulAddFast(dst, coefficients, src[:whole], symbolSize)
	}
	for ; column < count; column++ {
		start := column * symbolSize
		symbol := src[start:min(start+symbolSize, len(src))]
		for i, d := range dst {
			mulAddSlice(coefficients[i*count+column], symbol, d)
		}
	}
}

// mulAddSlice adds c times src to dst, which is at least as long, and may be src.
func mulAddSlice(c byte, src, dst []byte) {
	switch {
	case c == 0:
	case c > 1 && useTable:
		mulAddTable(c, src, dst)
	default:
		galois.GalMulSliceXor(c, src, dst)
	}
}

// mulAddTable is mulAddSlice with a table of the multiples of c made on the spot.
func mulAddTable(c byte, src, dst []byte) {
	var multiples [256]byte
	for i := 1; i < len(multiples); i++ {
		product := int(multiples[i>>1]) << 1
		if product > 0xFF {
			product ^= polynomial
		}
		if i&1 != 0 {
			product ^= int(c)
		}
		multiples[i] = byte(product)
	}
	dst = dst[:len(src)]
	for i, b := range src {
		dst[i] ^= multiples[b]
	}
}
