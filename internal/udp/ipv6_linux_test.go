package udp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// insideVariable marks the environment of a test that is in a namespace of its own.
const insideVariable = "UDP_TEST_INSIDE"

// inNamespace reports whether the test is in a network namespace of its own, where the
// loopback carries multicast over IPv6 and veth0 is joined to veth1; new addresses are
// checked for duplicates if checked. If it is not, it is run once more there, as
// another process, since package net remembers the names of interfaces.
func inNamespace(t *testing.T, checked bool) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		setUp(t, checked)
		return true
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), insideVariable+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	defer runtime.UnlockOSThread()
	output, err := again.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &ended):
		t.Skip("needs root or user namespaces: ", err)
	case err != nil:
		t.Errorf("inside its namespace: %v\n%s", err, output)
	case bytes.Contains(output, []byte("--- SKIP: "+t.Name())):
		t.Skipf("inside its namespace:\n%s", output)
	case !bytes.Contains(output, []byte("--- PASS: "+t.Name())):
		t.Errorf("did not run inside its namespace:\n%s", output)
	}
	return false
}

func setUp(t *testing.T, checked bool) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(name, value string) {
		t.Helper()
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name, []byte(value), 0)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EROFS) {
			t.Skip("IPv6 is not there, or cannot be switched on: ", err)
		}
		must(err)
	}
	for _, scope := range []string{"all/", "default/"} {
		set(scope+"disable_ipv6", "0")
		if !checked {
			set(scope+"accept_dad", "0")
		}
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "veth0"
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: "veth1"}))
	for _, name := range []string{"veth1", "veth0", "lo"} {
		link, err := netlink.LinkByName(name)
		must(err)
		must(netlink.LinkSetUp(link))
		if name == "lo" { // to which no route for multicast leads at first
			must(netlink.RouteAdd(&netlink.Route{
				LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL,
				Dst: &net.IPNet{IP: net.ParseIP("ff00::"), Mask: net.CIDRMask(8, 128)},
			}))
		}
	}
}

// named returns an interface of the test's namespace once it has an address of IPv6.
func named(t *testing.T, name string) Interface {
	t.Helper()
	for {
		i, err := InterfaceByName(name)
		if err == nil && i.CanSendTo(netip.IPv6Unspecified()) {
			return i
		}
		if t.Context().Err() != nil {
			t.Fatalf("no IPv6 on %s: %v", name, err)
		}
		runtime.Gosched()
	}
}

// randomGroup6 returns a transient group of that scope (RFC 4291 §2.7).
func randomGroup6(scope byte) netip.Addr {
	group := [16]byte{0xff, 0x10 | scope, 12: 0x80}
	for at := 2; at < len(group); at++ {
		group[at] |= byte(rand.N(128))
	}
	return netip.AddrFrom16(group)
}

func TestIPv6Transfer(t *testing.T) {
	if !inNamespace(t, false) {
		return
	}
	batch := NewBatch()
	for _, c := range []struct {
		via   string
		scope byte
	}{{"lo", 5}, {"lo", 1}, {"veth0", 2}, {"veth0", 5}, {"veth0", 14}} {
		via := named(t, c.via)
		awaitAddresses([]Interface{via})
		for method := MethodGSO; method <= MethodWrite; method++ {
			for receive := ReceiveGRO; receive <= ReceiveRead; receive++ {
				name := fmt.Sprintf("%v to %v by %s, scope %d", method, receive, c.via, c.scope)
				group := netip.AddrPortFrom(randomGroup6(c.scope), randomGroupPort().Port())
				r := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{via}, Best: receive})
				s, err := listen(t, ConnConfig{Addr: netip.MustParseAddrPort("[::]:0")}).NewSender(group, via.Index, method)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, length := range []int{1, 1452, 44*1452 + 7, 100 * 1452} {
					data := testData(length)
					if err := s.Send(data, 1452); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					checkSegments(t, r, batch, s, data, 1452)
				}
				if got := batch.Datagrams()[0].Source.Addr(); c.via != "lo" && (!got.IsLinkLocalUnicast() || got.Zone() != c.via) {
					t.Errorf("%s: comes from %v, want a link-local address with its zone", name, got)
				}
				if s.Method() != method || s.Fallback() != nil || r.Method() != receive {
					t.Errorf("%s: became %v (%v) and %v", name, s.Method(), s.Fallback(), r.Method())
				}
			}
		}
	}
}

// Question and answer across a link where hosts have link-local addresses only.
func TestIPv6Conn(t *testing.T) {
	if !inNamespace(t, false) {
		return
	}
	near, far := named(t, "veth0"), named(t, "veth1")
	group := randomGroup6(5)
	server := listen(t, ConnConfig{Group: group, Interfaces: []Interface{far}})
	client := listen(t, ConnConfig{Addr: netip.MustParseAddrPort("[::]:0"), Interfaces: []Interface{near}})
	port := server.LocalAddr().Port()
	listen(t, ConnConfig{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}) // IPv4 has ports of its own

	hear := func(c *Conn, want string, by Interface) netip.AddrPort {
		t.Helper()
		var b [100]byte
		n, src, ifIndex, err := c.ReadFrom(b[:])
		if err != nil || string(b[:n]) != want || ifIndex != by.Index {
			t.Fatalf("heard %q by interface %d, error %v; want %q by %d", b[:n], ifIndex, err, want, by.Index)
		}
		return src
	}
	say := func(c *Conn, text string, to netip.AddrPort, ifIndex int) {
		t.Helper()
		if err := c.WriteTo([]byte(text), to, ifIndex); err != nil {
			t.Fatal(err)
		}
	}
	say(client, "who?", netip.AddrPortFrom(group, port), near.Index)
	from := hear(server, "who?", far)
	if from.Port() != client.LocalAddr().Port() || from.Addr().Zone() != far.Name || !near.Owns(from.Addr().WithZone("")) {
		t.Errorf("the question comes from %v, want the address of %+v", from, near)
	}
	for _, ifIndex := range []int{far.Index, 0} { // the zone is enough
		say(server, "I", from, ifIndex)
		answered := hear(client, "I", near)
		if answered.Port() != port || !far.Owns(answered.Addr().WithZone("")) {
			t.Errorf("the answer comes from %v, want the address of %+v", answered, far)
		}
		say(client, "well", answered, 0)
		hear(server, "well", far)
	}
	if err := server.WriteTo([]byte("x"), netip.MustParseAddrPort("10.0.0.1:1"), 0); err == nil {
		t.Error("IPv6's socket sends to IPv4")
	}
	// What others joined is not heard.
	other := randomGroup6(5)
	listen(t, ConnConfig{Group: other, Interfaces: []Interface{far}})
	say(client, "not for you", netip.AddrPortFrom(other, port), near.Index)
	say(client, "for you", netip.AddrPortFrom(group, port), near.Index)
	hear(server, "for you", far)

	_, err := Listen(ConnConfig{Addr: server.LocalAddr()})
	var inUse *PortInUseError
	if !errors.As(err, &inUse) || !errors.Is(err, syscall.EADDRINUSE) || inUse.PID != os.Getpid() {
		t.Errorf("listening on %v again: %v", server.LocalAddr(), err)
	}
	// Bound to one address, it answers from there.
	address := far.source(group, true)
	alone := listen(t, ConnConfig{Addr: netip.AddrPortFrom(address.WithZone(far.Name), 0)})
	say(client, "you?", netip.AddrPortFrom(address, alone.LocalAddr().Port()), near.Index)
	say(alone, "I", hear(alone, "you?", far), far.Index)
	if answered := hear(client, "I", near); answered != netip.AddrPortFrom(address.WithZone(near.Name), alone.LocalAddr().Port()) {
		t.Errorf("%v answers from %v", alone.LocalAddr(), answered)
	}
}

// An interface that has just come up cannot be sent from for a second or two: Listen
// waits for it.
func TestIPv6DuplicateDetection(t *testing.T) {
	if !inNamespace(t, true) {
		return
	}
	all := []Interface{named(t, "veth0"), named(t, "veth1")}
	group := netip.AddrPortFrom(randomGroup6(5), randomGroupPort().Port())
	r := listenGroup(t, ReceiverConfig{Group: group, Interfaces: all[1:]})
	s, err := listen(t, ConnConfig{Addr: netip.MustParseAddrPort("[::]:0"), Interfaces: all}).NewSender(group, all[0].Index, MethodAuto)
	if err != nil {
		t.Fatal(err)
	}
	data, batch := testData(3*1452), NewBatch()
	if err := s.Send(data, 1452); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < len(data) {
		if err := r.Receive(batch); err != nil {
			t.Fatal(err)
		}
		for _, d := range batch.Datagrams() {
			got = append(got, d.Payload...)
		}
	}
	if !bytes.Equal(got, data) || s.Fallback() != nil {
		t.Errorf("%d bytes arrive, fallback is %v", len(got), s.Fallback())
	}
}

func TestIPv6NoAllocations(t *testing.T) {
	if !inNamespace(t, false) {
		return
	}
	via := named(t, "veth0")
	group := netip.AddrPortFrom(randomGroup6(5), randomGroupPort().Port())
	r := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{via}})
	s, err := listen(t, ConnConfig{Addr: netip.MustParseAddrPort("[::]:0"), Interfaces: []Interface{via}}).NewSender(group, via.Index, MethodAuto)
	if err != nil {
		t.Fatal(err)
	}
	data, batch := testData(44*1452), NewBatch()
	if allocations := testing.AllocsPerRun(20, func() {
		if err := s.Send(data, 1452); err != nil {
			t.Fatal(err)
		}
		receiveBytes(t, r, batch, len(data))
	}); allocations != 0 {
		t.Errorf("%v allocations a batch", allocations)
	}
}

const procNetIfInet6 = `00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000fc00fffe000001 0a 40 20 c0     eth0
fe8000000000000000fc00fffe000002 0b 40 20 c8     eth1
fd000000000000000000000000000002 0c 40 00 80     eth2
fe8000000000000000fc00fffe000003 0d 40 20 44     eth3
fe8000000000000000fc00fffe000003 0e 40 20
fe8000000000000000fc00fffe000003 xx 40 20 40     eth4
`

func TestTentativeInterfaces(t *testing.T) {
	got := tentativeInterfaces(strings.NewReader(procNetIfInet6))
	if diff := cmp.Diff([]int{10, 13}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzTentativeInterfaces(f *testing.F) {
	f.Add(procNetIfInet6)
	f.Fuzz(func(t *testing.T, table string) {
		found := tentativeInterfaces(strings.NewReader(table))
		var again strings.Builder
		for _, index := range found {
			fmt.Fprintf(&again, "%032x %02x 40 20 c0 eth0\n", 1, index)
		}
		if diff := cmp.Diff(found, tentativeInterfaces(strings.NewReader(again.String()))); diff != "" {
			t.Error(diff)
		}
	})
}
