package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// EnableIPv6 gives every interface of the hosts that there is by now addresses of
// IPv6, its LinkLocal and its Address6, and returns when they can be used.
func (l *Lab) EnableIPv6() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, n := range l.networks {
		for _, i := range n.Interfaces {
			if err := i.enableIPv6(number); err != nil {
				return fmt.Errorf("lab: IPv6 on %s of host %d: %w", i.Name, i.host.Number, err)
			}
		}
	}
	return nil
}

func (i *Interface) enableIPv6(network int) error {
	if i.LinkLocal.IsValid() {
		return nil
	}
	if err := i.host.Do(func() error {
		for _, setting := range []struct{ name, value string }{
			{"lo/disable_ipv6", "0"},      // by which a host reaches itself
			{i.Name + "/accept_dad", "0"}, // which takes two seconds
			{i.Name + "/router_solicitations", "0"},
			{i.Name + "/disable_ipv6", "0"}, // makes the link-local address
		} {
			err := os.WriteFile("/proc/sys/net/ipv6/conf/"+setting.name, []byte(setting.value), 0)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EROFS) || err != nil && isRefusal(err) {
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	links := i.host.namespace.links
	link, err := links.LinkByIndex(i.Index)
	if err != nil {
		return err
	}
	i.Address6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 7: byte(network), 15: byte(i.host.Number + 1)}), 64)
	wide := &netlink.Addr{
		IPNet: &net.IPNet{IP: i.Address6.Addr().AsSlice(), Mask: net.CIDRMask(i.Address6.Bits(), 128)},
		Flags: unix.IFA_F_NODAD,
	}
	if err := links.AddrAdd(link, wide); err != nil {
		return fmt.Errorf("add address %v: %w", i.Address6, err)
	}
	for deadline := time.Now().Add(carrierTimeout); ; time.Sleep(time.Millisecond) {
		addrs, err := links.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if addr, ok := netip.AddrFromSlice(a.IP); ok && addr.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				i.LinkLocal = addr.WithZone(i.Name)
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no link-local address within %v: %w", carrierTimeout, unix.ETIMEDOUT)
		}
	}
}
