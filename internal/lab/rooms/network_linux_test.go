package rooms

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"multiserver/internal/lab"
)

// TestUnicast: a client that multicast does not reach, or no longer, gets the image by
// unicast, and does not hold the others up.
func TestUnicast(t *testing.T) {
	t.Parallel()
	t.Run("of one of three", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 4, LossPercent: 1}, imageBytes)
		r.must(r.Hosts[1].BlockMulticast(true))
		s := r.serve(0)
		blocked := r.receive(1)
		finish(r.receive(2), r.receive(3))
		finish(blocked)
		if !blocked.hasLogged("nothing arrives from the multicast group; going on by unicast") {
			t.Error("the client does not say that it goes on by unicast")
		}
		if end := s.stop(); end.ReceiversDone != 3 {
			t.Errorf("the server tells of %v, want three that are done", outcomes(end))
		}
	})
	t.Run("of one in the middle", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
		r.serve(0)
		blocked, other := r.receive(1), r.receive(2)
		blocked.reaches(0.3)
		r.must(r.Hosts[1].BlockMulticast(true))
		finish(other, blocked)
	})
	t.Run("of all", func(t *testing.T) {
		t.Parallel()
		const clients = 3
		r := newRoom(t, lab.Config{Hosts: 1 + clients}, imageBytes)
		for host := range r.Hosts {
			r.must(r.Hosts[host].BlockMulticast(true))
		}
		s := r.serve(0, "--compress", "never") // a block that is half a hole would count for less
		var all []client
		for host := 1; host <= clients; host++ {
			all = append(all, r.receive(host, "-s", "10.77.0.1"))
		}
		finish(all...)
		// Nothing goes to a group that nobody hears. Clients that begin apart miss
		// something of what the first is sent.
		if times := r.times(s.stop()); times < clients || times > 2*clients {
			t.Errorf("the server sent %v times the image to %d clients by unicast", times, clients)
		}
	})
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 4, LossPercent: 1}, imageBytes)
		r.serve(0, "--unicast", "always")
		finish(r.receiveAll()...)
	})
	t.Run("of a client that wants it", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
		r.serve(0)
		finish(r.receive(1, "--unicast", "always"), r.receive(2))
	})
}

// TestPacketsTooLarge: a client whose network card has a smaller MTU than the stream's
// packets says so, and the others have the image.
func TestPacketsTooLarge(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		name := map[bool]string{false: "at the beginning", true: "late"}[late]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 3, MTU: 9000}, imageBytes)
			r.must(r.Hosts[1].Do(func() error {
				link, err := netlink.LinkByName("eth0")
				if err != nil {
					return err
				}
				return netlink.LinkSetMTU(link, 1500)
			}))
			s := r.serve(0, "--mtu", "9000", "--rate", "16M")
			other := r.receive(2)
			if late {
				other.reaches(0.1)
			}
			narrow := r.receive(1)
			finish(other)
			narrow.fails(exitFailure, "packets of 9000 bytes", "MTU")
			if end := s.stop(); end.ReceiversDone != 1 || end.ReceiversRefused != 1 {
				t.Errorf("the server tells of %v, want one that is done and one that refused", outcomes(end))
			}
		})
	}
}

// TestBottleneck: all clients are behind a link of the switch that takes a tenth of what
// the server's own does. The rate is found, with little sent in vain.
func TestBottleneck(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 4}, 1)
	r.fill(16 * mib)
	r.must(r.Hosts[0].ShapeUplink(lab.FastEthernet))
	for _, host := range r.Hosts[1:] {
		r.must(host.ShapeDownlink(lab.FastEthernet/5, 100_000))
	}
	s := r.serve(0, "--rate", "0")
	finish(r.receiveAll()...)
	end := s.stop()
	t.Logf("sent %.2f times the image; at the end limited to %d bits a second by %q", r.times(end), end.RateLimit, end.RateReason)
	// Sent at the server's own rate, it would be five times.
	if times := r.times(end); times > 1.8 {
		t.Errorf("the server sent %.2f times the image", times)
	}
}

// TestSilenceIsExplained: while nothing comes, the client's display says why.
func TestSilenceIsExplained(t *testing.T) {
	t.Parallel()
	t.Run("the server is gone", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 2}, imageBytes)
		s, c := r.serve(0, "--rate", "16M"), r.receive(1)
		c.reaches(0.2)
		s.kill()
		r.await("the client says so", func() bool { return strings.Contains(c.now().WaitingFor, "does not answer either") })
	})
	t.Run("the group is lost", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 2}, imageBytes)
		r.serve(0, "--rate", "16M")
		c := r.receive(1, "--unicast", "never")
		c.reaches(0.2)
		r.must(r.Hosts[1].BlockMulticast(true))
		r.await("the client says so", func() bool { return strings.Contains(c.now().WaitingFor, "is lost") })
	})
	t.Run("the server waits", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 2}, imageBytes)
		r.serve(0, "--min-receivers", "2")
		c := r.receive(1)
		c.found()
		r.await("the client says so", func() bool { return strings.Contains(c.now().WaitingFor, "waits for more clients") })
	})
}
