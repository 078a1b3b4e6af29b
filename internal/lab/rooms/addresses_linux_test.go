package rooms

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"multiserver/internal/lab"
)

// flush takes all addresses of IPv4 from a host's interface.
func (r *room) flush(host int, name string) {
	r.Helper()
	r.must(r.Hosts[host].Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, each := range addrs {
			if err := netlink.AddrDel(link, &each); err != nil {
				return err
			}
		}
		return nil
	}))
}

// give gives a host's interface an address.
func (r *room) give(host int, name, prefix string) {
	r.Helper()
	p := netip.MustParsePrefix(prefix)
	r.must(r.Hosts[host].Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}})
	}))
}

// rename gives a host's interface another name, as a driver that comes late does.
func (r *room) rename(host int, from, to string) {
	r.Helper()
	r.must(r.Hosts[host].Do(func() error {
		link, err := netlink.LinkByName(from)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(link); err != nil {
			return err
		}
		if err := netlink.LinkSetName(link, to); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	}))
}

// TestAddressComesLate: a client and a server that start before their interface has an address, a
// link, or exists, wait for it and say so.
func TestAddressComesLate(t *testing.T) {
	t.Parallel()
	const noAddress, noInterface, noLink = "waiting for the network: eth0 is up and has no IPv4 address yet",
		"waiting for the network: eth9 does not exist yet", "waiting for the network: eth0 has no link yet"
	for _, c := range []struct {
		name         string
		args         []string
		before, then func(r *room, host int)
		says         string
	}{
		{"no address", nil, func(r *room, host int) { r.flush(host, "eth0") },
			func(r *room, host int) { r.give(host, "eth0", r.Hosts[host].Address.String()) }, noAddress},
		{"no address, named", []string{"-i", "eth0"}, func(r *room, host int) { r.flush(host, "eth0") },
			func(r *room, host int) { r.give(host, "eth0", r.Hosts[host].Address.String()) }, noAddress},
		{"no link", nil, func(r *room, host int) { r.must(r.Hosts[host].Disconnect()) },
			func(r *room, host int) { r.must(r.Hosts[host].Connect()) }, noLink},
		{"no such interface", []string{"-i", "eth9"}, func(r *room, host int) {},
			func(r *room, host int) { r.rename(host, "eth0", "eth9") }, noInterface},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBoth(t, func(t *testing.T, p protocol) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{}, 2*mib)
				r.serve(0)
				c.before(r, 1)
				client := r.receive(1, c.args...)
				r.await("the client says what it waits for", func() bool { return client.hasLogged(c.says) || client.hasEnded() })
				c.then(r, 1)
				finish(client)
			})
			t.Run("the server", func(t *testing.T) {
				t.Parallel()
				r := newRoom(t, lab.Config{}, 2*mib)
				c.before(r, 0)
				s := r.startServer(0, r.image, c.args...)
				if c.says == noLink { // it is no reason to wait: there may be clients on this machine
					s.ready()
				} else {
					r.await("the server says what it waits for", func() bool { return s.hasLogged(c.says) || s.hasEnded() })
				}
				client := r.receive(1)
				c.then(r, 0)
				s.ready()
				finish(client)
			})
		})
	}
}

// TestAddressNeverComes: at its limit a client or server without a network says what was missing.
func TestAddressNeverComes(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, 1)
	r.flush(1, "eth0")
	r.receive(1, "--start-timeout", "1s").fails(exitTimeLimit, "eth0 is up and has no IPv4 address yet")
	r.receive(1, "-i", "eth9", "--start-timeout", "1s").fails(exitTimeLimit, "eth9 does not exist yet", "-i")
	r.startServer(1, r.image, "--interface-timeout", "1s").fails(exitTimeLimit, "eth0 is up and has no IPv4 address yet", "-i")
}
