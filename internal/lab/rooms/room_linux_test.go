package rooms

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	// giveUp bounds each test, unless it says otherwise: it is only reached by a fault.
	giveUp = 2 * time.Minute

	mib = 1 << 20
	// imageBytes is no multiple of a block, and takes a second at rate.
	imageBytes = 8*mib - 333
	rate       = "64M" // bits a second

	// blockBytes and symbolBytes are those of MXB 2 at MTU 1500.
	blockBytes  = mib
	symbolBytes = 1444
)

// protocol is what our clients speak with our servers.
type protocol string

const (
	speaksMXB1 protocol = "mxb1"
	speaksMXB2 protocol = "mxb2"
)

// inBoth runs a test with clients of either protocol.
func inBoth(t *testing.T, test func(t *testing.T, p protocol)) {
	for _, p := range []protocol{speaksMXB1, speaksMXB2} {
		t.Run(string(p), func(t *testing.T) { test(t, p) })
	}
}

// room is a lab with an image. Host 0 is the server's, unless a test says otherwise.
type room struct {
	*testing.T
	*lab.Lab
	ctx       context.Context
	limit     time.Duration // of ctx
	dir       string
	cache     string // where servers keep manifests
	image     string
	protocol  protocol
	toCarry   float64         // as carried says, once that was asked
	originals map[string]bool // addresses of servers of 2012
	processes []*process
}

// newRoom makes a room of so many hosts, whose clients of ours speak MXB 2. The
// image has a hole in its middle.
func newRoom(t *testing.T, config lab.Config, sizeBytes int64) *room {
	t.Helper()
	return newRoomWithin(t, giveUp, config, sizeBytes)
}

// newRoomWithin is newRoom for a test that takes longer.
func newRoomWithin(t *testing.T, limit time.Duration, config lab.Config, sizeBytes int64) *room {
	t.Helper()
	l := lab.NewTest(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	r := &room{T: t, Lab: l, ctx: ctx, limit: limit, dir: t.TempDir(), cache: t.TempDir(), protocol: speaksMXB2, originals: map[string]bool{}}
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			for _, p := range r.processes {
				t.Log(p.report())
			}
		}
		for _, p := range r.processes {
			<-p.ended // killed by the context
		}
	})
	r.image = r.newImage("the.img", sizeBytes, 1)
	return r
}

// newImage makes a further image, each seed another.
func (r *room) newImage(name string, sizeBytes int64, seed uint64) string {
	r.Helper()
	path := filepath.Join(r.dir, name)
	third := sizeBytes / 3
	r.must(lab.SparseFile(path, sizeBytes, seed, lab.Extent{SizeBytes: third + 1}, lab.Extent{OffsetBytes: 2 * third, SizeBytes: sizeBytes - 2*third}))
	return path
}

// newRoomOf is newRoom for clients of a protocol.
func newRoomOf(t *testing.T, p protocol, config lab.Config, sizeBytes int64) *room {
	t.Helper()
	r := newRoom(t, config, sizeBytes)
	r.protocol = p
	return r
}

// fill makes the room's image one without a hole.
func (r *room) fill(sizeBytes int64) {
	r.Helper()
	r.must(lab.RandomFile(r.image, sizeBytes, 1))
}

// carried is how many bytes of the room's image a stream has to carry: all with
// MXB 1, and with MXB 2 those of the blocks that are not all zeros.
func (r *room) carried() float64 {
	r.Helper()
	if r.toCarry > 0 {
		return r.toCarry
	}
	for block := range slices.Chunk(r.content(r.image), blockBytes) {
		if r.protocol == speaksMXB1 || bytes.Trim(block, "\x00") != nil {
			r.toCarry += float64(len(block))
		}
	}
	return r.toCarry
}

// times is how often a server sent what it had to carry.
func (r *room) times(end progress.ServerRecord) float64 {
	r.Helper()
	return float64(end.ImageBytesSent) / r.carried()
}

func (r *room) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// await polls until a condition holds.
func (r *room) await(what string, holds func() bool) {
	r.Helper()
	for !holds() {
		if r.ctx.Err() != nil {
			r.Fatalf("still not after %v: %s", r.limit, what)
		}
		r.pause()
	}
}

func (r *room) pause() { time.Sleep(pollInterval) }

// same compares two files.
func (r *room) same(image, out string) {
	r.Helper()
	if err := lab.SameBytes(image, out); err != nil {
		r.Error(err)
	}
}

// path is that of a file in the room's folder.
func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

// prepare makes a process that start starts.
func (r *room) prepare(host *lab.Host, path string, args ...string) *process {
	r.Helper()
	p := &process{
		Cmd:   host.Command(r.ctx, path, args...),
		room:  r,
		title: fmt.Sprintf("%s %d in host %d", filepath.Base(path), len(r.processes), host.Number),
		ended: make(chan struct{}),
	}
	p.Dir = r.dir
	p.Env = append(os.Environ(), "XDG_CACHE_HOME="+r.cache)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

func (r *room) start(p *process) {
	r.Helper()
	r.must(p.Start())
	r.processes = append(r.processes, p)
	go func() {
		defer close(p.ended)
		_ = p.Wait() // ProcessState tells
	}()
}

// serve starts a server of the room's image in a host, and returns when it hears
// requests. Of a flag that is given twice, the last one counts.
func (r *room) serve(host int, args ...string) server {
	r.Helper()
	return r.serveImage(host, r.image, args...)
}

// serveImage is serve for another image.
func (r *room) serveImage(host int, image string, args ...string) server {
	r.Helper()
	s := r.startServer(host, image, args...)
	s.ready()
	return s
}

// startServer starts a server and does not wait for it.
func (r *room) startServer(host int, image string, args ...string) server {
	r.Helper()
	if !slices.Contains(args, "--rate") {
		args = append([]string{"--rate", rate}, args...)
	}
	args = append([]string{"--json", "-f", image}, args...)
	s := server{r.prepare(r.Hosts[host], lab.BuildOnce(r).Server, args...)}
	r.start(s.process)
	return s
}

// ready waits until the server hears requests.
func (s server) ready() {
	s.room.Helper()
	s.room.await(s.title+" serves", func() bool { return s.hasLogged("serving ") || s.hasEnded() })
	if s.hasEnded() {
		s.room.Fatalf("%s: ended instead of serving", s.title)
	}
}

// receive starts a client in a host that writes to a file of its own.
func (r *room) receive(host int, args ...string) client {
	r.Helper()
	return r.receiveTo(host, r.path(fmt.Sprintf("out%d", len(r.processes))), args...)
}

// receiveAll starts a client in each host but the first.
func (r *room) receiveAll() []client {
	r.Helper()
	var all []client
	for host := 1; host < len(r.Hosts); host++ {
		all = append(all, r.receive(host))
	}
	return all
}

// receiveTo starts a client that writes to out.
func (r *room) receiveTo(host int, out string, args ...string) client {
	r.Helper()
	c := r.prepareClient(host, append([]string{"-o", out}, args...)...)
	c.out = out
	r.start(c.process)
	return c
}

// prepareClient makes a client that start starts.
func (r *room) prepareClient(host int, args ...string) client {
	r.Helper()
	flags := []string{"--json"}
	if r.protocol == speaksMXB1 {
		flags = append(flags, "--mxb1")
	}
	c := client{process: r.prepare(r.Hosts[host], lab.BuildOnce(r).Client, append(flags, args...)...), protocol: r.protocol}
	if slices.Contains(args, "--mxb1") {
		c.protocol = speaksMXB1
	}
	return c
}

// finish waits for the success of all.
func finish(clients ...client) {
	for _, c := range clients {
		c.room.Helper()
		c.finishes()
	}
}

// sentBytes is what a host has sent so far, with Ethernet's header.
func (r *room) sentBytes(host int) uint64 {
	r.Helper()
	c, err := r.Hosts[host].Counters()
	r.must(err)
	return c.SentBytes
}

// builtOriginal is the build of the model of the programs of 2012.
var builtOriginal struct {
	sync.Once
	err error
}

// originalProgram is the path of that model, built once and beside our programs,
// which lab.Main removes.
func (r *room) originalProgram() string {
	r.Helper()
	path := filepath.Join(filepath.Dir(lab.BuildOnce(r).Client), "original")
	builtOriginal.Do(func() {
		build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "multiserver/internal/original/cmd/original")
		build.Env = append(os.Environ(), "GOPROXY=off", "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			builtOriginal.err = fmt.Errorf("build the original: %w\n%s", err, output)
		}
	})
	r.must(builtOriginal.err)
	return path
}

// content is all of a file or device.
func (r *room) content(path string) []byte {
	r.Helper()
	f, err := os.Open(path)
	r.must(err)
	defer f.Close()
	b, err := io.ReadAll(f)
	r.must(err)
	return b
}

// hasOnly checks which files are in a folder.
func (r *room) hasOnly(folder string, want ...string) {
	r.Helper()
	entries, err := os.ReadDir(folder)
	r.must(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Errorf("%s has %s, want %s", folder, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}
