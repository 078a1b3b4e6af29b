//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// duty lets a program run for a part of each period, as a busy host lets a virtual machine.
type duty struct{ run, period time.Duration }

// dutyLimit bounds the periods of one program, whatever becomes of it.
const dutyLimit = 30 * time.Minute

// keep stops and continues a program until it ends or release is closed, and leaves it running.
// It returns the share of the time that the program was not stopped.
func (d duty) keep(process *os.Process, ended, release <-chan struct{}) (share float64, err error) {
	// Fails if it has ended.
	defer func() { _ = process.Signal(unix.SIGCONT) }()
	started, stopped := time.Now(), time.Duration(0)
	timer := time.NewTimer(d.run)
	defer timer.Stop()
	over := func() bool {
		select {
		case <-ended:
		case <-release:
		case <-timer.C:
			return false
		}
		return true
	}
	for range dutyLimit / d.period {
		if over() {
			break
		}
		if process.Signal(unix.SIGSTOP) != nil { // it has ended
			break
		}
		stop := time.Now()
		timer.Reset(d.period - d.run)
		interrupted := over()
		if err := process.Signal(unix.SIGCONT); err != nil && !interrupted {
			return 0, fmt.Errorf("continue a stopped program: %w", err)
		}
		stopped += time.Since(stop)
		if interrupted {
			break
		}
		timer.Reset(d.run)
	}
	return 1 - stopped.Seconds()/time.Since(started).Seconds(), nil
}
