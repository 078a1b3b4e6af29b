package udp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Interface is a network interface as it was when asked for.
type Interface struct {
	Index    int
	Name     string
	MTU      int            // bytes of an IP packet
	Addrs    []netip.Prefix // at least one, each with its network's length, without zones
	Loopback bool
}

// Interfaces returns those that are up, multicast-capable and have an address, by
// index. The loopback comes last: it carries multicast although it is
// not flagged so.
func Interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	var usable []Interface
	for _, ifi := range all {
		if ifi.Flags&net.FlagUp == 0 || ifi.Flags&(net.FlagMulticast|net.FlagLoopback) == 0 {
			continue
		}
		i, err := describe(ifi)
		if err != nil {
			return nil, err
		}
		if len(i.Addrs) > 0 {
			usable = append(usable, i)
		}
	}
	slices.SortFunc(usable, byIndexLoopbackLast)
	return usable, nil
}

// InterfaceByName returns the interface called name. The error of an unknown name
// lists those that there are; an interface that is down or has no address is an
// error too.
func InterfaceByName(name string) (Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return Interface{}, fmt.Errorf("list the network interfaces: %w", err)
	}
	at := slices.IndexFunc(all, func(ifi net.Interface) bool { return ifi.Name == name })
	if at < 0 {
		names := make([]string, len(all))
		for n, ifi := range all {
			names[n] = ifi.Name
		}
		return Interface{}, fmt.Errorf("no network interface %q; there are: %s", name, strings.Join(names, ", "))
	}
	if all[at].Flags&net.FlagUp == 0 {
		return Interface{}, fmt.Errorf("network interface %s is down", name)
	}
	i, err := describe(all[at])
	if err != nil {
		return Interface{}, err
	}
	if len(i.Addrs) == 0 {
		return Interface{}, fmt.Errorf("network interface %s has no IP address", name)
	}
	return i, nil
}

// CanSendTo reports whether i has an address to send to a group or host like to from:
// an IPv4 one, or a link-local one of IPv6, which every interface with IPv6 has
// (RFC 4291 §2.1) but the loopback.
func (i Interface) CanSendTo(to netip.Addr) bool {
	return slices.ContainsFunc(i.Addrs, func(own netip.Prefix) bool {
		if to.Is4() || i.Loopback {
			return own.Addr().Is4() == to.Is4()
		}
		return own.Addr().Is6() && own.Addr().IsLinkLocalUnicast()
	})
}

// Owns reports whether addr, with or without a zone, is one of i's.
func (i Interface) Owns(addr netip.Addr) bool {
	if zone := addr.Zone(); zone != "" && zone != i.Name {
		return false
	}
	return slices.ContainsFunc(i.Addrs, func(own netip.Prefix) bool { return own.Addr() == addr.WithZone("") })
}

// Same reports whether other is i as it was: of the same index and with the same addresses.
func (i Interface) Same(other Interface) bool {
	return i.Index == other.Index && i.Name == other.Name && slices.Equal(i.Addrs, other.Addrs)
}

// source is the address to send to dst from: the first IPv4 one, or for what stays on
// the link the first link-local one, so that hosts without any other address can
// answer. It is not valid where the kernel had better choose (RFC 6724).
func (i Interface) source(dst netip.Addr, onLink bool) netip.Addr {
	for _, own := range i.Addrs {
		addr := own.Addr()
		if dst.Is4() && addr.Is4() || dst.Is6() && onLink && addr.Is6() && addr.IsLinkLocalUnicast() {
			return addr
		}
	}
	return netip.Addr{}
}

// Broadcasts returns the directed broadcast address of each of i's networks. One
// of 31 or 32 bits has none.
func (i Interface) Broadcasts() []netip.Addr {
	var broadcasts []netip.Addr
	for _, prefix := range i.Addrs {
		if !prefix.Addr().Is4() || prefix.Bits() > 30 {
			continue
		}
		last := prefix.Masked().Addr().As4()
		for bit := prefix.Bits(); bit < 32; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		if addr := netip.AddrFrom4(last); !slices.Contains(broadcasts, addr) {
			broadcasts = append(broadcasts, addr)
		}
	}
	return broadcasts
}

func describe(ifi net.Interface) (Interface, error) {
	i := Interface{Index: ifi.Index, Name: ifi.Name, MTU: ifi.MTU, Loopback: ifi.Flags&net.FlagLoopback != 0}
	addrs, err := ifi.Addrs()
	if err != nil {
		return i, fmt.Errorf("list the addresses of network interface %s: %w", ifi.Name, err)
	}
	for _, addr := range addrs {
		if prefix, err := netip.ParsePrefix(addr.String()); err == nil {
			i.Addrs = append(i.Addrs, prefix)
		}
	}
	return i, nil
}

func byIndexLoopbackLast(a, b Interface) int {
	if a.Loopback != b.Loopback {
		if a.Loopback {
			return 1
		}
		return -1
	}
	return a.Index - b.Index
}

// interfaceName is for messages: the name if the index has one.
func interfaceName(index int) string {
	if ifi, err := net.InterfaceByIndex(index); err == nil {
		return ifi.Name
	}
	return fmt.Sprintf("interface %d", index)
}
