//go:build !noasm

package fec

import (
	"testing"

	"github.com/klauspost/reedsolomon"
)

// simdLevels are the sets of instructions that tests and benchmarks force. A level
// that the processor does not have is the next one below it.
var simdLevels = []string{"best", "avx2", "ssse3", "none"}

// setSIMD forces the level until the test ends.
func setSIMD(tb testing.TB, level string) {
	gfni, table := useGFNI, useTable
	tb.Cleanup(func() {
		useGFNI, useTable = gfni, table
		galois.WithOptions()
	})
	switch level {
	case "avx2":
		useGFNI = false
	case "ssse3":
		useGFNI = false
		galois.WithOptions(reedsolomon.WithAVX2(false))
	case "none":
		useGFNI, useTable = false, true
		galois.WithOptions(reedsolomon.WithAVX2(false), reedsolomon.WithSSSE3(false), reedsolomon.WithSSE2(false))
	}
}
