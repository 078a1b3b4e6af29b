package fec

import "errors"

// MaxSourceSymbols is the largest K.
const MaxSourceSymbols = 65535

// ErrShape reports a block without bytes, a symbol size below one, more than
// MaxSourceSymbols symbols, or a symbol of the wrong size.
var ErrShape = errors.New("fec: wrong size of block or symbol")

// sourceCount returns K, or ErrShape if it is not in 1 .. MaxSourceSymbols.
func sourceCount(blockSize, symbolSize int) (int, error) {
	if blockSize < 1 || symbolSize < 1 {
		return 0, ErrShape
	}
	count := (blockSize-1)/symbolSize + 1
	if count > MaxSourceSymbols {
		return 0, ErrShape
	}
	return count, nil
}

// resize returns a slice of n elements of any value, in the memory of s where that
// suffices.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
