package rooms

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
	"multiserver/internal/target/loopdev"
)

const (
	// littleBytes is what a control group's programs may take, files in the page cache included.
	littleBytes = 32 * mib
	// littleImageBytes takes several windows.
	littleImageBytes = 64 * mib
	// littleRate is more than a client with so little memory takes.
	littleRate = "4G"
)

// TestLittleMemory: a client that may take 32 MiB writes an image that comes faster than it is
// written, and so it does from a server that may take no more. They say that memory is little.
func TestLittleMemory(t *testing.T) {
	for _, c := range []struct {
		name        string
		lossPercent float64
		toDevice    bool
		server      bool // it has little memory too
	}{
		{name: "a client, onto a device", toDevice: true},
		{name: "a client and a server, into a file, with loss", lossPercent: 1, server: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, lab.Config{LossPercent: c.lossPercent}, 1)
			r.fill(littleImageBytes)
			group := newMemoryGroup(t, littleBytes)
			s := server{r.prepare(r.Hosts[0], lab.BuildOnce(r).Server, "--json", "--rate", littleRate, "-f", r.image)}
			if c.server {
				newMemoryGroup(t, littleBytes).enter(s.process)
			}
			r.start(s.process)
			s.ready()
			out := r.path("out")
			if c.toDevice {
				out = loopdev.New(t, make([]byte, littleImageBytes), 0)
			}
			client := r.prepareClient(1, "-o", out, "--verify", "--receive-timeout", "10s")
			client.out = out
			group.enter(client.process)
			r.start(client.process)
			end := client.finishes()
			served := s.stop()
			t.Logf("%.1f s, sent %.2f times the image; most memory of the client's group %d MiB",
				end.StreamingSeconds, served.ImageRatio, group.most()/mib)
			if !client.hasLogged("little memory") || s.hasLogged("little memory") != c.server {
				t.Errorf("%s and %s do not say which of them has little memory", client.title, s.title)
			}
		})
	}
}

// TestLittleMemoryAndStalledOutput: whoever reads a client's output does not read for a while. The
// client holds what its memory allows, and goes on when it is read.
func TestLittleMemoryAndStalledOutput(t *testing.T) {
	r := newRoom(t, lab.Config{}, 1)
	r.fill(littleImageBytes)
	r.serve(0, "--rate", littleRate)
	fifo, out := r.path("fifo"), r.path("out")
	r.must(unix.Mkfifo(fifo, 0o600))
	client := r.prepareClient(1, "-o", "-")
	newMemoryGroup(t, littleBytes).enter(client.process)
	// Read and write, so that neither this nor the client's end waits for the other.
	end, err := os.OpenFile(fifo, os.O_RDWR, 0)
	r.must(err)
	defer end.Close()
	client.Stdout = end
	r.start(client.process)
	r.await("the client holds all that it can", func() bool {
		const same = 5 // a second and more
		seen := records[progress.ClientRecord](client.process, progress.EventProgress)
		if len(seen) < same {
			return client.hasEnded()
		}
		seen = seen[len(seen)-same:]
		return client.hasEnded() || seen[0].PacketsReceived > 0 && seen[0].PacketsReceived == seen[same-1].PacketsReceived
	})
	file, err := os.Create(out)
	r.must(err)
	defer file.Close()
	copied := make(chan error, 1) // from the goroutine to the test, once
	go func() {
		_, err := io.CopyN(file, end, littleImageBytes)
		copied <- err
	}()
	client.exits(0)
	if t.Failed() {
		return
	}
	r.must(<-copied)
	r.same(r.image, out)
}

// memoryGroup is a control group with a limit of memory (cgroups(7)).
type memoryGroup struct {
	kind, options string // of the mount
	path          string // of the group, below the mount
	folder        string // of the group, here
	v1            bool
}

// newMemoryGroup makes a group, and removes it after the test. It skips the test where there are
// none.
func newMemoryGroup(t *testing.T, limitBytes int64) *memoryGroup {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip("no control groups: ", err)
	}
	g := &memoryGroup{kind: "cgroup2", options: "rw", path: "/"}
	for line := range strings.Lines(string(own)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && slices.Contains(strings.Split(f[1], ","), "memory") {
			g.kind, g.options, g.path, g.v1 = "cgroup", f[1], f[2], true
		}
	}
	root := t.TempDir()
	if err := unix.Mount("none", root, g.kind, 0, strings.TrimPrefix(g.options, "rw")); err != nil {
		t.Skip("no control groups for memory can be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	parent := filepath.Join(root, g.path)
	limit := "memory.limit_in_bytes"
	if !g.v1 {
		limit = "memory.max"
		if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Skip("no control groups for memory: ", err)
		}
	}
	if g.folder, err = os.MkdirTemp(parent, "multiserver-test-"); err != nil {
		t.Skip("no control groups for memory: ", err)
	}
	g.path = filepath.Join(g.path, filepath.Base(g.folder))
	t.Cleanup(func() {
		// The kernel empties a group some time after the last process was waited for.
		for deadline := time.Now().Add(giveUp); ; time.Sleep(pollInterval) {
			err := unix.Rmdir(g.folder)
			if errors.Is(err, unix.EBUSY) && time.Now().Before(deadline) {
				continue
			}
			if err != nil {
				t.Error(os.NewSyscallError("rmdir of a control group", err))
			}
			return
		}
	})
	if err := os.WriteFile(filepath.Join(g.folder, limit), []byte(strconv.FormatInt(limitBytes, 10)), 0); err != nil {
		t.Fatal(err)
	}
	return g
}

// enter makes a process that was not started yet begin in the group. The lab's hosts have a /sys
// of their own, where groups are not mounted.
func (g *memoryGroup) enter(p *process) {
	const script = `mount -t "$1" -o "$2" none /sys/fs/cgroup && echo $$ >"/sys/fs/cgroup$3/cgroup.procs" && shift 3 && exec "$@"`
	p.Args = append([]string{"/bin/sh", "-c", script, "sh", g.kind, g.options, g.path, p.Path}, p.Args[1:]...)
	p.Path = "/bin/sh"
}

// most is the most memory that the group had in use, files in the page cache included; 0 if the
// kernel does not tell.
func (g *memoryGroup) most() int64 {
	name := "memory.peak"
	if g.v1 {
		name = "memory.max_usage_in_bytes"
	}
	text, _ := os.ReadFile(filepath.Join(g.folder, name)) // not before Linux 5.19
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
