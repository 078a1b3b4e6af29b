package rooms

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"multiserver/internal/lab"
)

func TestRooms(t *testing.T) {
	for _, clients := range []int{1, 4, 8} {
		for _, lossPercent := range []float64{0, 1, 5} {
			t.Run(fmt.Sprintf("%d clients, %v%% loss", clients, lossPercent), func(t *testing.T) {
				r := newRoom(t, lab.Config{Hosts: 1 + clients, LossPercent: lossPercent}, 4*mib+77)
				r.serve(0)
				var all []client
				for host := 1; host <= clients; host++ {
					all = append(all, r.receive(host))
				}
				finish(all...)
			})
		}
	}
}

// TestRequestsCoalesce has four clients ask at the same moment: the server was
// stopped while they looked for it.
func TestRequestsCoalesce(t *testing.T) {
	const clients = 4
	r := newRoom(t, lab.Config{Hosts: 1 + clients}, imageBytes)
	s := r.serve(0)
	s.signal(syscall.SIGSTOP)
	var all []client
	for host := 1; host <= clients; host++ {
		all = append(all, r.receive(host))
	}
	r.await("all clients have asked", func() bool {
		for host := 1; host <= clients; host++ {
			if r.sentBytes(host) == 0 {
				return false
			}
		}
		return true
	})
	s.signal(syscall.SIGCONT)
	finish(all...)
	// They are told apart by milliseconds; one after the other it would be 4.
	if end := s.stop(); end.ImageRatio > 2 {
		t.Errorf("%d clients that asked at once were sent %v times the image", clients, end.ImageRatio)
	}
}

func TestLateJoin(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	s := r.serve(0)
	first := r.receive(1)
	first.reaches(0.6)
	second := r.receive(2)
	finish(first, second)
	// What the second missed goes once more, whenever it came.
	if end := s.stop(); end.ImageRatio > 2.1 || end.ClientsSeen != 2 {
		t.Errorf("%d clients, %v times the image; want 2, and 2.1 at most", end.ClientsSeen, end.ImageRatio)
	}
}

func TestKilledClient(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 4, LossPercent: 1}, imageBytes)
	s := r.serve(0)
	victim, a, b := r.receive(1), r.receive(2), r.receive(3)
	victim.reaches(0.4)
	victim.kill()
	finish(a, b)
	// Started again, it gets all of the image, over what it had.
	again := r.receiveTo(1, victim.out)
	finish(again)
	s.stop()
}

func TestStoppedClient(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	r.serve(0)
	stopped, other := r.receive(1), r.receive(2)
	stopped.reaches(0.3)
	stopped.signal(syscall.SIGSTOP)
	pause := time.After(2 * time.Second) // longer than any interval of the protocol
	finish(other)
	<-pause
	stopped.signal(syscall.SIGCONT)
	finish(stopped)
}

// TestSlowPath: the path of one client carries a tenth of what the server sends.
func TestSlowPath(t *testing.T) {
	t.Parallel()
	const queueBytes = 100_000 // as a small switch has
	r := newRoom(t, lab.Config{Hosts: 3}, 8*mib)
	r.must(r.Hosts[0].ShapeUplink(lab.FastEthernet))
	r.must(r.Hosts[1].ShapeDownlink(lab.FastEthernet/10, queueBytes))
	r.serve(0, "--rate", "0")
	before := r.sentBytes(0)
	slow, fast := r.receive(1), r.receive(2)
	finish(fast, slow)
	sent := float64(r.sentBytes(0)-before) / (8 * mib)
	t.Logf("the server sent %.2f times the image", sent)
	if sent > 3 {
		t.Errorf("the server sent %.2f times the image, want 3 at most", sent)
	}
}

// TestCableOut takes the cable out of one host in the middle, and puts it in again.
func TestCableOut(t *testing.T) {
	for _, c := range []struct {
		name string
		host int
	}{{"of the server", 0}, {"of a client", 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
			r.serve(0)
			near, far := r.receive(1), r.receive(2)
			near.reaches(0.3)
			r.must(r.Hosts[c.host].Disconnect())
			pause := time.After(2 * time.Second) // longer than any interval of the protocol
			if c.host != 0 {
				finish(far)
			}
			<-pause
			r.must(r.Hosts[c.host].Connect())
			finish(near, far)
		})
	}
}

// TestFirewall drops multicast towards one client: only it fails, and says why.
func TestFirewall(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
	r.serve(0)
	r.must(r.Hosts[1].BlockMulticast(true))
	blocked := r.receive(1, "--receive-timeout", "2s")
	finish(r.receive(2), r.receive(3))
	blocked.fails(exitTimeLimit, "225.0.20.10:16000", "firewall")
	// In the middle, too.
	r.must(r.Hosts[1].BlockMulticast(false))
	blocked, other := r.receive(1, "--receive-timeout", "2s"), r.receive(2)
	blocked.reaches(0.3)
	r.must(r.Hosts[1].BlockMulticast(true))
	finish(other)
	blocked.fails(exitTimeLimit, "no block from 10.77.0.1:7500")
}
