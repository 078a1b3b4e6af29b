package udp

import "net/netip"

// Source is the address that packets to a group leave an interface from; not valid if the kernel
// chooses.
func (c *Conn) Source(group netip.Addr, ifIndex int) netip.Addr {
	if source := c.source(group, ifIndex); !source.IsUnspecified() {
		return source.WithZone("")
	}
	return netip.Addr{}
}
