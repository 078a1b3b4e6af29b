package udp

import (
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inspect fills in what package net does not tell of the links, and takes away the addresses of
// IPv6 from which nothing can be sent.
func inspect(links []link) {
	ports := bridgePorts()
	var unusable []unusableAddress
	if table, err := os.Open("/proc/thread-self/net/if_inet6"); err == nil {
		unusable = unusableAddresses(table)
		table.Close()
	}
	for n := range links {
		l := &links[n]
		l.port = slices.Contains(ports, l.Index)
		if off, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + l.Name + "/disable_ipv6"); err == nil {
			l.noIPv6 = strings.TrimSpace(string(off)) == "1"
		}
		l.withoutUnusable(unusable)
	}
}

// withoutUnusable takes away the addresses from which nothing can be sent.
func (l *link) withoutUnusable(unusable []unusableAddress) {
	for _, each := range unusable {
		if each.index != l.Index {
			continue
		}
		l.tentative, l.taken = l.tentative || !each.taken, l.taken || each.taken
		l.Addrs = slices.DeleteFunc(l.Addrs, func(own netip.Prefix) bool { return own.Addr() == each.addr })
	}
}

// unusableAddress is one of IPv6 that is being checked for duplicates, or is taken: was found to
// be one (RFC 4862 §5.4).
type unusableAddress struct {
	index int
	addr  netip.Addr
	taken bool
}

// unusableAddresses are those in a table like /proc/net/if_inet6. What may be used although it is
// checked (RFC 4429) is not among them.
func unusableAddresses(table io.Reader) (found []unusableAddress) {
	for _, a := range readAddresses6(table) {
		if a.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && a.flags&unix.IFA_F_OPTIMISTIC == 0 {
			found = append(found, unusableAddress{a.index, a.addr, a.flags&unix.IFA_F_DADFAILED != 0})
		}
	}
	return found
}

// bridgePorts are the indices of interfaces that are part of a bridge or a bond. Without netlink
// there are none.
func bridgePorts() (indices []int) {
	table, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(attributes, func(a syscall.NetlinkRouteAttr) bool { return a.Attr.Type == unix.IFLA_MASTER }) {
			indices = append(indices, int(int32(binary.NativeEndian.Uint32(m.Data[4:])))) // ifi_index
		}
	}
	return indices
}
