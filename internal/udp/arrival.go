package udp

import (
	"net/netip"
	"time"
)

// Arrival is how a datagram came to a Conn.
type Arrival struct {
	From    netip.AddrPort
	IfIndex int // of the interface that it arrived by
	// At is the address of this host that it was sent to. It is not valid if that was a group or
	// a broadcast address, or is unknown.
	At netip.Addr
	// Size is the bytes of its payload.
	Size int
}

// ReadArrival receives one datagram as ReadFrom does, and returns how it came.
func (c *Conn) ReadArrival(b []byte) (n int, a Arrival, err error) {
	n, a.From, a.IfIndex, a.At, err = c.readFrom(b)
	a.Size = n
	return n, a, err
}

// ReadFrom receives one datagram into b and cuts off what does not fit. ifIndex is
// the interface that it arrived by.
func (c *Conn) ReadFrom(b []byte) (n int, src netip.AddrPort, ifIndex int, err error) {
	n, src, ifIndex, _, err = c.readFrom(b)
	return n, src, ifIndex, err
}

// linksAge is how old what Links knows may be.
const linksAge = time.Second

// Links knows which addresses are on this host's own networks. One goroutine owns it. The zero
// value knows nothing yet.
type Links struct {
	prefixes map[int][]netip.Prefix // by interface
	at       time.Time
}

// Local reports whether an address is on a network that an interface has an address of.
func (l *Links) Local(addr netip.Addr, ifIndex int) bool {
	if now := time.Now(); now.Sub(l.at) > linksAge || l.prefixes == nil {
		l.prefixes, l.at = map[int][]netip.Prefix{}, now
	}
	prefixes, known := l.prefixes[ifIndex]
	if !known {
		if i, err := InterfaceByName(InterfaceName(ifIndex)); err == nil {
			prefixes = i.Addrs
		}
		l.prefixes[ifIndex] = prefixes
	}
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		return true
	}
	for _, each := range prefixes {
		if each.Contains(addr.WithZone("")) {
			return true
		}
	}
	return false
}
