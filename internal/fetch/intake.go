package fetch

import "time"

// maxHeld is how long packets may wait in the socket's buffer while results are taken first. The
// buffer holds that of 5 Gbit/s, and a heartbeat waits no longer.
const maxHeld = 50 * time.Millisecond

// intake decides whether packets are taken, or wait where they are for slots to become free.
type intake struct {
	drained time.Duration // when nothing was left waiting
}

// received records a receive, which left something waiting or not.
func (i *intake) received(now time.Duration, more bool) {
	if !more {
		i.drained = now
	}
}

// hold is how long packets are to wait at most, while crowded says that hardly a slot is free.
// Once they have waited too long all of them are taken, whatever becomes of them.
func (i *intake) hold(now time.Duration, crowded bool) time.Duration {
	if !crowded {
		return 0
	}
	return max(0, maxHeld-(now-i.drained))
}
