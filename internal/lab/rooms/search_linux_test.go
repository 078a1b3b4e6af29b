package rooms

import (
	"testing"

	"multiserver/internal/lab"
)

// TestNoServer: a client that nobody answers ends within its limit and says where
// it asked.
func TestNoServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"anywhere", nil, []string{"eth0", "7500", "multiserver running", "-i", "firewall"}},
		{"at a host", []string{"-s", "10.77.0.1"}, []string{"10.77.0.1", "7500", "firewall"}},
		{"at an address that nobody has", []string{"-s", "10.77.0.99"}, []string{"10.77.0.99"}},
		{"on another port", []string{"-s", "10.77.0.1:7501"}, []string{"10.77.0.1", "7501"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{}, 1)
			client := r.receive(1, append(c.args, "--start-timeout", "2s")...)
			client.fails(exitTimeLimit, c.says...)
			r.hasOnly(r.dir, "the.img")
		})
	}
}

// TestWrongInterface: the interface that is named leads nowhere.
func TestWrongInterface(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	_, err := r.AddNetwork(r.Hosts[1])
	r.must(err)
	r.serve(0)
	r.receive(1, "-i", "eth1", "--start-timeout", "2s").fails(exitTimeLimit, "eth1", "-i")
	r.receive(1, "-i", "eth7", "--start-timeout", "1s").fails(exitTimeLimit, "eth7", "eth0, eth1")
	finish(r.receive(1, "-i", "eth0"))
}

// TestLateServer: the client was there first. Limits of 0 are none.
func TestLateServer(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		for _, args := range [][]string{nil, {"-s", "10.77.0.1"}, {"--start-timeout", "0", "--receive-timeout", "0"}} {
			r := newRoomOf(t, p, lab.Config{}, 2*mib)
			c := r.receive(1, args...)
			r.await("the client has asked", func() bool { return r.sentBytes(1) > 0 })
			s := r.serve(0)
			finish(c)
			s.stop()
		}
	})
}

// TestTwoInterfaces has hosts with two networks, of which one or both join them,
// and names no interface.
func TestTwoInterfaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		second []int    // hosts on eth1: 0 the server, 1 and 2 clients
		server []string // flags
		client []string
		on     string // where the stream must come
	}{
		{name: "the client's second leads nowhere", second: []int{1}, on: "eth0"},
		{name: "the server is on the client's second", second: []int{0, 1}, server: []string{"-i", "eth1"}, on: "eth1"},
		{name: "the server's second leads nowhere", second: []int{0}, on: "eth0"},
		{name: "the client is on the server's second", second: []int{0, 1}, client: []string{"-i", "eth1"}, on: "eth1"},
		{name: "the server is asked by its second address", second: []int{0, 1}, client: []string{"-s", "10.78.0.1"}, on: "eth1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, p protocol) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{Hosts: 2}, 2*mib)
				var hosts []*lab.Host
				for _, h := range c.second {
					hosts = append(hosts, r.Hosts[h])
				}
				_, err := r.AddNetwork(hosts...)
				r.must(err)
				s := r.serve(0, c.server...)
				end := r.receive(1, c.client...).finishes()
				if end.Interface != c.on {
					t.Errorf("the client received on %s, want %s", end.Interface, c.on)
				}
				if len(c.second) == 2 || c.second[0] == 0 {
					if got := s.stop().Interface; got != c.on {
						t.Errorf("the server sent on %s, want %s", got, c.on)
					}
				}
			})
		})
	}
	t.Run("both lead to the server", func(t *testing.T) {
		inBoth(t, func(t *testing.T, p protocol) {
			t.Parallel()
			r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
			_, err := r.AddNetwork(r.Hosts...)
			r.must(err)
			r.serve(0)
			finish(r.receiveAll()...)
		})
	})
}

// TestSecondNetwork: a server without -i serves the networks that clients ask from,
// MXB 1 one at a time, and says so.
func TestSecondNetwork(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
		_, err := r.AddNetwork(r.Hosts[0], r.Hosts[2])
		r.must(err)
		s := r.serve(0, "--rate", "24M")
		first := r.receive(1)
		first.reaches(0.1)
		if p == speaksMXB2 {
			finish(first, r.receive(2, "-i", "eth1"))
			if got := s.stop().Interface; got != "eth0, eth1" && got != "eth1" {
				t.Errorf("the server sent on %s, want eth1 too", got)
			}
			return
		}
		second := r.receive(2, "-i", "eth1", "--receive-timeout", "2s")
		second.fails(exitTimeLimit, "from 10.78.0.1:7500")
		if !s.hasLogged("a client asks from another network") {
			t.Error("the server does not say that it serves another network")
		}
		finish(first)
	})
}

// TestSnoopingSwitch: the switch passes the stream on only to those who joined.
func TestSnoopingSwitch(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		r := newRoomOf(t, p, lab.Config{Hosts: 3}, 2*mib)
		network, err := r.AddNetwork(r.Hosts...)
		r.must(err)
		r.must(network.SetQuerier(true))
		r.serve(0, "-i", "eth1")
		finish(r.receive(1, "-i", "eth1"))
	})
}
