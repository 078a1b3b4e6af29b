package multiserver

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"multiserver/internal/udp"
)

// candidateInterfaces returns the interface of that name, or if it is empty every
// one that is up and multicast-capable; loopback only if there is no other.
func candidateInterfaces(name string) ([]udp.Interface, error) {
	if name != "" {
		one, err := udp.InterfaceByName(name)
		if err != nil {
			return nil, fail(ErrConfig, "Interface: %w", err)
		}
		return []udp.Interface{one}, nil
	}
	all, err := udp.Interfaces()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("no network interface is up, has an IPv4 address and can multicast")
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
