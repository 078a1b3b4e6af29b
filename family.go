package multiserver

import (
	"errors"
	"net/netip"

	"multiserver/internal/failure"
	"multiserver/internal/udp"
)

// A session speaks IPv4 or IPv6, whichever its group is of.

// validateGroup checks a field of a configuration. A zone is refused: it is Interface that
// says where.
func validateGroup(field string, group netip.Addr) error {
	if !group.IsMulticast() || group.Zone() != "" {
		return failure.Setting(field, "%s is not a multicast group (224.0.0.0 to 239.255.255.255, or IPv6 of ff00::/8)", group)
	}
	return nil
}

// controlAddr is the control host's address as sockets take it: of the group's family,
// and with a zone if it is link-local. config is the configuration's type.
func controlAddr(config string, addr, group netip.Addr, interfaceName string) (netip.Addr, error) {
	host, err := udp.HostAddr(addr, group, interfaceName)
	if err != nil {
		return host, failure.Setting(config+".ControlHost", "%w", err)
	}
	return host, nil
}

// candidateInterfaces are udp's, by the name that a field of a configuration holds.
func candidateInterfaces(field, name string, group netip.Addr) ([]udp.Interface, error) {
	interfaces, err := udp.CandidateInterfaces(name, group)
	if errors.Is(err, udp.ErrUnknownInterface) {
		err = failure.Setting(field, "%w", err)
	}
	return interfaces, err
}
