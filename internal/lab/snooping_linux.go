package lab

import (
	"time"

	"github.com/vishvananda/netlink/nl"
)

// Switch is the network of every host's eth0.
func (l *Lab) Switch() *Network {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.networks[0]
}

// SetMemory tells the switch how long it remembers, from its next packet on, that a
// port reported a group, and that somebody else sent queries: 260 s and 255 s at
// first (RFC 2236 §8). A group that no port is remembered for is passed to nobody;
// once the last querier is forgotten, all groups are passed to all ports.
func (n *Network) SetMemory(report, querier time.Duration) error {
	if err := n.changeBridge(nl.IFLA_BR_MCAST_MEMBERSHIP_INTVL, hundredths(report)); err != nil {
		return err
	}
	return n.changeBridge(nl.IFLA_BR_MCAST_QUERIER_INTVL, hundredths(querier))
}

// hundredths is a time in the bridge's unit: USER_HZ is 100.
func hundredths(d time.Duration) []byte {
	return nl.Uint64Attr(uint64(d / (10 * time.Millisecond)))
}
