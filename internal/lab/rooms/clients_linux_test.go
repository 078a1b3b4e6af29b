package rooms

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multiserver/internal/lab"
)

func TestRooms(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		for _, clients := range []int{1, 4, 8} {
			for _, lossPercent := range []float64{0, 1, 5} {
				t.Run(fmt.Sprintf("%d clients, %v%% loss", clients, lossPercent), func(t *testing.T) {
					t.Parallel()
					r := newRoomOf(t, p, lab.Config{Hosts: 1 + clients, LossPercent: lossPercent}, 4*mib+77)
					s := r.serve(0)
					finish(r.receiveAll()...)
					end := s.stop()
					if got := r.seen(end); got != clients {
						t.Errorf("the server tells of %d clients, want %d", got, clients)
					}
					if p == speaksMXB2 && end.ReceiversDone != clients {
						t.Errorf("the server tells of %v, want %d that are done", outcomes(end), clients)
					}
				})
			}
		}
	})
}

// TestRepair: with MXB 2 what is sent is flat in the number of clients and their
// losses.
func TestRepair(t *testing.T) {
	for _, c := range []struct {
		clients     int
		lossPercent float64
		most        float64 // times the image
	}{
		{4, 0, 1.03},
		{4, 1, 1.1},
		{8, 1, 1.1},
		{4, 5, 1.2},
		{8, 5, 1.2},
	} {
		t.Run(fmt.Sprintf("%d clients, %v%% loss", c.clients, c.lossPercent), func(t *testing.T) {
			// Clients that get no CPU ask late: the best of three tells.
			best := math.Inf(1)
			for try := 0; try < 3 && best > c.most; try++ {
				best = min(best, repair(t, c.clients, c.lossPercent))
				t.Logf("sent %.3f times the image", best)
			}
			if best > c.most {
				t.Errorf("the server sent %.3f times the image, want %v at most", best, c.most)
			}
		})
	}
}

// repair returns how many times the image was sent to clients that began together.
func repair(t *testing.T, clients int, lossPercent float64) float64 {
	t.Helper()
	r := newRoom(t, lab.Config{Hosts: 1 + clients, LossPercent: lossPercent}, 1)
	defer r.Close()
	r.fill(24 * mib)
	s := r.serve(0, "--rate", "160M", "--min-receivers", fmt.Sprint(clients))
	finish(r.receiveAll()...)
	return r.times(s.stop())
}

// TestRequestsCoalesce has four clients ask at the same moment: the server was
// stopped while they looked for it.
func TestRequestsCoalesce(t *testing.T) {
	inBoth(t, func(t *testing.T, p protocol) {
		const clients = 4
		r := newRoomOf(t, p, lab.Config{Hosts: 1 + clients}, imageBytes)
		s := r.serve(0)
		s.signal(syscall.SIGSTOP)
		all := r.receiveAll()
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
		if times := r.times(s.stop()); times > 2 {
			t.Errorf("%d clients that asked at once were sent %v times the image", clients, times)
		}
	})
}

func TestLateJoin(t *testing.T) {
	inBoth(t, func(t *testing.T, p protocol) {
		r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
		s := r.serve(0, "--rate", "32M")
		first := r.receive(1)
		first.reaches(0.6)
		second := r.receive(2)
		second.found()
		missed := 1.0
		if !first.hasEnded() {
			missed = r.share(first.now())
		}
		finish(first, second)
		// What the second missed goes once more, whenever it came; the rest is room for
		// clients that the machine holds up, which lose what comes meanwhile.
		end := s.stop()
		if times := r.times(end); times > 1.75+missed || r.seen(end) != 2 {
			t.Errorf("%d clients, %v times the image; want 2, and 1 and the %v that the second missed", r.seen(end), times, missed)
		}
	})
}

func TestKilledClient(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{Hosts: 4, LossPercent: 1}, imageBytes)
		s := r.serve(0)
		victim, a, b := r.receive(1), r.receive(2), r.receive(3)
		victim.reaches(0.4)
		victim.kill()
		finish(a, b)
		// Started again, it gets all of the image, over what it had.
		again := r.receiveTo(1, victim.out)
		finish(again)
		end := s.stop()
		if p == speaksMXB2 && (end.ReceiversSeen != 4 || end.ReceiversDone != 3) {
			t.Errorf("the server tells of %v, want three that are done and one that is not", outcomes(end))
		}
	})
}

func TestStoppedClient(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
		s := r.serve(0)
		stopped, other := r.receive(1), r.receive(2)
		stopped.reaches(0.3)
		stopped.signal(syscall.SIGSTOP)
		pause := time.After(3 * time.Second) // longer than any interval of the protocols
		finish(other)
		<-pause
		stopped.signal(syscall.SIGCONT)
		finish(stopped)
		if end := s.stop(); p == speaksMXB2 && end.ReceiversDone != 2 {
			t.Errorf("the server tells of %v, want two that are done", outcomes(end))
		}
	})
}

// TestSlowPath: the path of one client carries a tenth of what the server sends.
func TestSlowPath(t *testing.T) {
	t.Parallel()
	const (
		queueBytes = 100_000 // as a small switch has
		most       = 3       // times the image
	)
	for _, p := range []protocol{speaksMXB1, speaksMXB2} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			r := newRoomOf(t, p, lab.Config{Hosts: 3}, 8*mib)
			r.must(r.Hosts[0].ShapeUplink(lab.FastEthernet))
			r.must(r.Hosts[1].ShapeDownlink(lab.FastEthernet/10, queueBytes))
			r.serve(0, "--rate", "0")
			before := r.sentBytes(0)
			slow, fast := r.receive(1), r.receive(2)
			finish(fast, slow)
			sent := float64(r.sentBytes(0)-before) / r.carried()
			t.Logf("the server sent %.2f times the image", sent)
			if sent > most {
				t.Errorf("the server sent %.2f times the image, want %v at most", sent, most)
			}
		})
	}
}

// TestCableOut takes the cable out of one host in the middle, and puts it in again.
func TestCableOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		host int
	}{{"of the server", 0}, {"of a client", 1}} {
		t.Run(c.name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, p protocol) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
				r.serve(0)
				near, far := r.receive(1), r.receive(2)
				near.reaches(0.3)
				r.must(r.Hosts[c.host].Disconnect())
				pause := time.After(3 * time.Second) // longer than any interval of the protocols
				if c.host != 0 {
					finish(far)
				}
				<-pause
				r.must(r.Hosts[c.host].Connect())
				finish(near, far)
			})
		})
	}
}

// TestFirewall drops multicast towards one client that does not take unicast: only it
// fails, and says why.
func TestFirewall(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{Hosts: 4}, imageBytes)
		s := r.serve(0, "--data-group", "239.192.3.4")
		r.must(r.Hosts[1].BlockMulticast(true))
		blocked := r.receive(1, "--receive-timeout", "2s", "--unicast", "never")
		finish(r.receive(2), r.receive(3))
		group := "225.0.20.10:16000"
		if p == speaksMXB2 {
			group = "239.192.3.4:16000"
		}
		blocked.fails(exitTimeLimit, "10.77.0.1:7500", group, "firewall")
		// In the middle, too.
		r.must(r.Hosts[1].BlockMulticast(false))
		blocked, other := r.receive(1, "--receive-timeout", "2s", "--unicast", "never"), r.receive(2)
		blocked.reaches(0.3)
		r.must(r.Hosts[1].BlockMulticast(true))
		finish(other)
		blocked.fails(exitTimeLimit, "from 10.77.0.1:7500 for 2s")
		if end := s.stop(); p == speaksMXB2 {
			want := []string{"done", "done", "done", "failed", "restarted"} // one machine, twice
			if !slices.Equal(outcomes(end), want) {
				t.Errorf("the server tells of %v, want %v", outcomes(end), want)
			}
			for _, each := range end.Receivers {
				if each.Outcome == "failed" && !strings.Contains(each.Reason, "10.77.0.1:7500") {
					t.Errorf("the server tells the reason %q", each.Reason)
				}
			}
		}
	})
}
