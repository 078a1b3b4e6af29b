package rooms

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"multiserver/internal/lab"
)

// oldCommit is the first version of the programs. Later ones have to work with it, or to
// refuse with a reason.
const oldCommit = "25d85e4"

// old is the build of oldCommit; missing says why there is none.
var old struct {
	sync.Once
	programs lab.Programs
	missing  string
}

// oldPrograms are those of oldCommit, built once from the repository's history and beside our
// programs, which lab.Main removes. The test is skipped where the history or a module that
// they need is not there.
func oldPrograms(t *testing.T) lab.Programs {
	t.Helper()
	folder := filepath.Join(filepath.Dir(lab.BuildOnce(t).Client), "old")
	old.Do(func() { old.programs, old.missing = buildOld(folder) })
	if old.missing != "" {
		t.Skip(old.missing)
	}
	return old.programs
}

func buildOld(folder string) (programs lab.Programs, missing string) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return programs, err.Error()
	}
	// The tests may run as another user than the repository's.
	archive := exec.Command("git", "-c", "safe.directory=*", "archive", oldCommit)
	archive.Dir = "../../.."
	unpack := exec.Command("tar", "-x", "-C", folder)
	var said bytes.Buffer
	archive.Stderr, unpack.Stderr = &said, &said
	var err error
	if unpack.Stdin, err = archive.StdoutPipe(); err != nil {
		return programs, err.Error()
	}
	if err := unpack.Start(); err != nil {
		return programs, fmt.Sprintf("unpack the old programs: %v", err)
	}
	archived := archive.Run()
	if err := unpack.Wait(); err != nil || archived != nil {
		return programs, fmt.Sprintf("no history with commit %s here: clone the repository whole (%v: %s)", oldCommit, archived, strings.TrimSpace(said.String()))
	}
	bin := filepath.Join(folder, "bin")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin+string(filepath.Separator), "./cmd/multiserver", "./cmd/multiclient")
	build.Dir = folder
	build.Env = append(os.Environ(), "GOPROXY=off", "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		return programs, fmt.Sprintf("the programs of commit %s cannot be built here; .ci/run fetches the modules that they need: %v\n%s", oldCommit, err, output)
	}
	return lab.Programs{Server: filepath.Join(bin, "multiserver"), Client: filepath.Join(bin, "multiclient")}, ""
}

// TestOldAndNew: programs of the first version and of this one receive from each other, all at
// once, with loss: from nothing, on where one was killed, and over an older image. A target
// that one version left half written is finished by the other.
func TestOldAndNew(t *testing.T) {
	t.Parallel()
	const size = 32*mib - 333
	before := oldPrograms(t)
	present := lab.BuildOnce(t)
	for _, c := range []struct {
		name    string
		server  lab.Programs
		clients []lab.Programs // of each job, by turns
		packed  bool
		flags   []string // of the server
		apart   bool     // the server sends a stream of its own to old clients
	}{
		{name: "old server, new clients", server: before, clients: []lab.Programs{present}},
		{name: "new server, old clients", server: present, clients: []lab.Programs{before}},
		{name: "old server, both clients", server: before, clients: []lab.Programs{before, present}},
		{name: "new server, both clients", server: present, clients: []lab.Programs{before, present}},
		{name: "packed image, old clients", server: present, clients: []lab.Programs{before}, packed: true},
		{name: "packed image, both clients", server: present, clients: []lab.Programs{before, present}, packed: true},
		{name: "packed image, old clients come later", server: present, clients: []lab.Programs{present, before}, packed: true, apart: true},
		{name: "compressed, both clients", server: present, clients: []lab.Programs{before, present}, flags: []string{"--compress", "always"}},
		{name: "compressed, old clients come later", server: present, clients: []lab.Programs{present, before}, flags: []string{"--compress", "always"}, apart: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 6, LossPercent: 1}, 1)
			r.fill(size)
			served := r.image
			if c.packed || c.flags != nil {
				r.texture(size)
			}
			if c.packed {
				served = r.pack()
			}
			serve := func() *process {
				p := r.prepare(r.Hosts[0], c.server.Server, append([]string{"--json", "--rate", "200M", "-f", served}, c.flags...)...)
				r.start(p)
				server{p}.ready()
				return p
			}
			receive := func(host, version int, flags ...string) *process {
				p := r.prepare(r.Hosts[host], c.clients[version%len(c.clients)].Client, append([]string{"--json"}, flags...)...)
				r.start(p)
				return p
			}
			// Server and clients of this version learn the digests; an old server does not
			// keep them. A client is killed once its target has some of the image.
			s := serve()
			half := r.path("half")
			first := receive(1, 0, "-o", half)
			r.await("a half", func() bool { return r.written(half) > size/4 })
			first.kill()

			older := r.path("older")
			r.must(os.WriteFile(older, r.content(r.image), 0o600))
			r.spoil(older, 1, lab.Extent{OffsetBytes: 5 * mib, SizeBytes: 2 * mib}, lab.Extent{OffsetBytes: 20*mib + 77, SizeBytes: 5000})
			targets := map[string]*process{
				half:            receive(1, 1, "-o", half),
				older:           receive(2, 0, "-o", older, "--update"),
				r.path("fresh"): receive(3, 1, "-o", r.path("fresh")),
				r.path("other"): receive(4, 0, "-o", r.path("other")),
				r.path("mxb1"):  receive(5, 1, "-o", r.path("mxb1"), "--mxb1"),
			}
			for target, p := range targets {
				p.exits(0)
				r.same(r.image, target)
			}
			if got := s.hasLogged("a client of an earlier version has come, which cannot decode zstd"); got != c.apart {
				t.Errorf("a stream for old clients alone: %v, want %v", got, c.apart)
			}
			s.signal(syscall.SIGINT)
			s.exits(130)
			// As a person reads it: four of MXB 2, one of MXB 1, and one that was killed.
			if got := s.stdout.String(); strings.Count(got, `"outcome":"done"`) < 4 {
				t.Errorf("the server does not tell of four clients that are done: %s", got)
			}
		})
	}
}

// written is how much of the disk a file takes; 0 if there is none.
func (r *room) written(path string) int64 {
	n, err := lab.AllocatedBytes(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	r.must(err)
	return n
}
