//go:build !linux

package udp

import "net/netip"

// Source is not valid: the kernel chooses.
func (c *Conn) Source(netip.Addr, int) netip.Addr { return netip.Addr{} }
