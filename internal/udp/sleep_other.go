//go:build !linux

package udp

import "time"

// Sleep pauses the goroutine for d.
func Sleep(d time.Duration) { time.Sleep(d) }
