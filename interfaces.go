package multiserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"multiserver/internal/udp"
)

// candidateInterfaces returns the interface of that name, or if it is empty every
// one that is up, multicast-capable and has an address of the group's family;
// loopback only if there is no other.
func candidateInterfaces(name string, group netip.Addr) ([]udp.Interface, error) {
	if name != "" {
		one, err := udp.InterfaceByName(name)
		if err != nil {
			if _, missing := net.InterfaceByName(name); missing != nil {
				return nil, fail(ErrConfig, "Interface: %w", err)
			}
			// Unlike a name that is wrong, this may mend itself: the network is just
			// being set up.
			return nil, err
		}
		if !one.CanSendTo(group) {
			return nil, fmt.Errorf("network interface %s has no %s address", name, family(group))
		}
		return []udp.Interface{one}, nil
	}
	all, err := udp.Interfaces()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(each udp.Interface) bool { return !each.CanSendTo(group) })
	if len(all) == 0 {
		return nil, fmt.Errorf("no network interface is up, has an %s address and can multicast", family(group))
	}
	for i, each := range all {
		if each.Loopback && i > 0 {
			return all[:i], nil
		}
	}
	return all, nil
}

func interfaceNames(interfaces []udp.Interface) string {
	names := make([]string, len(interfaces))
	for i, each := range interfaces {
		names[i] = each.Name
	}
	return strings.Join(names, ", ")
}

// interfaceName is the name of the interface of that index, or the index itself
// if it is gone.
func interfaceName(index int) string {
	if each, err := net.InterfaceByIndex(index); err == nil {
		return each.Name
	}
	return strconv.Itoa(index)
}
