package command

import (
	"testing"

	"multiserver/internal/memory"
)

// TestMemoryLimit: buffers take a quarter of what is available, and the runtime half: the rest is
// the kernel's, for sockets and for what waits for the disk.
func TestMemoryLimit(t *testing.T) {
	for available, want := range map[uint64]int64{
		28 << 20:        14 << 20,
		plentyBytes - 2: plentyBytes/2 - 1,
		plentyBytes:     0,
		memory.Unknown:  0,
	} {
		if got := memoryLimit(available); got != want {
			t.Errorf("%d bytes available: a limit of %d, want %d", available, got, want)
		}
	}
}
