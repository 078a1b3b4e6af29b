package lab

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridgeName is the bridge inside a host.
const bridgeName = "br0"

// MakeBridge makes a host what a machine that hosts virtual ones is: eth0 becomes a port of
// a bridge br0, which takes its address and is the host's Interface from then on. AddTap
// adds further ports. Call it before anything uses eth0.
func (h *Host) MakeBridge() error {
	links := h.namespace.links
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = bridgeName, h.lab.config.MTU
	bridge := &netlink.Bridge{LinkAttrs: attributes}
	if err := links.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge to host %d: %w", h.Number, err)
	}
	eth0 := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: h.Name, Index: h.Index}}
	address := &netlink.Addr{
		IPNet:     &net.IPNet{IP: h.Address.Addr().AsSlice(), Mask: net.CIDRMask(h.Address.Bits(), 32)},
		Broadcast: broadcast(h.Address),
	}
	for _, step := range []func() error{
		func() error { return links.AddrDel(eth0, address) },
		func() error { return links.LinkSetMasterByIndex(eth0, bridge.Index) },
		func() error { return links.AddrAdd(bridge, address) },
		func() error { return links.LinkSetUp(bridge) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("make eth0 of host %d a port of %s: %w", h.Number, bridgeName, err)
		}
	}
	h.Name, h.Index = bridgeName, bridge.Index
	return h.awaitCarrier()
}

// AddTap adds a tap device to the bridge of a host, for a virtual machine's network card.
// What is written to the file, behind a struct virtio_net_hdr of 10 bytes, arrives at the
// bridge. The device goes when the file, and each copy that a program was given, is closed.
// The error is ErrUnavailable if there is no /dev/net/tun.
func (h *Host) AddTap() (*os.File, error) {
	fd := -1
	err := h.Do(func() (err error) { // the device will be in the namespace in which this is opened
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		unavailable := isRefusal(err) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
		err = fmt.Errorf("open /dev/net/tun: %w", err)
		if unavailable {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, err
	}
	if err := h.attachTap(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("add tap to host %d: %w", h.Number, err), unix.Close(fd))
	}
	// Not before: what has no device yet cannot be polled.
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// attachTap makes the device of an open /dev/net/tun, and a port of the bridge of it.
func (h *Host) attachTap(fd int) error {
	request, err := unix.NewIfreq("tap%d") // the kernel counts
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	links := h.namespace.links
	tap, err := links.LinkByName(request.Name())
	if err != nil {
		return fmt.Errorf("find it: %w", err)
	}
	for _, step := range []func() error{
		func() error { return links.LinkSetMTU(tap, h.lab.config.MTU) },
		func() error { return links.LinkSetMasterByIndex(tap, h.Index) },
		func() error { return links.LinkSetUp(tap) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("attach %s to %s: %w", request.Name(), h.Name, err)
		}
	}
	return nil
}
