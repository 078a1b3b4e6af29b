package fec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestMulAdd holds every level of instructions against the reference, at all sizes
// around the kernels' strides, and checks that nothing is written outside of dst.
func TestMulAdd(t *testing.T) {
	sizes := []int{1, 2, 31, 63, 64, 65, 100, 127, 128, 129, 191, 200, 1444}
	for _, level := range simdLevels {
		t.Run(level, func(t *testing.T) {
			setSIMD(t, level)
			rng := rand.New(rand.NewPCG(1, 2))
			for _, size := range sizes {
				for _, count := range []int{1, 2, 15, 16, 17, 33} {
					for rows := 1; rows <= tileRows; rows++ {
						for _, cut := range []int{0, 1, size - 1} {
							testMulAdd(t, rng, size, count, rows, cut)
						}
					}
				}
			}
		})
	}
}

func testMulAdd(t *testing.T, rng *rand.Rand, size, count, rows, cut int) {
	t.Helper()
	const margin = 64
	src := randomBytes(rng, size*count-cut)
	coefficients := randomBytes(rng, rows*count)
	coefficients[rng.IntN(len(coefficients))] = 0
	memory := randomBytes(rng, rows*size+2*margin)
	want := bytes.Clone(memory)
	dst := make([][]byte, rows)
	for i := range dst {
		start := margin + i*size
		dst[i] = memory[start:][:size]
		for j, b := range src {
			want[start+j%size] ^= refMul(coefficients[i*count+j/size], b)
		}
	}
	mulAdd(dst, coefficients, src, size)
	if !bytes.Equal(memory, want) {
		t.Fatalf("wrong at symbol size %d, %d columns, %d rows, %d bytes short", size, count, rows, cut)
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
