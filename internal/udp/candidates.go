package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ErrUnknownInterface is wrapped by what CandidateInterfaces returns if no interface has
// the name. Other errors may mend themselves: the network may just be being set up.
var ErrUnknownInterface = errors.New("no such network interface")

// unknownInterface lets InterfaceByName's text stand alone.
type unknownInterface struct{ error }

func (unknownInterface) Is(target error) bool { return target == ErrUnknownInterface }

// CandidateInterfaces returns the interface called name. If name is empty, it returns
// every interface that is up, can multicast and has an address of the group's family;
// the loopback only if there is no other.
func CandidateInterfaces(name string, group netip.Addr) ([]Interface, error) {
	if name != "" {
		one, err := InterfaceByName(name)
		if err != nil {
			if _, missing := net.InterfaceByName(name); missing != nil {
				return nil, unknownInterface{err}
			}
			return nil, err
		}
		if !one.CanSendTo(group) {
			return nil, fmt.Errorf("network interface %s has no %s address", name, Family(group))
		}
		return []Interface{one}, nil
	}
	all, err := Interfaces()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(each Interface) bool { return !each.CanSendTo(group) })
	if len(all) == 0 {
		return nil, fmt.Errorf("no network interface is up, has an %s address and can multicast", Family(group))
	}
	for i, each := range all {
		if each.Loopback && i > 0 {
			return all[:i], nil
		}
	}
	return all, nil
}

// InterfaceNames lists the names for a message, with commas between.
func InterfaceNames(interfaces []Interface) string {
	names := make([]string, len(interfaces))
	for i, each := range interfaces {
		names[i] = each.Name
	}
	return strings.Join(names, ", ")
}

// InterfaceName is the name of the interface of that index, or the index itself if the
// interface is gone.
func InterfaceName(index int) string {
	if each, err := net.InterfaceByIndex(index); err == nil {
		return each.Name
	}
	return strconv.Itoa(index)
}
