package udp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// randomGroup returns a group of the organisation's own scope, so that tests that
// run at once do not meet.
func randomGroup() netip.Addr {
	return netip.AddrFrom4([4]byte{239, byte(rand.N(256)), byte(rand.N(256)), byte(1 + rand.N(254))})
}

func listen(t testing.TB, config ConnConfig) *Conn {
	t.Helper()
	c, err := Listen(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// onLoopback is where c is reached by unicast.
func onLoopback(c *Conn) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.LocalAddr().Port())
}

func TestConnWriteTo(t *testing.T) {
	lo, group := loopback(t), randomGroup()
	hearer := listen(t, ConnConfig{Group: group, Interfaces: []Interface{lo}})
	speaker := listen(t, ConnConfig{})
	tests := []struct {
		name    string
		dst     netip.Addr
		ifIndex int
	}{
		{"unicast by the routing table", netip.MustParseAddr("127.0.0.1"), 0},
		{"unicast", netip.MustParseAddr("127.0.0.1"), lo.Index},
		{"multicast", group, lo.Index},
		{"directed broadcast", lo.Broadcasts()[0], lo.Index},
		{"broadcast", netip.MustParseAddr("255.255.255.255"), lo.Index},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.dst.As4()[0] == 255 && runtime.GOOS != "linux" {
				t.Skip("only Linux lets a socket choose the interface of a broadcast")
			}
			dst := netip.AddrPortFrom(test.dst, hearer.LocalAddr().Port())
			if err := speaker.WriteTo([]byte(test.name), dst, test.ifIndex); err != nil {
				t.Fatal(err)
			}
			var b [100]byte
			n, src, ifIndex, err := hearer.ReadFrom(b[:])
			if err != nil {
				t.Fatal(err)
			}
			if string(b[:n]) != test.name || src.Port() != speaker.LocalAddr().Port() || ifIndex != lo.Index {
				t.Errorf("heard %q from %v by interface %d", b[:n], src, ifIndex)
			}
		})
	}
}

func TestConnDoesNotHearOthersGroups(t *testing.T) {
	lo, ours, others := loopback(t), randomGroup(), randomGroup()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has IP_MULTICAST_ALL")
	}
	hearer := listen(t, ConnConfig{Group: ours, Interfaces: []Interface{lo}})
	listen(t, ConnConfig{Group: others, Interfaces: []Interface{lo}}) // the host joins it
	speaker := listen(t, ConnConfig{})
	for _, group := range []netip.Addr{others, ours} {
		if err := speaker.WriteTo([]byte(group.String()), netip.AddrPortFrom(group, hearer.LocalAddr().Port()), lo.Index); err != nil {
			t.Fatal(err)
		}
	}
	var b [100]byte
	n, _, _, err := hearer.ReadFrom(b[:])
	if err != nil || string(b[:n]) != ours.String() {
		t.Errorf("heard %q, error %v, want what was sent to %v", b[:n], err, ours)
	}
}

func TestListenPortInUse(t *testing.T) {
	first := listen(t, ConnConfig{})
	for _, addr := range []netip.AddrPort{first.LocalAddr(), onLoopback(first), netip.AddrPortFrom(netip.Addr{}, first.LocalAddr().Port())} {
		_, err := Listen(ConnConfig{Addr: addr})
		var inUse *PortInUseError
		if !errors.As(err, &inUse) || !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("listening on %v again: %v", addr, err)
		}
		if !strings.Contains(err.Error(), fmt.Sprint("port ", addr.Port())) {
			t.Errorf("%q does not name the port", err)
		}
		if runtime.GOOS == "linux" && (inUse.PID != os.Getpid() || !strings.Contains(err.Error(), inUse.Command)) {
			t.Errorf("%q, want process %d", err, os.Getpid())
		}
	}
}

func TestListenConfigErrors(t *testing.T) {
	lo, group := loopback(t), randomGroup()
	tests := []struct {
		name   string
		config ConnConfig
		want   string
	}{
		{"two families", ConnConfig{Addr: netip.MustParseAddrPort("[::1]:0"), Group: group, Interfaces: []Interface{lo}}, "one is IPv4, the other IPv6"},
		{"a group with a zone", ConnConfig{Group: netip.MustParseAddr("ff12::1%lo"), Interfaces: []Interface{lo}}, "not a multicast group"},
		{"a group as address", ConnConfig{Addr: netip.AddrPortFrom(group, 0)}, "ConnConfig.Group"},
		{"TTL", ConnConfig{TTL: 256}, "TTL 256"},
		{"no group", ConnConfig{Group: netip.MustParseAddr("10.0.0.1"), Interfaces: []Interface{lo}}, "multicast group"},
		{"no interface", ConnConfig{Group: group}, "no network interface"},
		{"unknown interface", ConnConfig{Group: group, Interfaces: []Interface{{Index: 1 << 30, Name: "gone0"}}}, "gone0"},
		{"an address not ours", ConnConfig{Addr: netip.MustParseAddrPort("203.0.113.1:0")}, "203.0.113.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := Listen(test.config)
			if err == nil {
				c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestListenWarnsOfOneInterface(t *testing.T) {
	lo := loopback(t)
	gone := Interface{Index: 1 << 30, Name: "gone0"}
	c := listen(t, ConnConfig{Group: randomGroup(), Interfaces: []Interface{gone, lo}})
	if !slices.ContainsFunc(c.Warnings(), func(err error) bool { return strings.Contains(err.Error(), "gone0") }) {
		t.Errorf("warnings are %v", c.Warnings())
	}
}

func TestConnEnds(t *testing.T) {
	c := listen(t, ConnConfig{})
	past := time.Unix(1, 0)
	if err := errors.Join(c.SetReadDeadline(past), c.SetWriteDeadline(past)); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, _, _, err := c.ReadFrom(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading past the deadline: %v", err)
	}
	if err := c.WriteTo(b[:], onLoopback(c), 0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing past the deadline: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, _, _, err := c.ReadFrom(b[:])
		ended <- err
	}()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading while it closes: %v", err)
	}
	if err := c.WriteTo(b[:], onLoopback(c), 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after it closed: %v", err)
	}
}

func TestConnWriteToErrors(t *testing.T) {
	c := listen(t, ConnConfig{})
	for _, dst := range []netip.AddrPort{{}, netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("127.0.0.1:0")} {
		if err := c.WriteTo([]byte("x"), dst, 0); err == nil {
			t.Errorf("writing to %v succeeded", dst)
		}
	}
	err := c.WriteTo([]byte("x"), netip.AddrPortFrom(randomGroup(), 9), 1<<30)
	if err == nil || !strings.Contains(err.Error(), "interface 1073741824") {
		t.Errorf("writing by an interface that is not there: %v", err)
	}
}

// A port that nobody listens to answers with ICMP, which must not end anything,
// nor fill the socket's receive buffer.
func TestConnSurvivesUnreachablePort(t *testing.T) {
	closed := listen(t, ConnConfig{})
	dst := onLoopback(closed)
	closed.Close()
	s, receiver := newPair(t, MethodAuto, ReceiveAuto)
	for range 10_000 {
		if err := s.conn.WriteTo([]byte("x"), dst, 0); err != nil {
			t.Fatal(err)
		}
	}
	data := testData(5000)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, receiver, NewBatch(), s, data, 1472)
	if err := s.Fallback(); err != nil && runtime.GOOS == "linux" {
		t.Errorf("fell back for an error that was another datagram's: %v", err)
	}
	for range 100 {
		if err := s.conn.WriteTo([]byte("x"), dst, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.conn.WriteTo([]byte("to myself"), onLoopback(s.conn), 0); err != nil {
		t.Fatal(err)
	}
	var b [100]byte
	if n, _, _, err := s.conn.ReadFrom(b[:]); err != nil || string(b[:n]) != "to myself" {
		t.Errorf("read %q, error %v", b[:n], err)
	}
}

func TestRetry(t *testing.T) {
	c := listen(t, ConnConfig{})
	const many = 100
	tests := []struct {
		name string
		err  error
		want int // times that it is tried again, of many
	}{
		{"queue full", syscall.ENOBUFS, many},
		{"queue full, as package net has it", &net.OpError{Op: "write", Err: os.NewSyscallError("sendmsg", syscall.ENOBUFS)}, many},
		{"refused by ICMP", syscall.ECONNREFUSED, many},
		{"interface down", syscall.ENETDOWN, maxFailures - 1},
		{"firewall", os.NewSyscallError("sendmsg", syscall.EPERM), maxFailures - 1},
		{"closed", net.ErrClosed, 0},
		{"deadline", os.ErrDeadlineExceeded, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, got := retry{conn: c}, 0
			for got < many && r.again(test.err) {
				got++
			}
			if got != test.want {
				t.Errorf("tried again %d times, want %d", got, test.want)
			}
		})
	}
	full := retry{conn: c, fullSince: time.Now().Add(-2 * queueFullLimit)}
	if full.again(syscall.ENOBUFS) {
		t.Error("a queue that is full for ever is waited for")
	}
}
