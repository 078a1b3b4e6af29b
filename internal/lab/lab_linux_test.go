package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// giveUp bounds every wait of the tests: it is only reached by a fault.
const giveUp = time.Minute

// Two ports, as Go binds a group's socket to every address.
const (
	port          = 5000
	broadcastPort = 5001
)

var (
	group    = netip.MustParseAddrPort("239.1.2.3:5000")
	allTests = context.Background()
)

// open opens a UDP socket of a host, bound to an address ("" is any) and
// sending multicast by the given interface.
func open(t *testing.T, i *Interface, address string, number int) *ipv4.PacketConn {
	t.Helper()
	var p *ipv4.PacketConn
	err := i.host.Do(func() error {
		c, err := net.ListenPacket("udp4", net.JoinHostPort(address, fmt.Sprint(number)))
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		p = ipv4.NewPacketConn(c)
		return errors.Join(p.SetMulticastInterface(&net.Interface{Index: i.Index}), p.SetDeadline(time.Now().Add(giveUp)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func join(t *testing.T, i *Interface) *ipv4.PacketConn {
	t.Helper()
	p := open(t, i, group.Addr().String(), port)
	if err := p.JoinGroup(&net.Interface{Index: i.Index}, &net.UDPAddr{IP: group.Addr().AsSlice()}); err != nil {
		t.Fatal(err)
	}
	return p
}

func send(t *testing.T, p *ipv4.PacketConn, to netip.AddrPort, payload []byte) {
	t.Helper()
	if _, err := p.WriteTo(payload, nil, net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, p *ipv4.PacketConn) (string, netip.AddrPort) {
	t.Helper()
	buffer := make([]byte, 1<<16)
	n, _, from, err := p.ReadFrom(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n]), from.(*net.UDPAddr).AddrPort()
}

func receivedPackets(t *testing.T, i *Interface) uint64 {
	t.Helper()
	return counters(t, i).ReceivedPackets
}

func counters(t *testing.T, i *Interface) Counters {
	t.Helper()
	c, err := i.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// await polls until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(giveUp); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %s", giveUp, what)
		}
	}
}

// sendCounted sends packets and returns once a witness that loses none has
// them all, so that no queue on the way overflows.
func sendCounted(t *testing.T, p *ipv4.PacketConn, to netip.AddrPort, count int, witness *Interface) {
	t.Helper()
	const window = 200
	payload := make([]byte, 100)
	for count > 0 {
		n := min(count, window)
		want := receivedPackets(t, witness) + uint64(n)
		for range n {
			send(t, p, to, payload)
		}
		await(t, "the witness has all packets", func() bool { return receivedPackets(t, witness) >= want })
		count -= n
	}
}

func broadcastOf(i *Interface) netip.AddrPort {
	a, _ := netip.AddrFromSlice(broadcast(i.Address))
	return netip.AddrPortFrom(a, broadcastPort)
}

func TestMulticast(t *testing.T) {
	for _, mtu := range []int{1500, 9000} {
		t.Run(fmt.Sprint("MTU ", mtu), func(t *testing.T) {
			l := NewTest(t, Config{MTU: mtu})
			server, client := l.Hosts[0], l.Hosts[1]
			from := open(t, server.Interface, server.Address.Addr().String(), 0)
			to := join(t, client.Interface)
			before := receivedPackets(t, client.Interface)

			offer := strings.Repeat("x", mtu-28)
			send(t, from, group, []byte(offer))
			got, source := receive(t, to)
			if got != offer || source.Addr() != server.Address.Addr() {
				t.Errorf("received %d bytes from %v, want %d from %v", len(got), source, len(offer), server.Address)
			}
			if n := receivedPackets(t, client.Interface) - before; n != 1 {
				t.Errorf("it came in %d packets", n)
			}
			send(t, to, source, []byte("answer"))
			if got, source := receive(t, from); got != "answer" || source.Addr() != client.Address.Addr() {
				t.Errorf("received %q from %v", got, source)
			}
		})
	}
}

func TestLoss(t *testing.T) {
	l := NewTest(t, Config{Hosts: 3})
	from := open(t, l.Hosts[0].Interface, "", 0)
	lossy, witness := l.Hosts[1], l.Hosts[2]
	const count = 20_000
	for _, c := range []struct {
		percent  float64
		min, max uint64 // received; 20%: 7 standard deviations of 57
	}{
		{0, count, count},
		{20, 15_600, 16_400},
		{100, 0, 0},
		{0, count, count},
	} {
		if err := lossy.SetLoss(c.percent); err != nil {
			t.Fatal(err)
		}
		before := receivedPackets(t, lossy.Interface)
		sendCounted(t, from, group, count, witness.Interface)
		// The bridge may serve the witness first.
		await(t, "the lossy host has its share", func() bool { return receivedPackets(t, lossy.Interface)-before >= c.min })
		if got := receivedPackets(t, lossy.Interface) - before; got > c.max {
			t.Errorf("at %v%% loss %d of %d came, want %d at most", c.percent, got, count, c.max)
		}
	}
	for _, percent := range []float64{-1, 100.1} {
		if err := lossy.SetLoss(percent); err == nil {
			t.Errorf("loss of %v%% accepted", percent)
		}
	}
}

func TestLossOfUnicast(t *testing.T) {
	l := NewTest(t, Config{})
	from := open(t, l.Hosts[0].Interface, "", 0)
	to := open(t, l.Hosts[1].Interface, "", port)
	address := netip.AddrPortFrom(l.Hosts[1].Address.Addr(), port)
	send(t, from, address, []byte("before")) // and learns the neighbour
	if got, _ := receive(t, to); got != "before" {
		t.Fatalf("received %q", got)
	}
	if err := l.Hosts[1].SetLoss(100); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		send(t, from, address, []byte("lost"))
	}
	if err := l.Hosts[1].SetLoss(0); err != nil {
		t.Fatal(err)
	}
	send(t, from, address, []byte("after"))
	if got, _ := receive(t, to); got != "after" {
		t.Errorf("received %q, want only what came after the loss", got)
	}
}

func TestBlockMulticast(t *testing.T) {
	l := NewTest(t, Config{})
	server, client := l.Hosts[0].Interface, l.Hosts[1].Interface
	from := open(t, server, "", 0)
	to := open(t, client, "", broadcastPort)
	member := join(t, client)
	for _, blocked := range []bool{true, false} {
		if err := client.BlockMulticast(blocked); err != nil {
			t.Fatal(err)
		}
		before := receivedPackets(t, client)
		send(t, from, group, []byte("multicast"))
		send(t, from, broadcastOf(client), []byte("broadcast"))
		if got, _ := receive(t, to); got != "broadcast" {
			t.Errorf("received %q", got)
		}
		want := uint64(1)
		if !blocked {
			want = 2
			if got, _ := receive(t, member); got != "multicast" {
				t.Errorf("received %q", got)
			}
		}
		if got := receivedPackets(t, client) - before; got != want {
			t.Errorf("blocked %v: %d packets came, want %d", blocked, got, want)
		}
	}
}

// TestShapeUplink shows that the queue of its own interface paces a blocking
// sender: nothing is lost, and it is never faster than the line.
func TestShapeUplink(t *testing.T) {
	const rate, count = 50_000_000, 500
	l := NewTest(t, Config{UplinkBitsPerSec: rate})
	from := open(t, l.Hosts[0].Interface, "", 0)
	if err := from.PacketConn.(*net.UDPConn).SetWriteBuffer(212_992 / 2); err != nil { // doubled by the kernel
		t.Fatal(err)
	}
	payload := make([]byte, 1472)
	start := time.Now()
	for range count {
		send(t, from, group, payload)
	}
	await(t, "all packets came", func() bool { return receivedPackets(t, l.Hosts[1].Interface) == count })
	line := time.Duration(float64(count*1538-superPacketBytes*1538/1514) * 8 / rate * 1e9)
	if took := time.Since(start); took < line*99/100 {
		t.Errorf("%d packets took %v, faster than the line's %v", count, took, line)
	}
	if sent := counters(t, l.Hosts[0].Interface); sent.SentPackets != count || sent.SentBytes != count*1514 {
		t.Errorf("sent %+v, want %d packets of 1514", sent, count)
	}
}

// TestShapeDownlink shows that a bottleneck in the switch drops what its
// queue cannot hold, and holds up nobody else.
func TestShapeDownlink(t *testing.T) {
	const count, queueBytes = 200, 30_000
	l := NewTest(t, Config{Hosts: 3})
	from := open(t, l.Hosts[0].Interface, "", 0)
	slow, witness := l.Hosts[1].Interface, l.Hosts[2].Interface
	// 100 kbit/s: the queue takes two seconds, and all packets half a minute.
	if err := slow.ShapeDownlink(100_000, queueBytes); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 1472)
	for range count {
		send(t, from, group, payload)
	}
	await(t, "the witness has all packets", func() bool { return receivedPackets(t, witness) == count })
	if got := receivedPackets(t, slow); got > count/2 {
		t.Errorf("%d of %d packets passed the bottleneck", got, count)
	}
	await(t, "the switch has dropped or sent all", func() bool {
		qdiscs, err := l.bridges.links.QdiscList(slow.portLink())
		if err != nil {
			t.Fatal(err)
		}
		s := qdiscs[0].Attrs().Statistics
		return s.Queue.Drops > count/2 && uint64(s.Queue.Drops+s.Queue.Qlen)+receivedPackets(t, slow) == count
	})

	if err := slow.ShapeDownlink(0, 0); err != nil {
		t.Fatal(err)
	}
	before := receivedPackets(t, slow)
	sendCounted(t, from, group, count, slow)
	if got := receivedPackets(t, slow) - before; got != count {
		t.Errorf("without a bottleneck %d of %d came", got, count)
	}
}

func TestShapeRefusesWhatItCannotDo(t *testing.T) {
	l := NewTest(t, Config{Hosts: 1})
	for _, c := range []struct {
		bitsPerSec int64
		queueBytes int
	}{{-1, 1000}, {1, 1000}, {FastEthernet, 0}, {FastEthernet, -1}, {FastEthernet, 1 << 31}} {
		if err := l.Hosts[0].ShapeDownlink(c.bitsPerSec, c.queueBytes); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
	if err := l.Hosts[0].ShapeUplink(0); err != nil {
		t.Error("removing what is not there:", err)
	}
}

func TestAddNetwork(t *testing.T) {
	l := NewTest(t, Config{Hosts: 3})
	n, err := l.AddNetwork(l.Hosts[2], l.Hosts[1])
	if err != nil {
		t.Fatal(err)
	}
	alone, err := l.AddNetwork(l.Hosts[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		i             *Interface
		name, address string
	}{
		{n.Interfaces[0], "eth1", "10.78.0.3/24"},
		{n.Interfaces[1], "eth1", "10.78.0.2/24"},
		{alone.Interfaces[0], "eth2", "10.79.0.2/24"},
	} {
		if c.i.Name != c.name || c.i.Address.String() != c.address {
			t.Errorf("got %s %s, want %s %s", c.i.Name, c.i.Address, c.name, c.address)
		}
	}
	sendCounted(t, open(t, n.Interfaces[0], "", 0), group, 10, n.Interfaces[1])
	send(t, open(t, alone.Interfaces[0], "", 0), group, []byte("to nobody"))
	if got := counters(t, alone.Interfaces[0]).SentPackets; got != 1 {
		t.Errorf("%d packets went nowhere, want 1", got)
	}
	for _, h := range l.Hosts {
		if got := counters(t, h.Interface); got != (Counters{}) {
			t.Errorf("host %d: %+v on the first network", h.Number, got)
		}
	}
}

func TestDisconnect(t *testing.T) {
	l := NewTest(t, Config{Hosts: 3})
	from := open(t, l.Hosts[0].Interface, "", 0)
	loose, witness := l.Hosts[1].Interface, l.Hosts[2].Interface
	if err := loose.Disconnect(); err != nil {
		t.Fatal(err)
	}
	sendCounted(t, from, group, 10, witness)
	if got := receivedPackets(t, loose); got != 0 {
		t.Errorf("%d packets came without a cable", got)
	}
	err := l.Hosts[1].Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		addresses, err := i.Addrs()
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning != 0 || len(addresses) != 1 {
			return fmt.Errorf("%+v %v, want up, not running, with an address: %v", i, addresses, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := loose.Connect(); err != nil {
		t.Fatal(err)
	}
	sendCounted(t, from, group, 10, loose)
}

// TestSnooping shows that with a querier a group's packets go to its members
// alone, and without snooping to all.
func TestSnooping(t *testing.T) {
	l := NewTest(t, Config{Hosts: 3})
	server, member, other := l.Hosts[0].Interface, l.Hosts[1].Interface, l.Hosts[2].Interface
	network := l.Switch()
	from := open(t, server, "", 0)
	joined, bystander := join(t, member), open(t, other, "", broadcastPort)
	payload := make([]byte, 1400)
	// floods reports whether the other host gets the group's packets. IGMP's
	// are much smaller.
	floods := func() bool {
		before := counters(t, other).ReceivedBytes
		send(t, from, group, payload)
		receive(t, joined)
		send(t, from, broadcastOf(other), []byte("end of round"))
		receive(t, bystander)
		return counters(t, other).ReceivedBytes-before >= uint64(len(payload))
	}
	if !floods() {
		t.Error("does not flood without a querier")
	}
	if err := network.SetQuerier(true); err != nil {
		t.Fatal(err)
	}
	await(t, "the switch has learnt", func() bool { return !floods() })
	if err := network.SetSnooping(false); err != nil {
		t.Fatal(err)
	}
	if !floods() {
		t.Error("does not flood without snooping")
	}
}

// TestSwitchForgetsMember shows that a snooping switch with a querier forgets a member
// that is still there, until that joins anew.
func TestSwitchForgetsMember(t *testing.T) {
	l := NewTest(t, Config{})
	from := open(t, l.Hosts[0].Interface, "", 0)
	member := l.Hosts[1].Interface
	network := l.Switch()
	if err := network.SetMemory(2*time.Second, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := network.SetQuerier(true); err != nil {
		t.Fatal(err)
	}
	joined := join(t, member)
	payload := make([]byte, 1400)
	arrives := func() bool {
		before := counters(t, member).ReceivedBytes
		send(t, from, group, payload)
		witness := open(t, member, "", broadcastPort)
		defer witness.Close()
		send(t, from, broadcastOf(member), []byte("end of round"))
		receive(t, witness)
		return counters(t, member).ReceivedBytes-before >= uint64(len(payload))
	}
	if !arrives() {
		t.Error("a new member gets nothing")
	}
	await(t, "the switch has forgotten", func() bool { return !arrives() })
	if err := joined.LeaveGroup(&net.Interface{Index: member.Index}, &net.UDPAddr{IP: group.Addr().AsSlice()}); err != nil {
		t.Fatal(err)
	}
	join(t, member)
	await(t, "the switch has learnt", arrives)
}

func TestSegmentOffload(t *testing.T) {
	const segments, size = 44, 1472
	for _, c := range []struct {
		offload bool
		packets uint64
	}{{false, segments}, {true, 1}} {
		l := NewTest(t, Config{SegmentOffload: c.offload})
		from := openSegmenting(t, l.Hosts[0].Interface, size)
		send(t, from, group, make([]byte, segments*size))
		await(t, fmt.Sprintf("%d packets came with offload %v", c.packets, c.offload), func() bool {
			return receivedPackets(t, l.Hosts[1].Interface) == c.packets
		})
	}
}

func TestReceiveOffload(t *testing.T) {
	const segments, size = 44, 1472
	l := NewTest(t, Config{ReceiveOffload: true})
	from := openSegmenting(t, l.Hosts[0].Interface, size)
	to := join(t, l.Hosts[1].Interface)
	setOption(t, to, unix.UDP_GRO, 1)
	// How many packets are joined depends on who is faster; that some are,
	// on nothing.
	await(t, "packets came joined", func() bool {
		send(t, from, group, make([]byte, segments*size))
		for received := 0; received < segments*size; {
			payload, _ := receive(t, to)
			if len(payload) > size {
				return true
			}
			received += len(payload)
		}
		return false
	})
}

func openSegmenting(t *testing.T, i *Interface, size int) *ipv4.PacketConn {
	t.Helper()
	p := open(t, i, "", 0)
	setOption(t, p, unix.UDP_SEGMENT, size)
	return p
}

func setOption(t *testing.T, p *ipv4.PacketConn, option, value int) {
	t.Helper()
	raw, err := p.PacketConn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_UDP, option, value) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Skip("the kernel has no UDP segmentation offload:", failed)
	}
}

func TestCommand(t *testing.T) {
	l := NewTest(t, Config{})
	output, err := role(t, l.Hosts[1], "list interfaces").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if !strings.Contains(string(output), "\neth0 [10.77.0.2/24]\n") || !strings.Contains(string(output), "L eth0") {
		t.Errorf("the program sees, where eth0 with 10.77.0.2/24 should be,\n%s", output)
	}

	c := role(t, l.Hosts[1], "use memory")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if u := UsageOf(c.ProcessState); u.PeakMemoryBytes < usedBytes || u.PeakMemoryBytes > 4*usedBytes || u.CPU <= 0 {
		t.Errorf("used %+v, want about %d bytes and some time", u, usedBytes)
	}

	if err := l.Hosts[0].Command(t.Context(), "/nonexistent").Run(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that does not exist: %v", err)
	}
	if err := role(t, l.Hosts[0], "exit 3").Run(); err == nil {
		t.Error("no error from exit status 3")
	}
}

// role returns a command that runs this test binary in a host.
func role(t *testing.T, h *Host, name string) *Cmd {
	c := h.Command(t.Context(), "/proc/self/exe")
	c.Env = append(os.Environ(), roleVariable+"="+name)
	return c
}

func TestDoTellsOfGoexit(t *testing.T) {
	l := NewTest(t, Config{Hosts: 1})
	if err := l.Hosts[0].Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error from a function that did not return")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	NewTest(t, Config{Hosts: 1}) // skips where there is no lab; opens what the runtime keeps
	goroutines := goleak.IgnoreCurrent()
	files := openFiles(t)
	l, err := New(Config{Hosts: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddNetwork(l.Hosts...); err != nil {
		t.Fatal(err)
	}
	c := role(t, l.Hosts[0], "hang")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if n := namespacesInUse(t); n != 2 {
		t.Errorf("%d namespaces have processes, want the program's and the host's", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c.ProcessState == nil {
		t.Error("the command has not been waited for")
	}
	if err := c.Start(); err == nil {
		t.Error("a command started in a closed lab")
	}
	if now := openFiles(t); now != files {
		t.Errorf("%d files are open, and %d before", now, files)
	}
	await(t, "all threads are in the program's namespace", func() bool { return namespacesInUse(t) == 1 })
	if interfaces, err := net.Interfaces(); err != nil || len(interfaces) != 1 {
		t.Errorf("the program's namespace has %v (%v), want lo", interfaces, err)
	}
	goleak.VerifyNone(t, goroutines)
	if err := l.Close(); err != nil {
		t.Error("closed twice:", err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// namespacesInUse counts the network namespaces that processes or threads of
// the lab's process namespace are in.
func namespacesInUse(t *testing.T) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil { // else it has just ended
			found[name] = true
		}
	}
	return len(found)
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		wrong  string // the field that the error names
	}{
		{"zero", Config{}, ""},
		{"full", Config{Hosts: 254, MTU: 9000, UplinkBitsPerSec: GigabitEthernet, LossPercent: 100}, ""},
		{"hosts", Config{Hosts: 255}, "Hosts"},
		{"negative hosts", Config{Hosts: -1}, "Hosts"},
		{"MTU", Config{MTU: 67}, "MTU"},
		{"rate", Config{UplinkBitsPerSec: -1}, "UplinkBitsPerSec"},
		{"loss", Config{LossPercent: 100.5}, "LossPercent"},
	} {
		err := c.config.validate()
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want it to name %q", c.name, err, c.wrong)
		}
	}
}
