package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func setOption(t *testing.T, raw syscall.RawConn, o option) {
	t.Helper()
	if err := control(raw, func(fd int) error { return setOptions(fd, []option{o}) }); err != nil {
		t.Fatal(err)
	}
}

// refuseGSO makes the kernel answer GSO with EINVAL: without checksums it does not
// cut.
func refuseGSO(t *testing.T, s *Sender) {
	t.Helper()
	setOption(t, s.conn.raw, option{"SO_NO_CHECK", unix.SOL_SOCKET, unix.SO_NO_CHECK, 1})
}

func TestGSORefused(t *testing.T) {
	s, r := newPair(t, MethodAuto, ReceiveAuto)
	refuseGSO(t, s)
	data, batch := testData(50*1472+7), NewBatch()
	for range 2 {
		if err := s.Send(data, 1472); err != nil {
			t.Fatal(err)
		}
		checkSegments(t, r, batch, s, data, 1472)
	}
	if s.Method() != MethodSendmmsg || !errors.Is(s.Fallback(), syscall.EINVAL) {
		t.Errorf("method is %v because of %v", s.Method(), s.Fallback())
	}
}

func TestRefusesGSO(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {os.NewSyscallError("sendmsg", syscall.EIO), true}, {syscall.EINVAL, true}, {syscall.EMSGSIZE, true},
		{syscall.ENETUNREACH, false}, {syscall.ENETDOWN, false}, {os.ErrDeadlineExceeded, false},
	} {
		if got := refusesGSO(test.err); got != test.want {
			t.Errorf("refusesGSO(%v) = %v", test.err, got)
		}
	}
}

// sendmmsg of the test: each call does the next of these, and then the real one.
type sendmmsgStep struct {
	atMost int           // messages sent
	errno  syscall.Errno // of a call; the last error of a test that is to fail, of all
}

func TestSendmmsgTrouble(t *testing.T) {
	tests := []struct {
		name   string
		steps  []sendmmsgStep
		method Method
		err    error
	}{
		{"in parts", []sendmmsgStep{{atMost: 1}, {atMost: 20}}, MethodSendmmsg, nil},
		{"interrupted", []sendmmsgStep{{errno: unix.EINTR}, {atMost: 3}, {errno: unix.EINTR}}, MethodSendmmsg, nil},
		{"no buffers", []sendmmsgStep{{atMost: 3}, {errno: unix.ENOBUFS}, {errno: unix.ENOBUFS}}, MethodSendmmsg, nil},
		{"refused by ICMP", []sendmmsgStep{{errno: unix.ECONNREFUSED}, {atMost: 3}, {errno: unix.ECONNREFUSED}}, MethodSendmmsg, nil},
		{"no such call", []sendmmsgStep{{errno: unix.ENOSYS}}, MethodWrite, nil},
		{"no such call, later", []sendmmsgStep{{atMost: 3}, {errno: unix.EOPNOTSUPP}}, MethodWrite, nil},
		{"interface down", []sendmmsgStep{{atMost: 3}, {errno: unix.ENETDOWN}}, MethodSendmmsg, syscall.ENETDOWN},
		{"another's error", []sendmmsgStep{{atMost: 3}, {errno: unix.EHOSTUNREACH}}, MethodSendmmsg, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, r := newPair(t, MethodSendmmsg, ReceiveAuto)
			steps := test.steps
			s.sendmmsg = func(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
				if len(steps) == 0 {
					return sendmmsg(fd, messages)
				}
				step := steps[0]
				if len(steps) > 1 || test.err == nil {
					steps = steps[1:]
				}
				if step.errno != 0 {
					return 0, step.errno
				}
				return sendmmsg(fd, messages[:min(step.atMost, len(messages))])
			}
			data := testData(40*1000 + 1)
			if err := s.Send(data, 1000); !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if test.err == nil {
				checkSegments(t, r, NewBatch(), s, data, 1000)
			}
			if test.err != nil {
				steps = nil
			}
			if s.Method() != test.method || (s.Fallback() != nil) != (test.method != MethodSendmmsg) || len(steps) != 0 {
				t.Errorf("method is %v because of %v; %d steps left", s.Method(), s.Fallback(), len(steps))
			}
		})
	}
}

// The socket takes no more: sendmmsg waits for room rather than fail.
func TestSendmmsgWaitsForRoom(t *testing.T) {
	s, r := newPair(t, MethodSendmmsg, ReceiveAuto)
	full := true
	s.sendmmsg = func(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
		if full {
			full = false
			// The edge that the poller waits for: what is sent leaves the socket again.
			if _, errno := sendmmsg(fd, messages[:1]); errno != 0 {
				return 0, errno
			}
			return 0, unix.EAGAIN
		}
		return sendmmsg(fd, messages)
	}
	data := testData(2000)
	if err := s.Send(data, 1000); err != nil {
		t.Fatal(err)
	}
	if full {
		t.Error("it never was full")
	}
	checkSegments(t, r, NewBatch(), s, append(testData(1000), data...), 1000)
}

func TestFallsAllTheWay(t *testing.T) {
	s, r := newPair(t, MethodAuto, ReceiveAuto)
	refuseGSO(t, s)
	s.sendmmsg = func(uintptr, []mmsghdr) (int, syscall.Errno) { return 0, unix.ENOSYS }
	data := testData(10 * 1472)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, r, NewBatch(), s, data, 1472)
	if err := s.Fallback(); s.Method() != MethodWrite || !errors.Is(err, syscall.EINVAL) || !errors.Is(err, syscall.ENOSYS) {
		t.Errorf("method is %v because of %v", s.Method(), err)
	}
}

func TestChooseReceiveMethod(t *testing.T) {
	socket := func(kind int) int {
		fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pipe[0]); unix.Close(pipe[1]) })
	tests := []struct {
		name     string
		fd       int
		want     ReceiveMethod
		warnings int
	}{
		{"all there", socket(unix.SOCK_DGRAM), ReceiveGRO, 0},
		{"no GRO", socket(unix.SOCK_STREAM), ReceiveRecvmmsg, 1}, // has no options of UDP
		{"nothing", pipe[0], ReceiveRead, 2},                     // is no socket
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Receiver{method: ReceiveGRO}
			r.chooseMethod(test.fd)
			if r.method != test.want || len(r.warnings) != test.warnings {
				t.Errorf("method is %v, warnings are %v", r.method, r.warnings)
			}
		})
	}
}

// TestReceiveBufferNotForced: without the right to force it, the buffer is what the
// host allows, which is told.
func TestReceiveBufferNotForced(t *testing.T) {
	const asked = 512 << 20 // more than hosts allow
	text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Skip("a network namespace that does not tell its limits: ", err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || most >= asked {
		t.Skipf("net.core.rmem_max is %s, this test asks for %d", text, asked)
	}
	lo := loopback(t)
	ended := make(chan error, 1) // so that its sender never waits
	go func() {
		ended <- func() error {
			runtime.LockOSThread() // and not unlocked: the thread, which has lost a right, ends
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var rights [2]unix.CapUserData
			if err := unix.Capget(&header, &rights[0]); err != nil {
				return err
			}
			rights[0].Effective &^= 1 << unix.CAP_NET_ADMIN
			if err := unix.Capset(&header, &rights[0]); err != nil {
				return err
			}
			r, err := ListenGroup(ReceiverConfig{Group: randomGroupPort(), Interfaces: []Interface{lo}, BufferBytes: asked})
			if err != nil {
				return err
			}
			if got, _ := r.BufferBytes(); got != most || !strings.Contains(fmt.Sprint(r.Warnings()), "net.core.rmem_max") {
				t.Errorf("got %d of %d bytes, want %d; warnings: %v", got, asked, most, r.Warnings())
			}
			return r.Close()
		}()
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestDrops(t *testing.T) {
	lo, group := loopback(t), randomGroupPort()
	r := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{lo}, BufferBytes: 8 << 10, Best: ReceiveRecvmmsg})
	s, err := listen(t, ConnConfig{}).NewSender(group, lo.Index, MethodWrite)
	if err != nil {
		t.Fatal(err)
	}
	const sent = 100
	if err := s.Send(testData(sent*1472), 1472); err != nil {
		t.Fatal(err)
	}
	drops := r.Drops()
	if drops == 0 || drops >= sent {
		t.Fatalf("%d of %d dropped", drops, sent)
	}
	batch := NewBatch()
	for received := uint64(0); received < sent-drops; received += uint64(len(batch.Datagrams())) {
		if err := r.Receive(batch); err != nil {
			t.Fatal(err)
		}
	}
	if r.Drops() != drops {
		t.Errorf("%d dropped, then %d", drops, r.Drops())
	}
	r.Close()
	if r.Drops() != drops {
		t.Errorf("%d dropped, after closing %d", drops, r.Drops())
	}
}

// TestMore: a batch tells whether it left something waiting.
func TestMore(t *testing.T) {
	lo, group := loopback(t), randomGroupPort()
	r := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{lo}, Best: ReceiveRecvmmsg})
	s, err := listen(t, ConnConfig{}).NewSender(group, lo.Index, MethodWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(testData((batchMessages+1)*1472), 1472); err != nil {
		t.Fatal(err)
	}
	batch := NewBatch()
	for _, want := range []bool{true, false} {
		if err := r.Receive(batch); err != nil {
			t.Fatal(err)
		}
		if batch.More() != want {
			t.Errorf("after %d datagrams there may be more: %v", len(batch.Datagrams()), batch.More())
		}
	}
	batch.more = true
	r.SetReadDeadline(time.Unix(1, 0))
	if err := r.Receive(batch); !errors.Is(err, os.ErrDeadlineExceeded) || batch.More() {
		t.Errorf("%v; after nothing there may be more: %v", err, batch.More())
	}
}

// TestConnDrops: a control socket, by which unicast comes, counts its drops too.
func TestConnDrops(t *testing.T) {
	c := listen(t, ConnConfig{})
	if err := control(c.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10)
	}); err != nil {
		t.Fatal(err)
	}
	if got := c.Drops(); got != 0 {
		t.Errorf("%d drops before anything came", got)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.LocalAddr().Port())
	const sent = 100
	for range sent {
		if err := c.WriteTo(testData(1472), to, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Drops(); got == 0 || got >= sent {
		t.Errorf("%d of %d dropped", got, sent)
	}
}

func TestSendBufferStaysSmall(t *testing.T) {
	c := listen(t, ConnConfig{})
	if err := control(c.raw, func(fd int) error {
		// As if the host's net.core.wmem_default were that.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*maxSendBufferBytes); err != nil {
			return err
		}
		if err := setConnOptions(fd, false, defaultTTL); err != nil {
			return err
		}
		size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		if size != maxSendBufferBytes {
			t.Errorf("the send buffer is %d bytes", size)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestNoAllocations(t *testing.T) {
	data, batch := testData(44*1472), NewBatch()
	for method := MethodGSO; method <= MethodWrite; method++ {
		for receive := ReceiveGRO; receive <= ReceiveRead; receive++ {
			t.Run(fmt.Sprintf("%v to %v", method, receive), func(t *testing.T) {
				s, r := newPair(t, method, receive)
				allocations := testing.AllocsPerRun(20, func() {
					if err := s.Send(data, 1472); err != nil {
						t.Fatal(err)
					}
					receiveBytes(t, r, batch, len(data))
				})
				if allocations != 0 {
					t.Errorf("%v allocations a batch", allocations)
				}
			})
		}
	}
	c := listen(t, ConnConfig{})
	dst, ifIndex, b := onLoopback(c), loopback(t).Index, make([]byte, 1472)
	if allocations := testing.AllocsPerRun(20, func() {
		if err := c.WriteTo(b, dst, ifIndex); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations a datagram of the control socket", allocations)
	}
}

func TestReceiverWarnsOfOneInterface(t *testing.T) {
	r := listenGroup(t, ReceiverConfig{Group: randomGroupPort(), Interfaces: []Interface{{Index: 1 << 30, Name: "gone0"}, loopback(t)}})
	if !strings.Contains(fmt.Sprint(r.Warnings()), "gone0") {
		t.Errorf("warnings are %v", r.Warnings())
	}
}
