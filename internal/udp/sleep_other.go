//go:build !linux

package udp

import "time"

func sleep(d time.Duration) { time.Sleep(d) }
