package udp

import (
	"fmt"
	"net/netip"
)

// HostAddr is a host's address as a session of that group needs it: of the group's family, and
// with a zone if it is link-local. interfaceName is the only interface that is used, "" if it
// is not known.
func HostAddr(addr, group netip.Addr, interfaceName string) (netip.Addr, error) {
	addr = addr.Unmap()
	switch {
	case addr.Is6() != group.Is6():
		return addr, fmt.Errorf("%s is %s, and the group %s is %s", addr, Family(addr), group, Family(group))
	case !addr.Is6() || !addr.IsLinkLocalUnicast() || addr.Zone() != "":
		return addr, nil
	case interfaceName == "":
		return addr, fmt.Errorf("on which network is %s? Say %s%%INTERFACE, or name the interface", addr, addr)
	}
	return addr.WithZone(interfaceName), nil
}
