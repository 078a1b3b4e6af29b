package original

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// listen opens a UDP socket on address and port; port 0 is an ephemeral one.
// It joins no group and sets no option, as the original: on Linux such a socket
// also hears the groups that anyone else on its host joined.
func listen(address netip.Addr, port uint16) (*net.UDPConn, error) {
	return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, port)))
}

// join makes c a member of group. Without an interface the routing table
// chooses it.
func join(c *net.UDPConn, group netip.Addr, via *net.Interface) error {
	if err := ipv4.NewPacketConn(c).JoinGroup(via, &net.UDPAddr{IP: group.AsSlice()}); err != nil {
		return fmt.Errorf("join %s: %w", group, err)
	}
	return nil
}

// sendVia makes c's multicast leave by the given interface; without one the
// routing table chooses it.
func sendVia(c *net.UDPConn, via *net.Interface) error {
	if via == nil {
		return nil
	}
	if err := ipv4.NewPacketConn(c).SetMulticastInterface(via); err != nil {
		return fmt.Errorf("multicast by %s: %w", via.Name, err)
	}
	return nil
}

func orDefault(group netip.Addr, port uint16) (netip.Addr, uint16) {
	if !group.IsValid() {
		group = netip.MustParseAddr(DefaultGroup)
	}
	if port == 0 {
		port = DefaultPort
	}
	return group, port
}
