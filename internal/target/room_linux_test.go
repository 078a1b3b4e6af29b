package target

import (
	"math"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFreeBytes: the unit is the fragment; what is kept for root is root's; and a file system
// that tells nothing is not a full one.
func TestFreeBytes(t *testing.T) {
	for _, c := range []struct {
		name   string
		space  unix.Statfs_t
		asRoot bool
		want   uint64
	}{
		{"root", unix.Statfs_t{Blocks: 9, Bfree: 5, Bavail: 3, Bsize: 4096, Frsize: 4096}, true, 5 * 4096},
		{"anybody", unix.Statfs_t{Blocks: 9, Bfree: 5, Bavail: 3, Bsize: 4096, Frsize: 4096}, false, 3 * 4096},
		{"large transfers", unix.Statfs_t{Blocks: 9, Bfree: 5, Bavail: 3, Bsize: 1 << 20, Frsize: 512}, false, 3 * 512},
		{"no fragments", unix.Statfs_t{Blocks: 9, Bfree: 5, Bavail: 3, Bsize: 1024}, false, 3 * 1024},
		{"full", unix.Statfs_t{Blocks: 9, Bsize: 4096, Frsize: 4096}, true, 0},
		{"unknown", unix.Statfs_t{Bsize: 4096, Frsize: 4096}, true, math.MaxUint64},
	} {
		if got := freeBytes(&c.space, c.asRoot); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
