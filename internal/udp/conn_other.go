//go:build !linux

package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
)

type connSystem struct {
	packets *ipv4.PacketConn
	// viaMutex guards the socket's choice of the interface for multicast, which not
	// every system takes from a control message.
	viaMutex *sync.Mutex
}

// Drops is 0: the count is not to be had here.
func (c *Conn) Drops() uint64 { return 0 }

// Listen binds a control socket. It returns a *PortInUseError if the port is
// another socket's.
func Listen(config ConnConfig) (*Conn, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Addr.Addr().Is6() {
		return nil, fmt.Errorf("listen on %v: IPv6: %w", config.Addr, errors.ErrUnsupported)
	}
	var listen net.ListenConfig
	packets, err := listen.ListenPacket(context.Background(), "udp4", config.Addr.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &PortInUseError{Addr: config.Addr}
	}
	if err != nil {
		return nil, err // it names the address
	}
	c := &Conn{udp: packets.(*net.UDPConn), ttl: config.TTL, group: config.Group, connSystem: connSystem{packets: ipv4.NewPacketConn(packets), viaMutex: new(sync.Mutex)}}
	if err := c.begin(config); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) begin(config ConnConfig) error {
	if err := errors.Join(
		c.packets.SetMulticastTTL(config.TTL),
		c.packets.SetMulticastLoopback(true), // receivers may run on this host
		c.packets.SetControlMessage(ipv4.FlagInterface, true),
		c.udp.SetReadBuffer(controlBufferBytes),
	); err != nil {
		return fmt.Errorf("listen on %v: %w", config.Addr, err)
	}
	if !config.Group.IsValid() {
		return nil
	}
	warnings, err := joinEach(config.Interfaces, func(i Interface) error {
		return join(c.packets, config.Group, i)
	})
	c.warnings = append(c.warnings, warnings...)
	return err
}

// readFrom does not know the address that a datagram was sent to.
func (c *Conn) readFrom(b []byte) (n int, src netip.AddrPort, ifIndex int, at netip.Addr, err error) {
	for r := (retry{conn: c}); ; {
		n, info, addr, err := c.packets.ReadFrom(b)
		if err != nil && r.again(err) {
			continue
		}
		if err != nil {
			return 0, netip.AddrPort{}, 0, at, err
		}
		if info != nil {
			ifIndex = info.IfIndex
		}
		return n, unmap(addr.(*net.UDPAddr).AddrPort()), ifIndex, at, nil
	}
}

// WriteTo sends b as one datagram to dst, which may be a unicast, multicast or
// broadcast address, by the interface with that index. If it is 0, the routing
// table chooses. Unlike on Linux, it always chooses for unicast and broadcast.
func (c *Conn) WriteTo(b []byte, dst netip.AddrPort, ifIndex int) error {
	if err := c.validateDestination(dst); err != nil {
		return err
	}
	for r := (retry{conn: c}); ; {
		err := c.writeOnce(b, dst, ifIndex)
		if err == nil {
			return nil
		}
		if !r.again(err) {
			return sendError(err, dst, ifIndex)
		}
	}
}

func (c *Conn) writeOnce(b []byte, dst netip.AddrPort, ifIndex int) error {
	if dst.Addr().IsMulticast() && ifIndex != 0 {
		c.viaMutex.Lock()
		defer c.viaMutex.Unlock()
		if err := c.packets.SetMulticastInterface(&net.Interface{Index: ifIndex}); err != nil {
			return err
		}
	}
	_, err := c.udp.WriteToUDPAddrPort(b, dst)
	return err
}

// writeFrom leaves the source to the system.
func (c *Conn) writeFrom(b []byte, dst netip.AddrPort, ifIndex int, _ netip.Addr) error {
	return c.WriteTo(b, dst, ifIndex)
}

// clearErrors does nothing: a reported error is gone here.
func (c *Conn) clearErrors() {}

func join(packets *ipv4.PacketConn, group netip.Addr, i Interface) error {
	err := packets.JoinGroup(&net.Interface{Index: i.Index}, &net.UDPAddr{IP: group.AsSlice()})
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) { // joined already
		return fmt.Errorf("join %v on %s: %w", group, i.Name, err)
	}
	return nil
}

// Rejoin joins the group that the Conn listens to on i, anew if it is joined there.
func (c *Conn) Rejoin(i Interface) error {
	if !c.group.IsValid() {
		return nil
	}
	// An error says that it was not joined.
	_ = c.packets.LeaveGroup(&net.Interface{Index: i.Index}, &net.UDPAddr{IP: c.group.AsSlice()})
	return join(c.packets, c.group, i)
}

// QueuedBytes is 0: what the interfaces have not taken yet is not known.
func (c *Conn) QueuedBytes() int { return 0 }
