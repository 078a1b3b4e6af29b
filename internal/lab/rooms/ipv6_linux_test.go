package rooms

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"multiserver/internal/lab"
)

// group6 is of site-local scope.
const group6 = "ff15::1:2:3"

// enableIPv6 switches IPv6 on in all hosts.
func (r *room) enableIPv6() {
	r.Helper()
	err := r.EnableIPv6()
	if errors.Is(err, lab.ErrUnavailable) {
		r.Skip("needs a kernel with IPv6: ", err)
	}
	r.must(err)
}

// disableIPv4 takes the hosts' addresses of IPv4 away.
func (r *room) disableIPv4() {
	r.Helper()
	for _, host := range r.Hosts {
		r.must(host.Do(func() error {
			addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
			for _, a := range addrs {
				err = errors.Join(err, netlink.AddrDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: a.LinkIndex}}, &a))
			}
			return err
		}))
	}
}

// answersFrom checks the address that a client had its answer from.
func (c client) answersFrom(server string, want netip.Addr) {
	c.room.Helper()
	got, err := netip.ParseAddrPort(server)
	if err != nil || got != netip.AddrPortFrom(want, 7500) {
		c.room.Errorf("%s: was served by %q, want %v", c.title, server, want)
	}
}

// TestIPv6: an image of 16 MiB at 1% loss, over IPv6 from the search to the goodbye,
// where there is no IPv4.
func TestIPv6(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{Hosts: 4, LossPercent: 1}, 1)
		r.fill(16 * mib)
		r.enableIPv6()
		r.disableIPv4()
		s := r.serve(0, "-g", group6)
		var clients []client
		for host := 1; host < len(r.Hosts); host++ {
			clients = append(clients, r.receive(host, "-g", group6))
		}
		for _, c := range clients {
			c.answersFrom(c.finishes().Server, r.Hosts[0].LinkLocal)
		}
		end := s.stop()
		if r.seen(end) != 3 || end.Interface != "eth0" {
			t.Errorf("the server tells of %d clients on %q, want 3 on eth0", r.seen(end), end.Interface)
		}
		if end.SendMethod != "gso" {
			t.Errorf("sent by %s: do the packets fit the MTU?", end.SendMethod)
		}
		// All symbols of a block but the last one fill frames of 1538 bytes.
		if mean := float64(end.WireBytesSent) / float64(end.PacketsSent); p == speaksMXB2 && (mean < 1530 || mean > 1538) {
			t.Errorf("a packet takes %.1f bytes of the wire", mean)
		}
	})
}

// TestIPv6Scopes: groups that end at the link, and those that do not.
func TestIPv6Scopes(t *testing.T) {
	t.Parallel()
	for _, group := range []string{"ff02::4d58", "ff12::4d58", "ff18::4d58", "ff1e::4d58"} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			inBoth(t, func(t *testing.T, p protocol) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{}, mib)
				r.enableIPv6()
				r.serve(0, "-g", group)
				finish(r.receive(1, "-g", group))
			})
		})
	}
}

// TestIPv6HopLimit: a stream that may pass routers comes from an address that may, too.
func TestIPv6HopLimit(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.enableIPv6()
	r.serve(0, "-g", group6, "--ttl", "3")
	c := r.receive(1, "-g", group6)
	c.answersFrom(c.finishes().Server, r.Hosts[0].LinkLocal)
}

// TestIPv6Server asks one host.
func TestIPv6Server(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.enableIPv6()
	r.serve(0, "-g", group6)
	near, wide := r.Hosts[0].LinkLocal, r.Hosts[0].Address6.Addr()
	for _, c := range []struct {
		args []string
		from netip.Addr
	}{
		{[]string{"-s", near.String()}, near},
		{[]string{"-s", "[" + near.String() + "]:7500"}, near},
		{[]string{"-s", near.WithZone("").String(), "-i", "eth0"}, near},
		{[]string{"-s", wide.String()}, wide},
		{[]string{"-s", "[" + wide.String() + "]:7500", "-i", "eth0"}, wide},
	} {
		client := r.receive(1, append(c.args, "-g", group6)...)
		client.answersFrom(client.finishes().Server, c.from)
	}
	r.receive(1, "-g", group6, "-s", near.WithZone("").String()).fails(exitUsage, near.WithZone("").String(), "%INTERFACE")
	r.receive(1, "-g", group6, "-s", "10.77.0.1").fails(exitUsage, "IPv4", "IPv6", group6)
	r.receive(1, "-s", wide.String()).fails(exitUsage, "IPv4", "IPv6", wide.String())
	r.receive(1, "-g", "ff15::9", "--start-timeout", "2s").fails(exitTimeLimit, "eth0", "multicast to ff15::9", "7500")
}

// TestIPv6TwoInterfaces: a client with two networks, of which one leads to the server.
func TestIPv6TwoInterfaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		second []int // hosts on eth1: 0 the server, 1 the client
		server []string
		on     string // where the stream must come
	}{
		{name: "the client's second leads nowhere", second: []int{1}, on: "eth0"},
		{name: "the server is on the client's second", second: []int{0, 1}, server: []string{"-i", "eth1"}, on: "eth1"},
		{name: "both lead to the server", second: []int{0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBoth(t, func(t *testing.T, p protocol) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{}, 2*mib)
				var hosts []*lab.Host
				for _, h := range c.second {
					hosts = append(hosts, r.Hosts[h])
				}
				_, err := r.AddNetwork(hosts...)
				r.must(err)
				r.enableIPv6()
				r.serve(0, append(c.server, "-g", group6)...)
				if end := r.receive(1, "-g", group6).finishes(); c.on != "" && end.Interface != c.on {
					t.Errorf("the client received on %s, want %s", end.Interface, c.on)
				}
			})
		})
	}
}

// TestIPv6OwnHost: the client is where the server is.
func TestIPv6OwnHost(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{}, mib)
		r.enableIPv6()
		r.serve(0, "-g", group6)
		finish(r.receive(0, "-g", group6), r.receive(1, "-g", group6))
	})
}

// TestIPv6StartedAgain: the clients go on where they were.
func TestIPv6StartedAgain(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	r.enableIPv6()
	s := r.serve(0, "-g", group6)
	a, b := r.receive(1, "-g", group6), r.receive(2, "-g", group6)
	a.reaches(0.4)
	s.kill()
	r.serve(0, "-g", group6)
	finish(a, b)
}
