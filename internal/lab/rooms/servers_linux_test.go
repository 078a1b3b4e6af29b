package rooms

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
)

func TestServerStartedAgain(t *testing.T) {
	r := newRoomOf(t, speaksMXB1, lab.Config{Hosts: 3}, imageBytes)
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

// TestServerStartedAgainHalfway is the same with MXB 2, whose clients keep blocks
// that are complete and drop the others, of which the stream has 16 MiB at a time.
func TestServerStartedAgainHalfway(t *testing.T) {
	const size = 96 * mib
	r := newRoom(t, lab.Config{Hosts: 3}, 1)
	r.fill(size)
	s := r.serve(0, "--rate", "120M")
	a, b := r.receive(1), r.receive(2)
	half := a.reaches(0.5)
	b.reaches(0.5)
	s.kill()
	again := r.serve(0, "--rate", "120M")
	finish(a, b)
	end := again.stop()
	sent := float64(half.PacketsReceived*symbolBytes+end.ImageBytesSent) / size
	t.Logf("sent %.3f times the image", sent)
	if sent > 1.3 {
		t.Errorf("both servers sent %.3f times the image, want 1.3 at most", sent)
	}
	if !a.hasLogged("the server was started again") || end.ReceiversDone != 2 {
		t.Errorf("the second server tells of %v", outcomes(end))
	}
}

// TestServerStopped: Ctrl-C at the server ends its clients of MXB 2 at once.
func TestServerStopped(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	s := r.serve(0)
	a, b := r.receive(1, "--receive-timeout", "0"), r.receive(2, "--receive-timeout", "0")
	a.reaches(0.3)
	s.stop()
	for _, c := range []client{a, b} {
		c.fails(exitFailure, "the.img", "10.77.0.1:7500", "the server was stopped")
	}
}

// TestServerStartedWithAnotherImage starts a server with another image in the place
// of one that was killed: later, and as fast as a machine can.
func TestServerStartedWithAnotherImage(t *testing.T) {
	t.Parallel()
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
				t.Parallel()
				inBoth(t, func(t *testing.T, p protocol) {
					t.Parallel()
					r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
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
			})
		}
	}
}

// TestTwoServers has two servers with different images on one network, whose
// clients receive at the same time. The streams of MXB 2 are in groups of their
// own, unless they are told one.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	const (
		size = 4*mib - 1
		slow = "24M" // so that both streams overlap
	)
	for _, c := range []struct {
		name                  string
		server, first, second []string // flags: of the second server, of the first one's client and of the second's
		oneGroup              bool     // clients of MXB 1 hear both
		only                  protocol // the one that its flags concern; both if empty
		both                  []string // flags of both servers
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
			only:   speaksMXB1,
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
			only:   speaksMXB1,
		},
		{
			name:   "one data group",
			both:   []string{"--data-group", "239.192.1.1"},
			first:  []string{"-s", "10.77.0.1"},
			second: []string{"-s", "10.77.0.2"},
			only:   speaksMXB2,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			test := func(t *testing.T, p protocol) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{Hosts: 4}, size)
				other := r.newImage("other.img", size, 2)
				flags := append([]string{"--rate", slow}, c.both...)
				r.serve(0, flags...)
				r.serveImage(1, other, append(flags, c.server...)...)
				first := r.receive(2, c.first...)
				first.reaches(0.1)
				second := r.receive(3, c.second...)
				a, b := first.finishes(), second.finishesWith(other)
				// Over MXB 2 a client joins the group for its server's address alone.
				hearsBoth := c.oneGroup && p == speaksMXB1
				if strangers := a.Strangers + b.Strangers; strangers > 0 != hearsBoth {
					t.Errorf("%d packets of strangers; hears both: %v", strangers, hearsBoth)
				}
			}
			if c.only != "" {
				test(t, c.only)
				return
			}
			inBoth(t, test)
		})
	}
}

// TestWhichServer: two servers answer one that names none.
func TestWhichServer(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	other := r.newImage("other.img", imageBytes, 2)
	r.serve(0)
	r.serveImage(1, other)
	c := r.receive(2)
	c.differs("10.77.0.1:7500", "the.img", "10.77.0.2:7500", "other.img", "with -s")
	if _, err := os.Stat(c.out); err == nil {
		if b := r.content(c.out); len(b) > 0 {
			t.Errorf("%d bytes were written", len(b))
		}
	}
}

func TestSummaryAfterCtrlC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol
		says []string // as a person reads it
	}{
		{speaksMXB1, []string{"served the.img for", "to 1 client", "client 10.77.0.2:"}},
		{speaksMXB2, []string{"served the.img for", "10.77.0.2:", "done"}},
	} {
		t.Run(string(c.protocol), func(t *testing.T) {
			r := newRoomOf(t, c.protocol, lab.Config{}, 2*mib)
			s := r.serve(0, "--compress", "never") // what is carried is counted in plain bytes
			finish(r.receive(1))
			end := s.stop()
			if end.Exit == nil || *end.Exit != 130 || end.ImageBytesSent < uint64(r.carried()) || r.seen(end) != 1 || len(end.Clients)+len(end.Receivers) != 1 {
				t.Errorf("the last object is %+v", end)
			}
			p := r.prepare(r.Hosts[0], lab.BuildOnce(t).Server, "-f", r.image)
			r.start(p)
			r.await("it serves", func() bool { return strings.Contains(p.stderr.String(), "serving the.img") })
			finish(r.receive(1))
			p.signal(syscall.SIGINT)
			p.exits(130)
			for _, want := range c.says {
				if got := p.stderr.String(); !strings.Contains(got, want) {
					t.Errorf("the summary does not say %q: %s", want, got)
				}
			}
		})
	}
}

func TestControlPortInUse(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 1}, mib)
	s := r.serve(0)
	second := r.prepare(r.Hosts[0], lab.BuildOnce(t).Server, "--json", "-f", r.image)
	r.start(second)
	second.fails(exitFailure, "7500", "multiserver", fmt.Sprint(s.Process.Pid))
}

// TestImageChanges: the image is changed while it is served.
func TestImageChanges(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		r := newRoomOf(t, p, lab.Config{}, imageBytes)
		s := r.serve(0, "--rate", "24M")
		c := r.receive(1, "--receive-timeout", "2s")
		c.reaches(0.2)
		f, err := os.OpenFile(r.image, os.O_WRONLY|os.O_APPEND, 0)
		r.must(err)
		_, err = f.WriteString("more")
		r.must(err)
		r.must(f.Close())
		s.fails(exitFailure, "the.img", "changed")
		if p == speaksMXB2 {
			c.differs("the.img", "10.77.0.1:7500", "the image changed while it was served")
			end := last[progress.ServerRecord](s.process, progress.EventFailed)
			if end.ReceiversDone != 0 || end.ReceiversSeen != 1 {
				t.Errorf("the server tells of %v", outcomes(end))
			}
		} else if c.exit() == 0 {
			// It had all before the server saw the change.
			r.must(os.Truncate(r.image, imageBytes))
			r.same(r.image, c.out)
		}
	})
}

// TestExitAfterDone: the server ends when all that came have ended, and its status
// reports whether all have the image.
func TestExitAfterDone(t *testing.T) {
	t.Parallel()
	t.Run("all done", func(t *testing.T) {
		r := newRoom(t, lab.Config{Hosts: 4, LossPercent: 1}, imageBytes)
		s := r.serve(0, "--exit-after-done", "--min-receivers", "3")
		finish(r.receiveAll()...)
		s.exits(0)
		if end := last[progress.ServerRecord](s.process, progress.EventDone); end.ReceiversDone != 3 {
			t.Errorf("the server tells of %v", outcomes(end))
		}
	})
	t.Run("one killed", func(t *testing.T) {
		r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
		s := r.serve(0, "--exit-after-done", "--min-receivers", "3", "--client-timeout", "3")
		all := r.receiveAll()
		all[0].reaches(0.3)
		all[0].kill()
		finish(all[1:]...)
		s.exits(exitReceivers)
		end := last[progress.ServerRecord](s.process, progress.EventFailed)
		if want := []string{"done", "done", "lost"}; !slices.Equal(outcomes(end), want) {
			t.Errorf("the server tells of %v, want %v", outcomes(end), want)
		}
	})
	t.Run("one interrupted, one whose reader has gone", func(t *testing.T) {
		r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
		s := r.serve(0, "--exit-after-done", "--min-receivers", "3", "--rate", "32M")
		interrupted, done, broken := r.receive(1), r.receive(2), r.prepareClient(3, "-o", "-")
		read, write, err := os.Pipe()
		r.must(err)
		broken.Stdout = write
		r.start(broken.process)
		r.must(write.Close())
		r.must(read.Close())
		interrupted.reaches(0.3)
		interrupted.signal(syscall.SIGINT)
		interrupted.exits(130)
		broken.exits(exitTargetIO)
		finish(done)
		s.exits(exitReceivers)
		end := last[progress.ServerRecord](s.process, progress.EventFailed)
		if want := []string{"done", "failed", "interrupted"}; !slices.Equal(outcomes(end), want) {
			t.Errorf("the server tells of %v, want %v", outcomes(end), want)
		}
		for _, each := range end.Receivers {
			if each.Outcome == "failed" && !strings.Contains(each.Reason, "standard output") {
				t.Errorf("the server tells the reason %q", each.Reason)
			}
		}
	})
}

// TestMinReceivers holds the stream until so many clients are there.
func TestMinReceivers(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
	s := r.serve(0, "--min-receivers", "3")
	a, b := r.receive(1), r.receive(2)
	a.found()
	b.found()
	time.Sleep(time.Second) // what must not happen has this long to happen
	if now := s.now(); now.ImageBytesSent > 0 || now.ReceiversReceiving != 2 {
		t.Errorf("with %v the server has sent %d bytes", outcomes(now), now.ImageBytesSent)
	}
	finish(a, b, r.receive(3))
	if times := r.times(s.stop()); times > 1.05 {
		t.Errorf("three that began together were sent %v times the image", times)
	}
	// Or until so much time has passed.
	s = r.serve(0, "--min-receivers", "3", "--max-wait", "1s")
	finish(r.receive(1))
	s.stop()
}

// TestPace has a server at two rates, and with pauses. A server may be slower than
// it is told on a machine that is busy, and never faster.
func TestPace(t *testing.T) {
	const (
		size   = 3 * mib
		search = 0.06 // seconds that a client waits for other servers
	)
	inBoth(t, func(t *testing.T, p protocol) {
		packets, wireBytes := float64(size/1024), 1024+12+28+38.0
		if p == speaksMXB2 {
			packets, wireBytes = size/symbolBytes, symbolBytes+28+28+38
		}
		var took []float64
		for _, c := range []struct {
			args    []string
			seconds float64 // at least, but for what passes before the first pause
		}{
			{[]string{"--rate", "20M"}, packets * wireBytes * 8 / 20e6},
			{[]string{"--rate", "160M"}, packets * wireBytes * 8 / 160e6},
			{[]string{"--rate", "0", "-d", "250us"}, packets * 250e-6},
			{[]string{"--rate", "0", "-d", "250000"}, packets * 250e-6},
		} {
			t.Run(strings.Join(c.args, " "), func(t *testing.T) {
				r := newRoomOf(t, p, lab.Config{}, 1)
				r.fill(size)
				r.serve(0, c.args...)
				end := r.receive(1).finishes()
				seconds := end.ElapsedSeconds - search
				took = append(took, seconds)
				if seconds < 0.95*c.seconds {
					t.Errorf("the stream took %v s, less than %v s", seconds, c.seconds)
				}
			})
		}
		if len(took) == 4 && took[0] < 2*took[1] {
			t.Errorf("at an eighth of the rate the stream takes %v s instead of %v s", took[0], took[1])
		}
	})
}

// TestTTL: the stream may pass as many routers as it is told, less one.
func TestTTL(t *testing.T) {
	t.Parallel()
	const dataGroup = "239.192.3.4"
	for p, group := range map[protocol]string{speaksMXB1: "225.0.20.10", speaksMXB2: dataGroup} {
		for want, args := range map[int][]string{1: nil, 7: {"--ttl", "7"}} {
			t.Run(fmt.Sprintf("%s, %d", p, want), func(t *testing.T) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{Hosts: 3}, mib)
				hearer := r.hearTTL(2, group)
				r.serve(0, append(args, "--data-group", dataGroup)...)
				finish(r.receive(1))
				r.must(hearer.SetReadDeadline(time.Now().Add(giveUp)))
				_, control, _, err := hearer.ReadFrom(make([]byte, 2048))
				r.must(err)
				if control.TTL != want {
					t.Errorf("a packet of the stream has TTL %d, want %d", control.TTL, want)
				}
			})
		}
	}
}

// hearTTL opens a socket in a host that hears a stream's group.
func (r *room) hearTTL(host int, group string) *ipv4.PacketConn {
	r.Helper()
	var hearer *ipv4.PacketConn
	r.must(r.Hosts[host].Do(func() error {
		socket, err := net.ListenPacket("udp4", ":16000")
		if err != nil {
			return err
		}
		r.Cleanup(func() { socket.Close() })
		hearer = ipv4.NewPacketConn(socket)
		return errors.Join(
			hearer.SetControlMessage(ipv4.FlagTTL, true),
			hearer.JoinGroup(&net.Interface{Index: r.Hosts[host].Index}, &net.UDPAddr{IP: net.ParseIP(group)}))
	}))
	return hearer
}

// TestProgressRecords reads what a client prints for programs while it receives.
func TestProgressRecords(t *testing.T) {
	t.Parallel()
	inBoth(t, progressRecords)
}

func progressRecords(t *testing.T, p protocol) {
	// More blocks than the stream of MXB 2 has side by side.
	const imageBytes = 40*mib - 333
	r := newRoomOf(t, p, lab.Config{}, imageBytes)
	r.serve(0, "--rate", "256M")
	c := r.receive(1)
	for _, share := range []float64{0.1, 0.3, 0.7} {
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
	if before.BytesDone < imageBytes/3 {
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
