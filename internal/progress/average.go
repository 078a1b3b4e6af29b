package progress

import "time"

// rateWindow is the time over which a rate is averaged: long enough to hide the
// bursts of a disk's cache, short enough that a stall shows at once.
const rateWindow = 5 * time.Second

// average is the mean rate of a growing count of bytes over the last rateWindow.
// The zero value is ready.
type average struct {
	samples []sample // ascending in time; the first is the last one not younger than the window
}

type sample struct {
	at    time.Duration // since the run began
	bytes uint64
}

// add takes the count at one moment and returns the rate in bytes a second, 0 while
// it is unknown. A moment that is not after the one before changes nothing.
func (a *average) add(at time.Duration, bytes uint64) float64 {
	n := len(a.samples)
	switch {
	case bytes == 0 || n > 0 && bytes < a.samples[n-1].bytes:
		// What passes before the first byte is no part of the stream's rate.
		a.samples = append(a.samples[:0], sample{at, bytes})
	case n == 0 || at > a.samples[n-1].at:
		a.samples = append(a.samples, sample{at, bytes})
	}
	old := 0
	for old+2 < len(a.samples) && at-a.samples[old+1].at >= rateWindow {
		old++
	}
	a.samples = append(a.samples[:0], a.samples[old:]...)
	first, last := a.samples[0], a.samples[len(a.samples)-1]
	return meanRate(last.bytes-first.bytes, last.at-first.at)
}
