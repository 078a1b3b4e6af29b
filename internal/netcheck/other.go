//go:build !linux

package netcheck

import (
	"errors"
	"net/netip"
)

// Settings sees nothing on this system.
func Settings([]string) []Finding { return nil }

// Speed does not know.
func Speed(string) (bitsPerSec uint64, up bool) { return 0, true }

// Route fails on this system.
func Route(netip.Addr) (ifIndex int, err error) { return 0, errors.ErrUnsupported }

// Queue does not know.
func Queue(int) string { return "" }

// Firewall sees nothing on this system, and says so.
func Firewall([]Packet) []Finding {
	return []Finding{{Note, "firewall", "it cannot be seen on this system", ""}}
}
