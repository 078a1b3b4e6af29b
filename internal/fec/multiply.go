package fec

import (
	"slices"

	"github.com/klauspost/reedsolomon"
)

// tileRows is the largest count of rows that one pass over the source makes. Four
// rows of the usual symbol and one source symbol fit a first-level cache of 32 KiB
// with room to spare, and in the GFNI kernel they fill the registers; with eight
// and more the portable path gets slower as rows are added (go test -bench Encode).
const tileRows = 4

// galois is the field GF(2^8) with the polynomial 0x11D, by whatever instructions
// the processor has.
var galois reedsolomon.LowLevel

// mulAdd adds to each dst[i] the sum over j of coefficients[i*n+j] times source
// symbol j, n being the count of symbols of symbolSize bytes in src. The last may
// be short, and counts as padded with zeros.
// dst holds 1 to tileRows slices of symbolSize bytes that do not overlap src.
func mulAdd(dst [][]byte, coefficients, src []byte, symbolSize int) {
	count := len(coefficients) / len(dst)
	full := len(src) / symbolSize
	column := 0
	if len(dst) > 1 || slices.Max(coefficients) > 1 {
		column = mulAddFast(dst, coefficients, src[:full*symbolSize], symbolSize)
	}
	for ; column < count; column++ {
		start := column * symbolSize
		symbol := src[start:min(start+symbolSize, len(src))]
		for i, d := range dst {
			if c := coefficients[i*count+column]; c != 0 {
				galois.GalMulSliceXor(c, symbol, d)
			}
		}
	}
}
