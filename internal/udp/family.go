package udp

import "net/netip"

// LimitedBroadcast reaches every host of an IPv4 network (RFC 919), and needs no hardware
// address.
var LimitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Family is what a message calls the family of addr.
func Family(addr netip.Addr) string {
	if addr.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

// MembershipProtocol is the protocol by which switches learn of a group's members. A
// firewall must let it pass.
func MembershipProtocol(group netip.Addr) string {
	if group.Is6() {
		return "MLD in ICMPv6"
	}
	return "IGMP"
}
