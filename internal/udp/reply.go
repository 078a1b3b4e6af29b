package udp

import "net/netip"

// Reply sends an answer back by the interface where the question came in. A question that
// was routed may need another way back: then the routing table chooses.
func (c *Conn) Reply(b []byte, to netip.AddrPort, ifIndex int) error {
	if c.WriteTo(b, to, ifIndex) == nil {
		return nil
	}
	return c.WriteTo(b, to, 0)
}
