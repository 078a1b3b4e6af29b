package rooms

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
)

func TestServerStartedAgain(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	s := r.serve(0)
	a, b := r.receive(1), r.receive(2)
	a.reaches(0.4)
	b.reaches(0.4)
	s.kill()
	again := r.serve(0)
	finish(a, b)
	if end := again.stop(); end.ImageRatio > 0.75 {
		t.Errorf("after 0.4 of the image the second server sent %v of it: the clients did not go on", end.ImageRatio)
	}
}

// TestServerStartedWithAnotherImage starts a server with another image in the place
// of one that was killed: later, and as fast as a machine can.
func TestServerStartedWithAnotherImage(t *testing.T) {
	for _, c := range []struct {
		what string
		name string
		size int64

		lines []string
	}{
		{what: "name and size", name: "other.img", size: imageBytes - 5000, lines: []string{"other.img", "the.img", "10.77.0.1:7500"}},
		{what: "name", name: "other.img", size: imageBytes, lines: []string{"other.img", "the.img"}},
		{what: "bytes", name: "the.img", size: imageBytes, lines: []string{"the.img"}},
	} {
		for _, pause := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("other %s, after %v", c.what, pause), func(t *testing.T) {
				r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
				r.must(os.Mkdir(r.path("others"), 0o700))
				other := r.newImage(filepath.Join("others", c.name), c.size, 2)
				s := r.serve(0)
				a, b := r.receive(1), r.receive(2)
				a.reaches(0.3)
				b.reaches(0.3)
				s.kill()
				time.Sleep(pause)
				r.serveImage(0, other)
				a.differs(c.lines...)
				b.differs(c.lines...)
			})
		}
	}
}

// TestTwoServers has two servers with different images on one network, whose
// clients receive at the same time.
func TestTwoServers(t *testing.T) {
	const (
		size = 4*mib - 1
		slow = "24M" // so that both streams overlap
	)
	for _, c := range []struct {
		name                  string
		server, first, second []string // flags: of the second server, of the first one's client and of the second's
		oneGroup              bool     // its clients hear both
	}{
		{
			name:     "one group",
			first:    []string{"-s", "10.77.0.1"},
			second:   []string{"-s", "10.77.0.2:7500"},
			oneGroup: true,
		},
		{
			name:     "one group, other control port",
			server:   []string{"-s", "7501"},
			second:   []string{"-s", "7501"},
			oneGroup: true,
		},
		{
			name:   "other port",
			server: []string{"-p", "16001", "-s", "7501"},
			second: []string{"-p", "16001", "-s", "7501"},
		},
		{
			name:   "other port, same control port",
			server: []string{"-p", "16001"},
			first:  []string{"-s", "10.77.0.1"},
			second: []string{"-p", "16001", "-s", "10.77.0.2"},
		},
		{
			// What is sent to a group is heard by those only who ask there.
			name:   "other group",
			server: []string{"-g", "239.1.2.3"},
			second: []string{"-g", "239.1.2.3", "-s", "10.77.0.2"},
			first:  []string{"-s", "10.77.0.1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, lab.Config{Hosts: 4}, size)
			other := r.newImage("other.img", size, 2)
			r.serve(0, "--rate", slow)
			r.serveImage(1, other, append(c.server, "--rate", slow)...)
			first := r.receive(2, c.first...)
			first.reaches(0.1)
			second := r.receive(3, c.second...)
			a, b := first.finishes(), second.finishesWith(other)
			if strangers := a.Strangers + b.Strangers; strangers > 0 != c.oneGroup {
				t.Errorf("%d packets of strangers; hears both: %v", strangers, c.oneGroup)
			}
		})
	}
}

// TestWhichServer: two servers answer one that names none.
func TestWhichServer(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	other := r.newImage("other.img", imageBytes, 2)
	r.serve(0)
	r.serveImage(1, other)
	c := r.receive(2)
	c.differs("10.77.0.1:7500", "the.img", "10.77.0.2:7500", "other.img", "-s HOST")
	if _, err := os.Stat(c.out); err == nil {
		if b := r.content(c.out); len(b) > 0 {
			t.Errorf("%d bytes were written", len(b))
		}
	}
}

func TestSummaryAfterCtrlC(t *testing.T) {
	r := newRoom(t, lab.Config{}, 2*mib)
	s := r.serve(0)
	finish(r.receive(1))
	end := s.stop()
	if end.Exit == nil || *end.Exit != 130 || end.ImageBytesSent < 2*mib || end.ClientsSeen != 1 || len(end.Clients) != 1 {
		t.Errorf("the last object is %+v", end)
	}
	// As a person reads it.
	p := r.prepare(r.Hosts[0], lab.BuildOnce(t).Server, "-f", r.image)
	r.start(p)
	r.await("it serves", func() bool { return strings.Contains(p.stderr.String(), "serving the.img") })
	finish(r.receive(1))
	p.signal(syscall.SIGINT)
	p.exits(130)
	for _, want := range []string{"served the.img for", "to 1 client", "client 10.77.0.2:"} {
		if got := p.stderr.String(); !strings.Contains(got, want) {
			t.Errorf("the summary does not say %q: %s", want, got)
		}
	}
}

func TestControlPortInUse(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 1}, mib)
	s := r.serve(0)
	second := r.prepare(r.Hosts[0], lab.BuildOnce(t).Server, "--json", "-f", r.image)
	r.start(second)
	second.fails(exitFailure, "7500", "multiserver", fmt.Sprint(s.Process.Pid))
}

// TestImageChanges: the image is changed while it is served.
func TestImageChanges(t *testing.T) {
	r := newRoom(t, lab.Config{}, imageBytes)
	s := r.serve(0)
	c := r.receive(1, "--receive-timeout", "2s")
	c.reaches(0.2)
	f, err := os.OpenFile(r.image, os.O_WRONLY|os.O_APPEND, 0)
	r.must(err)
	_, err = f.WriteString("more")
	r.must(err)
	r.must(f.Close())
	s.fails(exitFailure, "the.img", "changed")
	if c.exit() == 0 {
		// It had all before the server saw the change.
		r.must(os.Truncate(r.image, imageBytes))
		r.same(r.image, c.out)
	}
}

// TestPace has a server at two rates, and with pauses. A server may be slower than
// it is told on a machine that is busy, and never faster.
func TestPace(t *testing.T) {
	const size = 3 * mib
	const blocks = size / 1024
	const wireBytes = blocks * (1024 + 12 + 28 + 38)
	var took []float64
	for _, c := range []struct {
		args    []string
		seconds float64 // at least, but for what passes before the first pause
	}{
		{[]string{"--rate", "20M"}, wireBytes * 8 / 20e6},
		{[]string{"--rate", "160M"}, wireBytes * 8 / 160e6},
		{[]string{"--rate", "0", "-d", "250us"}, blocks * 250e-6},
		{[]string{"--rate", "0", "-d", "250000"}, blocks * 250e-6},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			r := newRoom(t, lab.Config{}, size)
			r.serve(0, c.args...)
			end := r.receive(1).finishes()
			took = append(took, end.StreamingSeconds)
			if end.StreamingSeconds < 0.95*c.seconds {
				t.Errorf("the stream took %v s, less than %v s", end.StreamingSeconds, c.seconds)
			}
		})
	}
	if len(took) == 4 && took[0] < 2*took[1] {
		t.Errorf("at an eighth of the rate the stream takes %v s instead of %v s", took[0], took[1])
	}
}

// TestProgressRecords reads what a client prints for programs while it receives.
func TestProgressRecords(t *testing.T) {
	r := newRoom(t, lab.Config{}, imageBytes)
	r.serve(0)
	c := r.receive(1)
	for _, share := range []float64{0.1, 0.3, 0.5} {
		c.reaches(share)
	}
	end := c.finishes()
	var before progress.ClientRecord
	for _, now := range records[progress.ClientRecord](c.process, progress.EventProgress) {
		if now.BytesDone < before.BytesDone || now.BytesDone > now.SizeBytes || now.ElapsedSeconds < before.ElapsedSeconds {
			t.Errorf("after %+v comes %+v", before, now)
		}
		before = now
	}
	if before.BytesDone < imageBytes/2 {
		t.Errorf("the last state is %d bytes", before.BytesDone)
	}
	if end.Exit == nil || *end.Exit != 0 || end.SizeBytes != imageBytes || end.Name != "the.img" || end.Output != c.out ||
		end.Server != "10.77.0.1:7500" || end.Interface != "eth0" || end.StreamingSeconds <= 0 || end.BytesPerSecond == 0 {
		t.Errorf("the last object is %+v", end)
	}
	if text := c.stderr.String(); text != "" {
		t.Errorf("standard error has %q", text)
	}
}
