//go:build !linux

package udp

import "net/netip"

// sendFrom does nothing: the system chooses.
func (s *Sender) sendFrom(netip.Addr) {}

// Source is not valid: the kernel chooses.
func (c *Conn) Source(netip.Addr, int) netip.Addr { return netip.Addr{} }
