package fetch

import (
	"fmt"
	"time"

	"multiserver/internal/memory"
)

const (
	// windowShare: the window takes one in so many of the bytes that are available.
	windowShare = 4
	// roomEvery is how often the memory is looked at.
	roomEvery = time.Second
)

// room decides how many slots there is memory for.
type room struct {
	most       int // slots, of the window
	blockBytes int
	available  uint64
	slots      int
	at         time.Duration // of the last look
}

// newRoom returns the room for a window of most slots.
func newRoom(most, blockBytes int, available uint64) *room {
	r := &room{most: most, blockBytes: blockBytes}
	r.slots, r.available = r.share(available), available
	return r
}

// share is how many slots there is memory for if all of available were theirs to share.
func (r *room) share(available uint64) int {
	block := uint64(r.blockBytes)
	return int(memory.Share(available, windowShare, leastWindow*block, uint64(r.most)*block) / block)
}

// fits returns an error if there is no memory for the smallest window.
func (r *room) fits() error {
	least := uint64(leastWindow * r.blockBytes)
	if r.available >= least {
		return nil
	}
	return fmt.Errorf("%d bytes of memory are left on this machine or in its control group, and %d blocks of this image take %d: "+
		"give it more memory, or end other programs", r.available, leastWindow, least)
}

// due reports whether it is time for a look.
func (r *room) due(now time.Duration) bool {
	if now-r.at < roomEvery {
		return false
	}
	r.at = now
	return true
}

// fit looks at the memory that is available beside the bytes that the slots hold, and reports
// whether that changes the window. Small changes do not.
func (r *room) fit(available, held uint64) bool {
	slots := r.share(memory.Beside(available, held))
	if memory.Near(slots, r.slots) {
		return false
	}
	changed := slots != r.slots
	r.slots, r.available = slots, available
	return changed
}

// shrunk reports whether the window is smaller than it could be.
func (r *room) shrunk() bool { return r.slots < r.most }

// text tells of a window that is not the full one.
func (r *room) text() string {
	return fmt.Sprintf("little memory: %d MiB are available, and the window is %d MiB instead of %d MiB",
		r.available>>20, r.slots*r.blockBytes>>20, r.most*r.blockBytes>>20)
}
