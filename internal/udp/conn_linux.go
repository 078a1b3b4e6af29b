package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSendBufferBytes is what Linux gives a socket if nobody tuned it: 1.7 ms at
// 1 Gbit/s. A host with larger defaults is brought back to it, so that the wait is
// in Send and not in the interface's queue, or beyond its end.
const maxSendBufferBytes = 212992

type connSystem struct {
	raw         syscall.RawConn
	readControl []byte // of ReadFrom, which one goroutine calls
	drops       drops

	mu      sync.Mutex
	sources map[sourceKey]netip.Addr // once found
}

// Drops is how often the kernel dropped what arrived for lack of room in the receive buffer.
func (c *Conn) Drops() uint64 { return c.drops.read(c.raw) }

// sourceKey is what the address to send from depends on.
type sourceKey struct {
	ifIndex int
	onLink  bool
}

// Listen binds a control socket. Over IPv6 it waits, 3 s at most, until the addresses
// of the interfaces are known to be nobody else's. It returns a *PortInUseError if the port is
// another socket's.
func Listen(config ConnConfig) (*Conn, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	listen := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return setConnOptions(fd, config.Addr.Addr().Is6(), config.TTL) })
	}}
	packets, err := listen.ListenPacket(context.Background(), network(config.Addr.Addr()), config.Addr.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		inUse := &PortInUseError{Addr: config.Addr}
		inUse.PID, inUse.Command = portOwner(config.Addr)
		return nil, inUse
	}
	if err != nil {
		return nil, err // it names the address
	}
	c := &Conn{udp: packets.(*net.UDPConn), ttl: config.TTL, group: config.Group}
	if err := c.begin(config); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) begin(config ConnConfig) error {
	var err error
	if c.raw, err = c.udp.SyscallConn(); err != nil {
		return err
	}
	c.readControl = make([]byte, controlSize)
	if err := control(c.raw, func(fd int) error {
		asked := receiveBufferBytes(controlBufferBytes)
		got, err := setReceiveBuffer(fd, asked)
		if err == nil && got < asked {
			c.warnings = append(c.warnings, smallBuffer(got, asked))
		}
		return err
	}); err != nil {
		return err
	}
	if config.Addr.Addr().Is6() {
		awaitAddresses(config.Interfaces)
	}
	if !config.Group.IsValid() {
		return nil
	}
	warnings, err := joinEach(config.Interfaces, func(i Interface) error {
		return membership(c.raw, unix.IP_ADD_MEMBERSHIP, config.Group, i)
	})
	c.warnings = append(c.warnings, warnings...)
	return err
}

// network is what package net calls sockets for addresses like addr.
func network(addr netip.Addr) string {
	if addr.Is6() {
		return "udp6"
	}
	return "udp4"
}

func setConnOptions(fd int, v6 bool, ttl int) error {
	if size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil && size > maxSendBufferBytes {
		// The kernel doubles what it is told.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, maxSendBufferBytes/2); err != nil {
			return os.NewSyscallError("setsockopt SO_SNDBUF", err)
		}
	}
	if v6 {
		if err := setOptions(fd, []option{
			{"IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 1},
			{"IPV6_MULTICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ttl},
			{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{"IPV6_RECVERR", unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1}, // as IP_RECVERR
		}); err != nil {
			return err
		}
		return onlyOwnGroups(fd)
	}
	return setOptions(fd, []option{
		{"SO_BROADCAST", unix.SOL_SOCKET, unix.SO_BROADCAST, 1},
		{"IP_MULTICAST_LOOP", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1}, // receivers may run on this host
		{"IP_MULTICAST_TTL", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl},
		{"IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0}, // not what others on this host joined
		{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
		// Without it a datagram that the interface's queue has no room for is dropped in
		// silence; with it, that is ENOBUFS. Through a queue of 100 KB at 1 Gbit/s 98% are
		// lost without, none with. The price are the errors that clearErrors takes away.
		{"IP_RECVERR", unix.IPPROTO_IP, unix.IP_RECVERR, 1},
	})
}

// clearErrors empties the socket's error queue of what came back for datagrams
// sent earlier: it takes of the receive buffer, and fails calls that it is not about.
func (c *Conn) clearErrors() {
	_ = control(c.raw, func(fd int) error { // fails if it is closed: the next call tells
		for {
			if _, _, _, _, err := unix.Recvmsg(fd, nil, nil, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil && err != unix.EINTR {
				return nil
			}
		}
	})
}

func (c *Conn) readFrom(b []byte) (n int, src netip.AddrPort, ifIndex int, at netip.Addr, err error) {
	for r := (retry{conn: c}); ; {
		n, controlSize, _, src, err := c.udp.ReadMsgUDPAddrPort(b, c.readControl)
		if err != nil && r.again(err) {
			continue
		}
		if err != nil {
			return 0, netip.AddrPort{}, 0, at, err
		}
		_, ifIndex := parseControl(c.readControl[:controlSize])
		return n, unmap(src), ifIndex, parseDestination(c.readControl[:controlSize]), nil
	}
}

// WriteTo sends b as one datagram to dst, which may be a unicast, multicast or
// broadcast address, by the interface with that index. If it is 0, the routing
// table chooses.
func (c *Conn) WriteTo(b []byte, dst netip.AddrPort, ifIndex int) error {
	if err := c.validateDestination(dst); err != nil {
		return err
	}
	return c.writeFrom(b, dst, ifIndex, c.source(dst.Addr(), ifIndex))
}

// writeFrom is WriteTo from a source address.
func (c *Conn) writeFrom(b []byte, dst netip.AddrPort, ifIndex int, source netip.Addr) error {
	var space [controlSize]byte
	err := c.write(b, appendPacketInfo(space[:0], ifIndex, source), dst, ifIndex)
	if !NetworkLost(err) {
		return err
	}
	if fresh, changed := c.sourceAgain(dst.Addr(), ifIndex, source); changed {
		return c.write(b, appendPacketInfo(space[:0], ifIndex, fresh), dst, ifIndex)
	}
	return lostAddress(err, source, ifIndex)
}

// source is the address to send from to dst by an interface: always the same one, so
// that whoever was answered knows the stream by it, as long as the host has it. It is what the
// Conn is bound to or else Interface.source's; unspecified leaves the choice to the kernel.
func (c *Conn) source(dst netip.Addr, ifIndex int) netip.Addr {
	bound := c.LocalAddr().Addr()
	if !bound.IsUnspecified() || ifIndex == 0 {
		return bound
	}
	key := sourceKey{ifIndex, c.onLink(dst)}
	c.mu.Lock()
	defer c.mu.Unlock()
	source, known := c.sources[key]
	if !known {
		source = c.lookUp(key, dst)
	}
	if !source.IsValid() {
		return bound
	}
	return source
}

// lookUp asks the system for the address to send from, and keeps it, if there is one.
func (c *Conn) lookUp(key sourceKey, dst netip.Addr) (source netip.Addr) {
	ifi, err := net.InterfaceByIndex(key.ifIndex)
	if err != nil {
		return source
	}
	i, err := describe(*ifi)
	if err != nil {
		return source
	}
	source = i.source(dst, key.onLink)
	if !source.IsValid() && (dst.Is4() || key.onLink) {
		return source // it has none yet
	}
	if c.sources == nil {
		c.sources = map[sourceKey]netip.Addr{}
	}
	c.sources[key] = source
	return source
}

// sourceAgain looks the address to send from up anew after a send from old failed, and tells
// whether it is another one. While the interface has none it is not: the kernel's choice would
// be another interface's address, or 0.0.0.0.
func (c *Conn) sourceAgain(dst netip.Addr, ifIndex int, old netip.Addr) (source netip.Addr, changed bool) {
	if !c.LocalAddr().Addr().IsUnspecified() || ifIndex == 0 {
		return old, false
	}
	key := sourceKey{ifIndex, c.onLink(dst)}
	c.mu.Lock()
	defer c.mu.Unlock()
	source = c.lookUp(key, dst)
	return source, source.IsValid() && source != old
}

// lostAddress says of a failed send that the host no longer has the address that it sends from,
// if that is so.
func lostAddress(err error, source netip.Addr, ifIndex int) error {
	if source.IsUnspecified() || ownsAddress(source) {
		return err
	}
	return fmt.Errorf("%s has lost its address %s: %w", interfaceName(ifIndex), source, err)
}

// ownsAddress reports whether the host has an address, or that is not known.
func ownsAddress(addr netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(all, func(own net.Addr) bool {
		prefix, err := netip.ParsePrefix(own.String())
		return err == nil && prefix.Addr() == addr.WithZone("")
	})
}

// Rejoin joins the group that the Conn listens to on i, anew if it is joined there: switches
// hear of it, and an interface that was taken away and put back has forgotten it.
func (c *Conn) Rejoin(i Interface) error {
	if !c.group.IsValid() {
		return nil
	}
	if err := membership(c.raw, unix.IP_DROP_MEMBERSHIP, c.group, i); err != nil {
		return err
	}
	return membership(c.raw, unix.IP_ADD_MEMBERSHIP, c.group, i)
}

// write sends b as the control messages say, and waits while the queue is full.
func (c *Conn) write(b, control []byte, dst netip.AddrPort, ifIndex int) error {
	for r := (retry{conn: c}); ; {
		_, _, err := c.udp.WriteMsgUDPAddrPort(b, control, dst)
		if err == nil {
			return nil
		}
		if !r.again(err) {
			return sendError(err, dst, ifIndex)
		}
	}
}

// option is a socket option that every supported kernel has.
type option struct {
	name               string
	level, kind, value int
}

func setOptions(fd int, options []option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.kind, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	return nil
}

// setReceiveBuffer asks for size bytes beyond rmem_max, which takes CAP_NET_ADMIN,
// or within, and returns what is there.
func setReceiveBuffer(fd, size int) (got int, err error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return 0, os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF) // socket(7)
	return doubled / 2, os.NewSyscallError("getsockopt SO_RCVBUF", err)
}

// onlyOwnGroups keeps a socket of IPv6 from hearing what others on this host joined,
// where the kernel can (Linux 4.20).
func onlyOwnGroups(fd int) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
	if err == unix.ENOPROTOOPT {
		return nil
	}
	return os.NewSyscallError("setsockopt IPV6_MULTICAST_ALL", err)
}

func smallBuffer(got, asked int) error {
	return fmt.Errorf("the receive buffer is %d bytes, not %d: run as root or raise net.core.rmem_max", got, asked)
}

// membership joins (IP_ADD_MEMBERSHIP, of IPv6 too) or leaves group on i. Joining again and
// leaving what was not joined are no errors.
func membership(raw syscall.RawConn, kind int, group netip.Addr, i Interface) error {
	verb, harmless := "join", unix.EADDRINUSE
	if kind == unix.IP_DROP_MEMBERSHIP {
		verb, harmless = "leave", unix.EADDRNOTAVAIL
	}
	err := control(raw, func(fd int) error {
		if group.Is6() {
			kind6 := unix.IPV6_JOIN_GROUP
			if kind == unix.IP_DROP_MEMBERSHIP {
				kind6 = unix.IPV6_LEAVE_GROUP
			}
			request := unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(i.Index)}
			return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, kind6, &request)
		}
		request := unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(i.Index)}
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, kind, &request)
	})
	if err != nil && err != harmless {
		return fmt.Errorf("%s %v on %s: %w", verb, group, i.Name, err)
	}
	return nil
}

// control runs f on the file descriptor.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// QueuedBytes is about what of sent packets the interfaces have not taken yet, in memory of
// the kernel; 0 if all of it is taken, or if that is not known.
func (c *Conn) QueuedBytes() (n int) {
	err := control(c.raw, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	if err != nil {
		return 0
	}
	return n
}
