//go:build !noasm

package fec

import "github.com/klauspost/cpuid/v2"

const (
	// gfniMinSymbol is the smallest symbol that the kernel takes: its stride.
	gfniMinSymbol = 64
	// gfniColumns is the count of columns in one call of the kernel. The rows are
	// read and written once a call, which many columns make cheap; the matrices
	// and symbols of a call stay in the first-level cache, which few make possible.
	gfniColumns = 16
)

// useGFNI reports that the processor multiplies 32 bytes by an 8×8 bit matrix at
// once: Intel since 2021 (Ice Lake, Alder Lake), AMD since 2022 (Zen 4).
var useGFNI = cpuid.CPU.Supports(cpuid.AVX2, cpuid.GFNI)

// mulMatrices holds for each c the bit matrix of the multiplication by c, in the
// layout of VGF2P8AFFINEQB: bit j of byte 7-i is bit i of c·2^j.
var mulMatrices = func() (matrices [256]uint64) {
	for c := range matrices {
		product := c
		for j := range 8 {
			for i := range 8 {
				bit := uint64(product) >> i & 1
				matrices[c] |= bit << (8*(7-i) + j)
			}
			product <<= 1
			if product > 0xFF {
				product ^= polynomial
			}
		}
	}
	return matrices
}()

// mulAddGFNI adds to dst[i][:symbolSize] the sum over j of matrices[j][i] times
// the symbolSize bytes at src + j*symbolSize, for j < columns. symbolSize is at
// least gfniMinSymbol and columns at least 1. The four dst are read and written in
// turn, so that one may stand there twice if the second time its matrices are zero.
//
//go:noescape
func mulAddGFNI(dst *[tileRows]*byte, matrices *[gfniColumns][tileRows]uint64, src *byte, symbolSize, columns int)

// mulAddFast does the work of mulAdd for as many columns from the first on as it
// can, and returns their count. src holds whole symbols.
func mulAddFast(dst [][]byte, coefficients, src []byte, symbolSize int) int {
	if !useGFNI || symbolSize < gfniMinSymbol {
		return 0
	}
	count := len(coefficients) / len(dst)
	full := len(src) / symbolSize
	var (
		rows     [tileRows]*byte
		matrices [gfniColumns][tileRows]uint64
	)
	for i := range rows {
		rows[i] = &dst[0][:symbolSize][0]
		if i < len(dst) {
			rows[i] = &dst[i][:symbolSize][0]
		}
	}
	for column := 0; column < full; column += gfniColumns {
		columns := min(gfniColumns, full-column)
		for i := range dst {
			for j, c := range coefficients[i*count+column:][:columns] {
				matrices[j][i] = mulMatrices[c]
			}
		}
		mulAddGFNI(&rows, &matrices, &src[column*symbolSize], symbolSize, columns)
	}
	return full
}
