package rooms

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
)

// TestRefusedClient: a client that refuses its target counts as come, and the server tells of it
// and ends with the status of a room in which not everybody has the image.
func TestRefusedClient(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	s := r.serve(0, "--exit-after-done", "--min-receivers", "2")
	refused := r.receiveTo(1, "/dev/nosuchdisk")
	refused.exits(exitTargetRefused)
	finish(r.receive(2))
	s.exits(exitReceivers)
	end := last[progress.ServerRecord](s.process, progress.EventFailed)
	if want := []string{"done", "refused"}; !slices.Equal(outcomes(end), want) || end.ReceiversRefused != 1 || end.ReceiversFailed != 0 {
		t.Errorf("the server tells of %v, want %v", outcomes(end), want)
	}
	if first := end.Receivers[0]; !strings.Contains(first.Reason, "/dev/nosuchdisk is refused") {
		t.Errorf("the server tells the reason %q", first.Reason)
	}
}

// TestClientTimeout: a client that was stopped longer than reports may be late goes on, with a
// server that ends when all are done; the server names it meanwhile. So does one that was lost.
func TestClientTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		timeout string
		until   func(progress.ServerRecord) bool // it is stopped until then
		exits   bool
	}{
		{"waited for", "60", func(now progress.ServerRecord) bool {
			return len(now.Receivers) > 0 && slices.ContainsFunc(now.Receivers, func(each progress.ReceiverRecord) bool { return each.SilentSeconds > 3 }) &&
				strings.Contains(now.WaitingFor, "silent for")
		}, true},
		{"lost, and back", "2", func(now progress.ServerRecord) bool { return slices.Contains(outcomes(now), "lost") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
			flags := []string{"--min-receivers", "2", "--client-timeout", c.timeout}
			if c.exits {
				flags = append(flags, "--exit-after-done")
			}
			s := r.serve(0, flags...)
			stopped, other := r.receive(1), r.receive(2)
			stopped.reaches(0.3)
			stopped.signal(syscall.SIGSTOP)
			finish(other)
			for !c.until(s.now()) && !s.hasEnded() {
				time.Sleep(100 * time.Millisecond) // the server is asked by a signal
			}
			stopped.signal(syscall.SIGCONT)
			finish(stopped)
			var end progress.ServerRecord
			if c.exits {
				s.exits(0)
				end = last[progress.ServerRecord](s.process, progress.EventDone)
			} else {
				end = s.stop()
			}
			if want := []string{"done", "done"}; !slices.Equal(outcomes(end), want) {
				t.Errorf("the server tells of %v, want %v", outcomes(end), want)
			}
		})
	}
}
