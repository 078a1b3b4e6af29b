package reach

import "time"

// A client that hears nothing joins the group again: a switch may have forgotten that the
// stream is wanted here. If the cause is another one, this does no harm.
const (
	// rejoinAfter is the silence before the first time, and half of the pause before the
	// second. Each pause is twice the one before.
	rejoinAfter = time.Second
	// maxRejoinPause is the longest.
	maxRejoinPause = 10 * time.Second
)

// Rejoin decides when to join the group again. Its zero value is a client that got a packet at
// time 0.
type Rejoin struct {
	silentSince time.Duration
	next        time.Duration // 0 before the first call
	pause       time.Duration // after that
}

// Due reports whether to join again now, if the last packet came at lastPacket.
func (r *Rejoin) Due(now, lastPacket time.Duration) bool {
	if lastPacket > r.silentSince || r.next == 0 {
		*r = Rejoin{silentSince: lastPacket, next: lastPacket + rejoinAfter, pause: 2 * rejoinAfter}
	}
	if now < r.next {
		return false
	}
	r.next = now + r.pause
	r.pause = min(2*r.pause, maxRejoinPause)
	return true
}
