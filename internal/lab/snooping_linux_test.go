package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"multiserver/internal/udp"
)

// What these tests show of Linux's bridge, as far as net/bridge/br_multicast.c does
// not tell it alone:
//
//   - It floods until a query has come and the time to answer it is over, and again
//     when the last query is as old as its memory for queriers (255 s).
//   - In between it passes a group to the ports that reported it within its memory
//     for reports (260 s) and to those where queries come from; a group that none
//     reported, to the latter only.
//   - Unlike RFC 4541 §2.1.1, a query from 0.0.0.0 counts as any other in all of this;
//     the bridge's own querier is silent until that is forgotten.
//   - It hears what a host sends by a packet socket; the host's own kernel does not,
//     and does not report its own groups.

const (
	long = time.Minute

	groupPayloadBytes = 1400 // IGMP's packets are much smaller
)

// snoopingRoom is a switch between a server, a member of the group and one that is
// none.
type snoopingRoom struct {
	*testing.T
	*Lab
	from            *ipv4.PacketConn
	member, other   *Interface
	joined          *udp.Receiver
	ends            map[*Interface]*ipv4.PacketConn // hear broadcasts
	memberInterface udp.Interface
}

func newSnoopingRoom(t *testing.T) *snoopingRoom {
	t.Helper()
	l := NewTest(t, Config{Hosts: 3})
	r := &snoopingRoom{T: t, Lab: l, member: l.Hosts[1].Interface, other: l.Hosts[2].Interface}
	r.from = open(t, l.Hosts[0].Interface, "", 0)
	r.ends = map[*Interface]*ipv4.PacketConn{r.member: open(t, r.member, "", broadcastPort), r.other: open(t, r.other, "", broadcastPort)}
	r.memberInterface = interfaceOf(r.member)
	r.must(l.Hosts[1].Do(func() (err error) {
		r.joined, err = udp.ListenGroup(udp.ReceiverConfig{Group: group, Interfaces: []udp.Interface{r.memberInterface}})
		return err
	}))
	t.Cleanup(func() { r.joined.Close() })
	return r
}

func interfaceOf(i *Interface) udp.Interface {
	return udp.Interface{Index: i.Index, Name: i.Name, Addrs: []netip.Prefix{i.Address}}
}

func (r *snoopingRoom) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// carries reports whether a host gets the group's packets.
func (r *snoopingRoom) carries(i *Interface) bool {
	r.Helper()
	before := counters(r.T, i).ReceivedBytes
	send(r.T, r.from, group, make([]byte, groupPayloadBytes))
	send(r.T, r.from, broadcastOf(i), []byte("end of round"))
	for _, end := range r.ends {
		receive(r.T, end)
	}
	return counters(r.T, i).ReceivedBytes-before >= groupPayloadBytes
}

// query runs a Querier at the server until stop is called or the test ends.
func (r *snoopingRoom) query(every time.Duration) (q *udp.Querier, stop func()) {
	r.Helper()
	r.must(r.Hosts[0].Do(func() (err error) {
		q, err = udp.NewQuerier(interfaceOf(r.Hosts[0].Interface), every)
		return err
	}))
	return q, r.run(q)
}

func (r *snoopingRoom) run(q *udp.Querier) (stop func()) {
	ctx, cancel := context.WithCancel(allTests)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := q.Run(ctx); !errors.Is(err, context.Canceled) {
			r.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	r.Cleanup(stop)
	return stop
}

// forgets has the switch snoop and then forget the group.
func (r *snoopingRoom) forgets() {
	r.Helper()
	r.must(r.Switch().SetMemory(500*time.Millisecond, long))
	q, stop := r.query(200 * time.Millisecond)
	await(r.T, "a query is sent", func() bool { return q.Sent() > 0 })
	stop()
	await(r.T, "the switch has forgotten the group", func() bool { return !r.carries(r.member) })
	if r.carries(r.other) {
		r.Error("a group that nobody reports goes to all")
	}
}

// TestQuerierKeepsTheGroup: as long as it asks, the switch neither forgets the group
// nor floods.
func TestQuerierKeepsTheGroup(t *testing.T) {
	const memory, every, times = 2 * time.Second, 200 * time.Millisecond, 3
	r := newSnoopingRoom(t)
	r.must(r.Switch().SetMemory(memory, long))
	q, _ := r.query(every)
	await(t, "the switch has learnt", func() bool { return !r.carries(r.other) })
	for start := q.Sent(); q.Sent() < start+times*uint64(memory/every); {
		if !r.carries(r.member) {
			t.Fatal("the switch forgot the group")
		}
		if r.carries(r.other) {
			t.Fatal("the switch floods")
		}
	}
	if from, _, ok := q.LastQuery(); ok {
		t.Errorf("heard a query from %v", from)
	}
}

// TestWithoutQuerier: the switch forgets, and floods when it has forgotten the
// querier too.
func TestWithoutQuerier(t *testing.T) {
	r := newSnoopingRoom(t)
	if !r.carries(r.other) {
		t.Error("does not flood before any query")
	}
	r.forgets()
	r.must(r.Switch().SetMemory(long, time.Second))
	q, stop := r.query(200 * time.Millisecond)
	await(t, "a query is sent", func() bool { return q.Sent() > 0 })
	stop()
	await(t, "the switch floods", func() bool { return r.carries(r.other) })
}

func TestForget(t *testing.T) {
	r := newSnoopingRoom(t)
	r.must(r.Switch().SetMemory(long, long))
	q, stop := r.query(200 * time.Millisecond)
	await(t, "the switch has learnt", func() bool { return !r.carries(r.other) })
	stop()
	if !r.carries(r.member) {
		t.Error("what was reported is not passed on")
	}
	// Answers may still be under way.
	await(t, "the group is forgotten", func() bool {
		r.must(r.Switch().Forget(r.member, group.Addr()))
		return !r.carries(r.member)
	})
	if q.Sent() == 0 {
		t.Error("the switch learnt without being told")
	}
}

// TestRejoin: what it sends brings a forgotten group back. A kernel that has heard no
// query speaks IGMPv3 and merges the two into one report, which is sent twice.
func TestRejoin(t *testing.T) {
	r := newSnoopingRoom(t)
	reports := r.overhear(r.Hosts[1])
	r.must(r.joined.Leave(r.memberInterface))
	reports.await(membership{version: 3, joined: false})
	r.must(r.joined.Join(r.memberInterface))
	for range 4 {
		reports.await(membership{version: 3, joined: true})
		reports.await(membership{version: 3, joined: true})
		r.must(r.joined.Rejoin(r.memberInterface))
	}

	r.forgets() // with queries of IGMPv2
	r.must(r.Switch().SetMemory(long, long))
	reports = r.overhear(r.Hosts[1])
	r.must(r.joined.Rejoin(r.memberInterface))
	reports.await(membership{version: 2, joined: false})
	reports.await(membership{version: 2, joined: true})
	await(t, "the group is back", func() bool { return r.carries(r.member) })
	if r.carries(r.other) {
		t.Error("the switch floods")
	}
}

// TestQuerierGivesWay: it is silent while a router asks, and asks once that is gone.
func TestQuerierGivesWay(t *testing.T) {
	const every = 500 * time.Millisecond // so that a machine may be busy for a second
	r := newSnoopingRoom(t)
	var router *ipv4.PacketConn
	r.must(r.Hosts[2].Do(func() error {
		c, err := net.ListenPacket("ip4:igmp", r.other.Address.Addr().String())
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		router = ipv4.NewPacketConn(c)
		return router.SetMulticastInterface(&net.Interface{Index: r.other.Index})
	}))
	ask := func() {
		t.Helper()
		query := []byte{0x11, 1, 0xEE, 0xFE, 0, 0, 0, 0}
		if _, err := router.WriteTo(query, nil, &net.IPAddr{IP: net.IPv4allsys}); err != nil {
			t.Fatal(err)
		}
	}
	q, _ := r.query(every)
	await(t, "a query is heard", func() bool {
		ask()
		_, _, ok := q.LastQuery()
		return ok
	})
	for start := time.Now(); time.Since(start) < 4*every; time.Sleep(every / 20) { // it would have asked each
		ask()
	}
	if from, _, _ := q.LastQuery(); from != r.other.Address.Addr() || q.Sent() > 0 {
		t.Errorf("heard %v and sent %d queries", from, q.Sent())
	}
	await(t, "it asks", func() bool { return q.Sent() > 0 })
	if _, ago, _ := q.LastQuery(); ago < 2*every {
		t.Errorf("it asks %v after the router", ago)
	}
}

// TestQuerierInterfaceGone: Run waits for an interface that is down, and ends with one
// that is removed.
func TestQuerierInterfaceGone(t *testing.T) {
	r := newSnoopingRoom(t)
	host := r.Hosts[0].namespace
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "short"}, PeerName: "lived"}
	r.must(host.links.LinkAdd(pair))
	r.must(host.links.LinkSetUp(pair))
	var q *udp.Querier
	r.must(host.do(func() (err error) {
		q, err = udp.NewQuerier(udp.Interface{Name: "short", Index: pair.Index}, 10*time.Millisecond)
		return err
	}))
	ended := make(chan error, 1) // from Run, once
	go func() { ended <- q.Run(t.Context()) }()
	await(t, "a query is sent", func() bool { return q.Sent() > 0 })
	r.must(host.links.LinkSetDown(pair))
	r.must(host.links.LinkSetUp(pair))
	sent := q.Sent()
	await(t, "a query is sent again", func() bool { return q.Sent() > sent })
	r.must(host.links.LinkDel(pair))
	select {
	case err := <-ended:
		if !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENXIO) {
			t.Error(err)
		}
	case <-time.After(giveUp):
		t.Fatal("it did not end")
	}
}

// membership is what a host says of the group.
type membership struct {
	version int  // of IGMP
	joined  bool // or left
}

// reports are what hosts say on a link.
type reports struct {
	*testing.T
	socket *os.File
}

// overhear listens on a host's eth0.
func (r *snoopingRoom) overhear(h *Host) reports {
	r.Helper()
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xFF})
	var socket *os.File
	r.must(h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		socket = os.NewFile(uintptr(fd), "overhear")
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: h.Index})
	}))
	r.Cleanup(func() { socket.Close() })
	r.must(socket.SetReadDeadline(time.Now().Add(giveUp)))
	return reports{r.T, socket}
}

// await reads on until it is said.
func (r reports) await(want membership) {
	r.Helper()
	b := make([]byte, 2048)
	for {
		n, err := r.socket.Read(b)
		if err != nil {
			r.Fatalf("no %+v: %v", want, err)
		}
		if got, ok := parseMembership(b[:n]); ok && got == want {
			return
		}
	}
}

// parseMembership reads an IP packet with a report of the group: one of IGMPv2 or its
// leave message, or one of IGMPv3 whose first record is of a change (RFC 3376 §4.2).
func parseMembership(packet []byte) (m membership, ok bool) {
	const protocolIGMP = 2
	if len(packet) < 32 || packet[0] != 0x46 || packet[9] != protocolIGMP {
		return m, false
	}
	igmp := packet[24:]
	of := igmp[4:]
	switch igmp[0] {
	case 0x16, 0x17:
		m = membership{version: 2, joined: igmp[0] == 0x16}
	case 0x22:
		if len(igmp) < 16 || igmp[8] != 3 && igmp[8] != 4 {
			return m, false
		}
		m, of = membership{version: 3, joined: igmp[8] == 4}, igmp[12:]
	default:
		return m, false
	}
	return m, netip.AddrFrom4([4]byte(of)) == group.Addr()
}
