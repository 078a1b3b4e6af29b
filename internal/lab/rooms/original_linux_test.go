package rooms

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
)

// originalClient is the client of 2012.
type originalClient struct {
	*process
	out string
}

// receiveOriginal starts one in a host. It asks host 0.
func (r *room) receiveOriginal(host int, args ...string) originalClient {
	r.Helper()
	out := r.path(fmt.Sprintf("out%d", len(r.processes)))
	args = append([]string{"client", "-i", "eth0", "-s", "10.77.0.1", "-t", "200", "-o", out}, args...)
	p := r.prepare(r.Hosts[host], r.originalProgram(), args...)
	r.start(p)
	return originalClient{p, out}
}

// finishes waits for its success and compares. Its status is 99 if it was sent a
// block past the end, and 98 if it was told a name with a folder in it.
func (c originalClient) finishes() {
	c.room.Helper()
	c.exits(0)
	c.room.same(c.room.image, c.out)
}

// serveOriginal starts the server of 2012 in a host whose link is a slow one, and
// returns when its sockets are open. It runs in the room's folder, and path is
// what it describes.
func (r *room) serveOriginal(host int, path string, args ...string) *process {
	r.Helper()
	r.must(r.Hosts[host].ShapeUplink(64_000_000)) // it has no pace of its own
	r.originals[fmt.Sprintf("10.77.0.%d", host+1)] = true
	args = append([]string{"server", "-i", "eth0", "-f", path}, args...)
	p := r.prepare(r.Hosts[host], r.originalProgram(), args...)
	r.start(p)
	r.await(p.title+" serves", func() bool { return len(p.stdout.lines()) > 0 || p.hasEnded() })
	if p.hasEnded() {
		r.Fatalf("%s: ended instead of serving", p.title)
	}
	return p
}

// TestOriginalClients has clients of 2012 at our server.
func TestOriginalClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size    int64
		clients int
		loss    float64
	}{
		{100_000, 1, 0},
		{1, 1, 0},
		{1024, 1, 0},
		{16 * mib, 1, 0},
		{imageBytes, 3, 0},
		{imageBytes, 1, 1},
		{imageBytes, 3, 1},
	} {
		t.Run(fmt.Sprintf("%d of %d bytes, %v%% loss", c.clients, c.size, c.loss), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 1 + c.clients, LossPercent: c.loss}, c.size)
			r.serve(0, "--rate", "200M")
			var all []originalClient
			for host := 1; host <= c.clients; host++ {
				all = append(all, r.receiveOriginal(host))
			}
			for _, each := range all {
				each.finishes()
			}
		})
	}
}

func TestOriginalClientJoinsLate(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	s := r.serve(0)
	first := r.receiveOriginal(1)
	r.await("60% are sent", func() bool { return s.now().ImageRatio >= 0.6 })
	second := r.receiveOriginal(2)
	first.finishes()
	second.finishes()
}

// TestOriginalClientWithoutOutput: without -o it must be told no folder.
func TestOriginalClientWithoutOutput(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.serve(0)
	p := r.prepare(r.Hosts[1], r.originalProgram(), "client", "-i", "eth0", "-s", "10.77.0.1", "-t", "200")
	folder := r.path("here")
	r.must(os.Mkdir(folder, 0o700))
	p.Dir = folder
	r.start(p)
	originalClient{p, folder + "/the.img"}.finishes()
}

// TestMixedRoom has clients of all three kinds at one of our servers, some of them
// late.
func TestMixedRoom(t *testing.T) {
	t.Parallel()
	for _, loss := range []float64{0, 1} {
		t.Run(fmt.Sprintf("%v%% loss", loss), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 7, LossPercent: loss}, imageBytes)
			s := r.serve(0)
			old, mxb1, mxb2 := r.receiveOriginal(1), r.receive(2, "--mxb1"), r.receive(3)
			mxb2.reaches(0.5)
			lateOld, lateMXB1, lateMXB2 := r.receiveOriginal(4), r.receive(5, "--mxb1"), r.receive(6)
			finish(mxb2, lateMXB2, mxb1, lateMXB1)
			old.finishes()
			lateOld.finishes()
			end := s.stop()
			// An original that hears all of the image never asks.
			if end.ClientsSeen < 2 || end.ClientsSeen > 4 || !slices.Equal(outcomes(end), []string{"done", "done"}) {
				t.Errorf("%d clients of MXB 1 and of MXB 2 %v; want 2 to 4, and two that are done", end.ClientsSeen, outcomes(end))
			}
		})
	}
}

// TestOriginalServer has our clients at a server of 2012.
func TestOriginalServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size    int64
		clients int
		loss    float64
		client  []string
		server  []string
	}{
		{size: 4*mib - 7, clients: 1},
		{size: 4*mib - 7, clients: 1, client: []string{"-s", "10.77.0.1"}},
		{size: mib, clients: 1, server: []string{"-d", "50000"}},
		{size: 100_000, clients: 1, loss: 5},
		{size: 4*mib - 7, clients: 1, loss: 1},
		{size: 4*mib - 7, clients: 2, loss: 1},
		{size: mib, clients: 1}, // after a whole last block comes an empty one
	} {
		t.Run(fmt.Sprintf("%d of %d bytes, %v%% loss, %s%s", c.clients, c.size, c.loss, c.client, c.server), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 1 + c.clients, LossPercent: c.loss}, c.size)
			r.serveOriginal(0, "the.img", c.server...)
			var all []client
			for host := 1; host <= c.clients; host++ {
				all = append(all, r.receive(host, append([]string{"-t", "200"}, c.client...)...))
			}
			finish(all...)
		})
	}
}

// TestOriginalServerIsNotFlooded has two clients at a server of 2012, which hangs if
// they ask for more than it can queue: two of 2012, for comparison, then two of ours,
// and one of each.
func TestOriginalServerIsNotFlooded(t *testing.T) {
	const (
		runs = 5   // of each pair: one run may be lucky
		most = 1.3 // times what two clients of 2012 cause
	)
	for _, loss := range []float64{1, 5} {
		t.Run(fmt.Sprintf("%v%% loss", loss), func(t *testing.T) {
			t.Parallel()
			sent := func(ours int) (times float64) {
				for range runs {
					times += originalServerSends(t, loss, ours) / runs
				}
				return times
			}
			two := sent(0)
			for ours := 1; ours <= 2; ours++ {
				times := sent(ours)
				t.Logf("%d of ours: sent %.2f times the image; two of 2012: %.2f", ours, times, two)
				if times > most*two {
					t.Errorf("%d of ours: the server sent %.2f times the image, want %v times the %.2f of two clients of 2012 at most",
						ours, times, most, two)
				}
			}
		})
	}
}

// originalServerSends returns how many times a server of 2012 sends the image to two
// clients, some of them ours.
func originalServerSends(t *testing.T, lossPercent float64, ours int) float64 {
	t.Helper()
	const size = 4*mib - 7
	r := newRoom(t, lab.Config{Hosts: 3, LossPercent: lossPercent}, size)
	defer r.Close()
	if ours > 0 {
		r.serveOriginal(0, "the.img")
	} else { // the machine may hold it up for a quiet time, and its clients ask again
		r.serveOriginal(0, "the.img", "-survive")
	}
	before := r.sentBytes(0)
	var all []interface{ finishes() }
	for host := 1; host <= 2; host++ {
		if host <= ours {
			all = append(all, finisher{r.receive(host, "-t", "200")})
		} else {
			all = append(all, r.receiveOriginal(host, "-survive"))
		}
	}
	for _, each := range all {
		each.finishes()
	}
	const wire = (14 + 20 + 8 + 12 + 1024) / 1024.
	return float64(r.sentBytes(0)-before) / (wire * size)
}

// finisher is a client of ours whose figures nobody wants.
type finisher struct{ client client }

func (f finisher) finishes() {
	f.client.room.Helper()
	f.client.finishes()
}

// TestOriginalServersName: it describes the path that it was given, and a client
// without -o writes to the last part of it, in its own folder.
func TestOriginalServersName(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	for n, c := range []struct{ path, base string }{
		{r.image, "the.img"},
		{"./the.img", "the.img"},
		{"sub/../../" + r.dir[strings.LastIndexByte(r.dir, '/')+1:] + "/the.img", "the.img"},
	} {
		r.must(os.MkdirAll(r.path("sub"), 0o700))
		s := r.serveOriginal(0, c.path)
		folder := r.path(fmt.Sprint("here", n))
		r.must(os.Mkdir(folder, 0o700))
		client := r.prepareClient(1)
		client.Dir, client.out = folder, folder+"/"+c.base
		r.start(client.process)
		finish(client)
		r.hasOnly(folder, c.base)
		s.kill()
	}
}

// TestHostileNames: a server of 2012 describes what leads out of the folder, or is
// no name.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", "../..", "/", "sub/", ".bashrc", "a\x1b[2Jb", strings.Repeat("x", 300)} {
		t.Run(name[:min(len(name), 10)], func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{}, mib)
			folder := r.path("here")
			r.must(os.Mkdir(folder, 0o700))
			const port = "40000"
			r.flood(0, "10.77.0.2:"+port, descriptionOf(name, mib))
			c := r.prepareClient(1, "-f", port)
			c.Dir = folder
			r.start(c.process)
			c.fails(exitTargetRefused, "(-o)")
			if line := c.stderr.String(); strings.ContainsRune(line, 0x1b) {
				t.Errorf("the message has control characters: %q", line)
			}
			r.hasOnly(folder)
			r.hasOnly(r.dir, "here", "the.img")
		})
	}
}

func TestOriginalServerStartedAgain(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	s := r.serveOriginal(0, "the.img")
	a, b := r.receive(1, "-t", "300"), r.receive(2, "-t", "300")
	a.reaches(0.3)
	b.reaches(0.3)
	s.kill()
	r.serveOriginal(0, "the.img")
	finish(a, b)
}

func TestOriginalServerStartedWithAnotherImage(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint("after ", pause), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 2}, imageBytes)
			r.newImage("other.img", imageBytes, 2)
			s := r.serveOriginal(0, "the.img")
			c := r.receive(1, "-t", "300")
			c.reaches(0.3)
			s.kill()
			time.Sleep(pause)
			r.serveOriginal(0, "other.img")
			c.differs("10.77.0.1:7500", "the.img", "other.img")
		})
	}
}

// TestTwoOriginalServers: two of 2012 on one group are told apart by their
// addresses.
func TestTwoOriginalServers(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
	other := r.newImage("other.img", imageBytes, 2)
	r.serveOriginal(0, "the.img")
	r.serveOriginal(1, "other.img")
	a := r.receive(2, "-s", "10.77.0.1", "-t", "200")
	a.reaches(0.1)
	b := r.receive(3, "-s", "10.77.0.2", "-t", "200")
	first, second := a.finishes(), b.finishesWith(other)
	if first.Strangers+second.Strangers == 0 {
		t.Error("no stranger's packets are counted")
	}
	// One that names none is told both.
	r.receive(2).differs("10.77.0.1:7500", "10.77.0.2:7500", "the.img", "other.img")
}

// TestTwoOriginalServersOnOneHost: these cannot be told apart.
func TestTwoOriginalServersOnOneHost(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	r.newImage("other.img", imageBytes, 2)
	r.serveOriginal(0, "the.img")
	r.serveOriginal(0, "other.img", "-s", "7501")
	a := r.receive(1, "-s", "10.77.0.1:7500")
	a.reaches(0.1)
	// A client of 2012 asks without listening first.
	r.askForAll(2, "10.77.0.1:7501")
	a.differs("two senders", "225.0.20.10:16000", "10.77.0.1:", "-g", "-p")
}

// askForAll has a host ask a server for all of its image, once.
func (r *room) askForAll(host int, server string) {
	r.Helper()
	address, err := net.ResolveUDPAddr("udp4", server)
	r.must(err)
	r.must(r.Hosts[host].Do(func() error {
		socket, err := net.DialUDP("udp4", nil, address)
		if err != nil {
			return err
		}
		defer socket.Close()
		_, err = socket.Write(mxb1.BlockRequest{Last: imageBytes/1024 - 1}.AppendTo(nil))
		return err
	}))
}

// TestOursAndOriginal has a server of ours and one of 2012 on one group, which the
// stream of MXB 2 is not in.
func TestOursAndOriginal(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		r := newRoomOf(t, p, lab.Config{Hosts: 4}, imageBytes)
		other := r.newImage("other.img", imageBytes, 2)
		r.serve(0, "--rate", "24M")
		r.serveOriginal(1, "other.img")
		a := r.receive(2, "-s", "10.77.0.1")
		a.reaches(0.1)
		b := r.receive(3, "-s", "10.77.0.2", "-t", "200")
		first, second := a.finishes(), b.finishesWith(other)
		hearsBoth := p == speaksMXB1
		if first.Strangers > 0 != hearsBoth || second.Strangers > 0 != hearsBoth {
			t.Errorf("%d and %d packets of strangers are counted; they hear both: %v", first.Strangers, second.Strangers, hearsBoth)
		}
	})
}
