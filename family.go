package multiserver

import (
	"net/netip"

	"multiserver/internal/wire"
)

// A session speaks IPv4 or IPv6, whichever its group is of.

// family is what a message calls the family of addr.
func family(addr netip.Addr) string {
	if addr.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

// membershipProtocol is what tells switches of a group's members: a firewall must let
// it pass.
func membershipProtocol(group netip.Addr) string {
	if group.Is6() {
		return "MLD in ICMPv6"
	}
	return "IGMP"
}

// validateGroup checks the field of that name. A zone is refused: it is Interface that
// says where.
func validateGroup(name string, group netip.Addr) error {
	if !group.IsMulticast() || group.Zone() != "" {
		return fail(ErrConfig, "%s: %s is not a multicast group (224.0.0.0 to 239.255.255.255, or IPv6 of ff00::/8)", name, group)
	}
	return nil
}

// controlAddr is the control host's address as sockets take it: of the group's family,
// and with a zone if it is link-local.
func controlAddr(addr, group netip.Addr, interfaceName string) (netip.Addr, error) {
	addr = addr.Unmap()
	switch {
	case addr.Is6() != group.Is6():
		return addr, fail(ErrConfig, "ControlHost: %s is %s, and the group %s is %s", addr, family(addr), group, family(group))
	case !addr.Is6() || !addr.IsLinkLocalUnicast() || addr.Zone() != "":
		return addr, nil
	case interfaceName == "":
		return addr, fail(ErrConfig, "ControlHost: on which network is %s? Say %s%%INTERFACE, or name the interface (-i)", addr, addr)
	}
	return addr.WithZone(interfaceName), nil
}

// groupOfImage is the group for the stream of an image, in the family and, over IPv6,
// the scope of the control group.
func groupOfImage(control netip.Addr, id wire.Identity) netip.Addr {
	if !control.Is6() {
		// 239.192.0.0/14 is for organizations' own use (RFC 2365 §6.2). The third byte
		// keeps clear of the addresses that share a MAC address with 224.0.0.x.
		return netip.AddrFrom4([4]byte{239, 192 | id[0]&3, id[1]&0x7f | 1, id[2]})
	}
	var group [16]byte
	copy(group[2:], id[:])
	group[0] = 0xff
	// Only T of the flags, transient (RFC 4291 §2.7): P and R promise that the group
	// holds somebody's prefix (RFC 3306, RFC 3956), which this one does not.
	group[1] = 0x10 | control.As16()[1]&0xf
	// The last four bytes are also those of the MAC address, 33:33:…. From 0x80000000 on
	// they are nobody's by registration (RFC 3307 §4.3), and those of ff02::1:ff00:0/104,
	// by which hosts ask for each other's addresses, begin with 0xff.
	group[12] = 0x80 | id[10]&0x3f
	return netip.AddrFrom16(group)
}
