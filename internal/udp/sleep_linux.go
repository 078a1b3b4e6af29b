package udp

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sleep blocks the thread for d. It is late by 40 to 70 µs, time.Sleep by 550 to
// 1050 µs (median; Linux 6.18, Go 1.26; go test -bench Sleep ./internal/udp). A
// locked thread with a timer slack of 1 µs gains nothing worth its price.
func Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	until := time.Now().Add(d)
	for d > 0 {
		left := unix.NsecToTimespec(int64(d))
		if unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil) != unix.EINTR {
			return
		}
		d = time.Until(until)
	}
}
