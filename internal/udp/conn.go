package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

const (
	defaultTTL = 1

	// controlBufferBytes lets a request of each of 10,000 clients wait at once: the
	// kernel books 768 bytes for a short datagram.
	controlBufferBytes = 8 << 20

	// queueFullPause is the wait after ENOBUFS, with what sleep is late by about
	// 100 µs: 12 KB at 1 Gbit/s, well under any interface's queue. Trying costs 10 µs.
	queueFullPause = 50 * time.Microsecond
	// queueFullLimit ends a send that some filter drops, which looks like that too.
	queueFullLimit = 5 * time.Second

	// errorPause is between looks at a socket that the poller gave up.
	errorPause = time.Millisecond

	// maxFailures of a send are tried again: only then the error is its own and not
	// one that came back for an earlier datagram.
	maxFailures = 8
)

// ConnConfig says what a control socket listens to.
type ConnConfig struct {
	// Addr is bound. If its address is not valid, all are, of IPv6 if Group is that;
	// port 0 is any free one.
	// Bound to one address, a Conn hears neither Group nor broadcasts.
	Addr netip.AddrPort
	// Group is joined on Interfaces, so that what is sent to it and to Addr's port is
	// heard. If not valid, none is.
	Group      netip.Addr
	Interfaces []Interface
	// TTL of multicast, in IPv6 its hop limit: how many routers it may pass, plus
	// one. If 0, 1.
	TTL int
}

// Conn is a control socket: it hears what is sent to its port by unicast,
// broadcast or to its group, and sends by whichever interface. Its port is its
// own. One goroutine may read while any number write.
type Conn struct {
	udp      *net.UDPConn
	ttl      int        // of multicast
	group    netip.Addr // that it listens to, if valid
	warnings []error
	connSystem
}

// PortInUseError is returned by Listen if another socket has the port.
type PortInUseError struct {
	Addr netip.AddrPort
	// PID and Command are the other program, where the system tells; 0 and "" else.
	PID     int
	Command string
}

func (e *PortInUseError) Error() string {
	by := "another program"
	if e.PID != 0 {
		by = fmt.Sprintf("%s (process %d)", e.Command, e.PID)
	}
	return fmt.Sprintf("UDP port %d of %v is in use by %s", e.Addr.Port(), e.Addr.Addr(), by)
}

// Unwrap makes errors.Is(err, syscall.EADDRINUSE) hold.
func (e *PortInUseError) Unwrap() error { return syscall.EADDRINUSE }

// Warnings returns what Listen could not have and did without.
func (c *Conn) Warnings() []error { return c.warnings }

// LocalAddr is what the Conn is bound to, its port never 0.
func (c *Conn) LocalAddr() netip.AddrPort { return localAddr(c.udp) }

// SetReadDeadline ends ReadFrom at t with os.ErrDeadlineExceeded; a zero t never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.udp.SetReadDeadline(t) }

// SetWriteDeadline ends WriteTo and every Send at t with os.ErrDeadlineExceeded; a
// zero t never.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.udp.SetWriteDeadline(t) }

// Close ends every ReadFrom, WriteTo and Send with net.ErrClosed.
func (c *Conn) Close() error { return c.udp.Close() }

// validate checks config and fills in its defaults.
func (config *ConnConfig) validate() error {
	if !config.Addr.Addr().IsValid() {
		all := netip.IPv4Unspecified()
		if config.Group.Is6() {
			all = netip.IPv6Unspecified()
		}
		config.Addr = netip.AddrPortFrom(all, config.Addr.Port())
	}
	if config.Group.IsValid() && config.Group.Is6() != config.Addr.Addr().Is6() {
		return fmt.Errorf("listen on %v and to %v: one is IPv4, the other IPv6", config.Addr, config.Group)
	}
	if config.Addr.Addr().IsMulticast() {
		return fmt.Errorf("listen on %v: a group is for ConnConfig.Group", config.Addr)
	}
	if config.TTL == 0 {
		config.TTL = defaultTTL
	}
	if config.TTL < 0 || config.TTL > 255 {
		return fmt.Errorf("listen on %v: TTL %d is not in 1 to 255", config.Addr, config.TTL)
	}
	if config.Group.IsValid() {
		return validateGroup(config.Group, config.Interfaces)
	}
	return nil
}

func validateGroup(group netip.Addr, interfaces []Interface) error {
	if !group.IsMulticast() || group.Zone() != "" || group.Is4In6() {
		return fmt.Errorf("%v is not a multicast group", group)
	}
	if len(interfaces) == 0 {
		return fmt.Errorf("join %v: no network interface to join it on", group)
	}
	return nil
}

// validateDestination refuses what c's socket cannot send to.
func (c *Conn) validateDestination(dst netip.AddrPort) error {
	if !dst.IsValid() || dst.Port() == 0 || dst.Addr().Is4In6() {
		return fmt.Errorf("send to %v: not an address and port", dst)
	}
	if own := c.LocalAddr().Addr(); own.Is6() != dst.Addr().Is6() {
		return fmt.Errorf("send to %v from %v: one is IPv4, the other IPv6", dst, own)
	}
	return nil
}

// onLink reports whether what is sent to addr passes no router.
func (c *Conn) onLink(addr netip.Addr) bool {
	if addr.IsMulticast() {
		return c.ttl <= 1 || !passesRouters(addr)
	}
	return addr.IsLinkLocalUnicast()
}

// passesRouters reports whether a group's scope is wider than a link. What is not has a
// meaning on one interface only (RFC 4291 §2.7).
func passesRouters(group netip.Addr) bool {
	return !group.IsLinkLocalMulticast() && !(group.Is6() && group.As16()[1]&0xf <= scopeLink)
}

// scopeLink is a group's scope, in its second byte, that ends at the link; those
// below it end earlier.
const scopeLink = 2

// joinEach joins a group on each interface. It fails if none could be joined and
// else returns a warning for each that could not: a host may have more interfaces
// than a socket may join (Linux: igmp_max_memberships, 20 by default).
func joinEach(interfaces []Interface, join func(Interface) error) (warnings []error, err error) {
	for _, i := range interfaces {
		if err := join(i); err != nil {
			warnings = append(warnings, err)
		}
	}
	if len(warnings) == len(interfaces) {
		return nil, errors.Join(warnings...)
	}
	return warnings, nil
}

func localAddr(conn *net.UDPConn) netip.AddrPort {
	return unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())
}

// unmap returns a as IPv4 if it is that in IPv6's clothes.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// retry decides whether a failed call on a Conn's socket is made again. One is for
// one datagram or batch.
type retry struct {
	conn      *Conn
	failures  int
	fullSince time.Time
}

// again reports whether to try again after err, and pauses if the interface's queue
// must drain first. A system call of ours may be given an error that came back for
// an earlier datagram, and has then done nothing; ECONNREFUSED always is one.
func (r *retry) again(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		// The poller was told of an error and of nothing else, and says so until the
		// next datagram comes.
		r.conn.clearErrors()
		Sleep(errorPause)
		return true
	}
	switch errno {
	case syscall.ENOBUFS:
		if r.fullSince.IsZero() {
			r.fullSince = time.Now()
		}
		if time.Since(r.fullSince) > queueFullLimit {
			return false
		}
		Sleep(queueFullPause)
		return true
	case syscall.ECONNREFUSED:
	default:
		r.failures++
	}
	r.conn.clearErrors()
	return r.failures < maxFailures
}

// NetworkLost reports whether a send failed as it does if the host no longer has the address that
// it sends from (Linux: EINVAL), the interface, its link or a route.
func NetworkLost(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EINVAL, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.ENODEV, syscall.ENXIO,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func sendError(err error, dst netip.AddrPort, ifIndex int) error {
	if ifIndex == 0 {
		return fmt.Errorf("send to %v: %w", dst, err)
	}
	return fmt.Errorf("send to %v by %s: %w", dst, interfaceName(ifIndex), err)
}
