package udp

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestErrorsReachTheSocket: what ICMP says of a datagram comes to the socket that sent it:
// only a socket that asks for that is told of a queue that is full. clearErrors takes it
// away again.
func TestErrorsReachTheSocket(t *testing.T) {
	for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
		addr := netip.MustParseAddrPort(local)
		closed, err := Listen(ConnConfig{Addr: addr})
		if err != nil && addr.Addr().Is6() {
			t.Logf("not over IPv6, which is not here: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		dst := closed.LocalAddr()
		closed.Close()
		c := listen(t, ConnConfig{Addr: addr})
		if err := c.WriteTo([]byte("x"), dst, 0); err != nil {
			t.Fatal(err)
		}
		if !hasErrors(t, c, 10_000) {
			t.Errorf("%v: no word came of a port that nobody listens to", local)
		}
		if c.clearErrors(); hasErrors(t, c, 0) {
			t.Errorf("%v: the error is still there", local)
		}
	}
}

// hasErrors waits for an error of an earlier datagram, and reports whether one came.
func hasErrors(t *testing.T, c *Conn, limitMs int) (has bool) {
	t.Helper()
	if err := control(c.raw, func(fd int) error {
		wait := []unix.PollFd{{Fd: int32(fd)}} // POLLERR needs no asking
		for {
			n, err := unix.Poll(wait, limitMs)
			if err == unix.EINTR {
				continue
			}
			has = n > 0 && wait[0].Revents&unix.POLLERR != 0
			return err
		}
	}); err != nil {
		t.Fatal(err)
	}
	return has
}

// TestFullQueueIsTold: a datagram that the interface's queue has no room for is an error,
// by which a sender knows that it must wait.
func TestFullQueueIsTold(t *testing.T) {
	if !inNamespace(t, false) {
		return
	}
	veth := named(t, "veth0")
	for _, group := range []netip.Addr{randomGroup(), randomGroup6(scopeLink)} {
		addr := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
		if group.Is6() {
			addr = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
		c := listen(t, ConnConfig{Addr: addr})
		send := func() error {
			var space [controlSize]byte
			_, _, err := c.udp.WriteMsgUDPAddrPort([]byte("x"), appendPacketInfo(space[:0], veth.Index, c.source(group, veth.Index)), netip.AddrPortFrom(group, 9))
			return err
		}
		queue := &netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: veth.Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
			Rate:       1 << 20, Buffer: netlink.Xmittime(1<<20, 2000), Limit: 1, // byte that may wait
		}
		if err := send(); err != nil {
			t.Fatalf("%v: %v", group, err)
		}
		if err := netlink.QdiscReplace(queue); err != nil {
			t.Skipf("this kernel has no token bucket: %v", err)
		}
		if err := send(); !errors.Is(err, syscall.ENOBUFS) {
			t.Errorf("%v: error %v by a queue without room, want ENOBUFS", group, err)
		}
		if err := netlink.QdiscDel(queue); err != nil {
			t.Fatal(err)
		}
	}
}
