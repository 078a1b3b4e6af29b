package rooms

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
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

// TestAddressChanges: an address that changes in the middle of a transfer, at a client or at the
// server, ends nothing, and the server counts each client once.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	const another = "10.77.0.99/24"
	for _, c := range []struct {
		name  string
		hosts int // with the server's
		args  []string
		host  int    // whose address changes
		says  string // at the client in host 1
	}{
		{name: "of a client alone", hosts: 2, host: 1, says: "this machine's network has changed"},
		{name: "of a client beside another", hosts: 3, host: 1, says: "this machine's network has changed"},
		{name: "of a client by unicast", hosts: 2, args: []string{"--unicast", "always"}, host: 1, says: "this machine's network has changed"},
		{name: "of the server", hosts: 3, host: 0, says: "the server's address is now 10.77.0.99:7500"},
		{name: "of the server by unicast", hosts: 2, args: []string{"--unicast", "always"}, host: 0, says: "the server's address is now 10.77.0.99:7500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: c.hosts}, imageBytes)
			s := r.serve(0, append(c.args, "--rate", "12M", "--exit-after-done", "--min-receivers", strconv.Itoa(c.hosts-1))...)
			clients := r.receiveAll()
			clients[0].reaches(0.3)
			r.flush(c.host, "eth0")
			r.give(c.host, "eth0", another)
			finish(clients...)
			s.exits(0)
			if end := last[progress.ServerRecord](s.process, progress.EventDone); end.ReceiversSeen != c.hosts-1 || end.ReceiversDone != c.hosts-1 {
				t.Errorf("the server tells of %v, want %d that are done", outcomes(end), c.hosts-1)
			}
			if !clients[0].hasLogged(c.says) {
				t.Errorf("the client does not say %q", c.says)
			}
		})
	}
	t.Run("over MXB 1", func(t *testing.T) {
		t.Parallel()
		r := newRoomOf(t, speaksMXB1, lab.Config{Hosts: 2}, 2*mib)
		r.serve(0, "--rate", "8M")
		client := r.receive(1)
		client.reaches(0.3)
		r.flush(1, "eth0")
		r.give(1, "eth0", another)
		finish(client)
	})
}

// TestAddressGone: a network that is interrupted for a while, at a client or at the server, is waited
// for. Who is at fault is said; at the client's limit too.
func TestAddressGone(t *testing.T) {
	t.Parallel()
	const says = "this machine's network is interrupted: eth0 is up and has no IPv4 address"
	for host, name := range []string{"the server's", "a client's"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 2}, 4*mib)
			s := r.serve(0, "--rate", "12M")
			client := r.receive(1)
			client.reaches(0.2)
			r.flush(host, "eth0")
			at := []*process{s.process, client.process}[host]
			r.await(at.title+" says so", func() bool { return at.hasLogged(says) || at.hasEnded() })
			if host == 1 {
				r.await("the client's figures say so", func() bool { return strings.Contains(client.now().WaitingFor, says) })
			}
			r.give(host, "eth0", r.Hosts[host].Address.String())
			finish(client)
			if end := s.stop(); end.ReceiversSeen != 1 || end.ReceiversDone != 1 {
				t.Errorf("the server tells of %v, want one that is done", outcomes(end))
			}
		})
	}
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 2}, 4*mib)
		r.serve(0, "--rate", "12M")
		client := r.receive(1, "--receive-timeout", "2s")
		client.reaches(0.2)
		r.must(r.Hosts[1].Disconnect())
		client.fails(exitTimeLimit, "this machine's network is interrupted: eth0 has no link")
	})
}

// TestInterfaceComesLater: a server that names no interface serves a network that comes while it
// runs.
func TestInterfaceComesLater(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 2}, 2*mib)
	r.flush(1, "eth0") // so the new network is the only way
	s := r.serve(0)
	_, err := r.AddNetwork(r.Hosts...)
	r.must(err)
	r.await("the server listens there", func() bool { return s.hasLogged("listening on eth1 too") })
	finish(r.receive(1, "-i", "eth1"))
}

// askForHardwareAddress makes a host forget its neighbours' hardware addresses, so that it asks.
func (r *room) askForHardwareAddress(host int) {
	r.Helper()
	r.must(r.Hosts[host].Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		known, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, each := range known {
			if each.IP.IsMulticast() || each.State&netlink.NUD_NOARP != 0 {
				continue
			}
			if err := netlink.NeighDel(&each); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		return nil
	}))
}

// TestTwoMachinesWithOneAddress: by unicast they crawl. The server and both clients say why, in the
// same words; of machines with addresses of their own nobody says so.
func TestTwoMachinesWithOneAddress(t *testing.T) {
	t.Parallel()
	const says = "10.77.0.99 is the address of two machines, both named "
	r := newRoom(t, lab.Config{Hosts: 4}, 4*mib)
	for _, host := range []int{1, 2} {
		r.flush(host, "eth0")
		r.give(host, "eth0", "10.77.0.99/24")
	}
	s := r.serve(0, "--unicast", "always", "--rate", "1M")
	other := r.receive(3)
	clones := []client{r.receive(1), r.receive(2)}
	turn, next := 0, time.Now()
	r.await("both sides say it", func() bool {
		// The system asks anew for the server's hardware address, as it does each minute or so; the
		// server then sends to that machine. It does not change its mind twice in a second.
		if time.Now().After(next) {
			r.askForHardwareAddress(1 + turn%2)
			turn, next = turn+1, time.Now().Add(2*time.Second)
		}
		return s.hasLogged(says) && clones[0].hasLogged(says) && clones[1].hasLogged(says)
	})
	sharing := 0
	r.await("the rows say it", func() bool {
		sharing = 0
		for _, each := range s.now().Receivers {
			if each.SharesAddress != strings.HasPrefix(each.Addr, "10.77.0.99:") {
				return false
			}
			if each.SharesAddress {
				sharing++
			}
		}
		return sharing == 2
	})
	if other.hasLogged("is the address of two machines") {
		t.Error("a client with an address of its own says it too")
	}
}
