package fetch

import (
	"strings"
	"testing"

	"multiserver/internal/memory"
)

const mib = 1 << 20

// TestRoom: the window follows the memory that there is, and small changes do not change it.
func TestRoom(t *testing.T) {
	r := newRoom(64, mib, memory.Unknown)
	if r.slots != 64 || r.fits() != nil {
		t.Errorf("where nothing is known: %d slots, %v", r.slots, r.fits())
	}
	r = newRoom(64, mib, 3*mib)
	if err := r.fits(); err == nil || !strings.Contains(err.Error(), "3145728 bytes") {
		t.Errorf("memory for three blocks: %v", err)
	}
	r = newRoom(64, mib, 128*mib)
	for _, c := range []struct {
		available, held uint64
		changed         bool
		want            int
	}{
		{96 * mib, 32 * mib, false, 32}, // what the slots hold is not available any more
		{80 * mib, 32 * mib, false, 32},
		{32 * mib, 32 * mib, true, 16},
		{0, 8 * mib, true, leastWindow},
		{512 * mib, 4 * mib, true, 64},
		{memory.Unknown, 64 * mib, false, 64},
	} {
		if changed := r.fit(c.available, c.held); changed != c.changed || r.slots != c.want {
			t.Errorf("%d MiB beside %d: %d slots, changed %v; want %d, %v", c.available/mib, c.held/mib, r.slots, changed, c.want, c.changed)
		}
	}
}
