package codec

import "bytes"

// IsZero reports whether all bytes of b are zero.
func IsZero(b []byte) bool {
	// Each byte equals the one before it, and the first is zero. The runtime compares
	// in assembly, and both sides are the same cache lines: as fast as a page of
	// zeros, twice as fast as words joined by OR (BenchmarkIsZero).
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}
