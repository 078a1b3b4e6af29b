package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"multiserver"
)

// host is a place with an image, where servers and multiclients meet on the loopback
// interface.
type host struct {
	*testing.T
	dir     string
	content []byte
	group   netip.Addr
	port    uint16
	control uint16
}

func newHost(t *testing.T) *host {
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Skipf("needs a loopback interface by Linux's name: %v", err)
	}
	var ports [2]uint16 // that the system had to give, and no one twice
	for i := range ports {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ports[i] = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	h := &host{T: t, dir: t.TempDir(), content: bytes.Repeat([]byte("multiclient "), 200_000), port: ports[0], control: ports[1]}
	h.group = netip.AddrFrom4([4]byte{239, 255, byte(h.control >> 8), byte(h.control)})
	if err := os.WriteFile(h.path("the.img"), h.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// serve runs a server until the end, or until stop is called.
func (h *host) serve(rateBitsPerSec uint64) (s *multiserver.Server, stop func()) {
	h.Helper()
	s, err := multiserver.NewServer(multiserver.ServerConfig{
		File: h.path("the.img"), Group: h.group, Port: h.port, ControlPort: int(h.control), Interface: "lo",
		RateBitsPerSec: rateBitsPerSec, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.Errorf("the server ended: %v", err)
		}
	})
	h.Cleanup(stop)
	return s, stop
}

// client is a multiclient in a process of its own.
type client struct {
	*exec.Cmd
	host           *host
	stdout, stderr output
	ended          chan struct{} // closed when it has
	err            error         // of Wait, after that
}

// output is what a program printed, and tells of more.
type output struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // one token is enough for one who waits
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.text = append(o.text, p...)
	o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// awaitOutput returns once multiclient has printed text on stderr.
func (c *client) awaitOutput(text string) {
	c.host.Helper()
	for over := false; !strings.Contains(c.stderr.String(), text); {
		if over {
			c.host.Fatalf("%q ended before it said %q: %s", c.Args, text, &c.stderr)
		}
		select {
		case <-c.stderr.more:
		case <-c.ended:
			over = true
		}
	}
}

// start runs multiclient with variables and arguments.
func (h *host) start(env []string, args ...string) *client {
	h.Helper()
	exe, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	c := &client{Cmd: exec.Command(exe, append([]string{"-i", "lo", "-s", fmt.Sprint(h.control), "-g", h.group.String(), "-p", fmt.Sprint(h.port)}, args...)...), host: h, ended: make(chan struct{})}
	c.stdout.more, c.stderr.more = make(chan struct{}, 1), make(chan struct{}, 1)
	c.Args[0], c.Dir, c.Env = program, h.dir, append(os.Environ(), env...)
	c.Stdout, c.Stderr = &c.stdout, &c.stderr
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		c.err = c.Wait()
	}()
	h.Cleanup(func() {
		_ = c.Process.Kill() // of a test that failed before it ended
		<-c.ended
	})
	return c
}

// ends waits for the end and checks the status.
func (c *client) ends(status int) {
	c.host.Helper()
	<-c.ended
	var exit *exec.ExitError
	if c.err != nil && !errors.As(c.err, &exit) {
		c.host.Fatal(c.err)
	}
	if got := c.ProcessState.ExitCode(); got != status {
		c.host.Errorf("%q: exit status %d, want %d\nstdout: %s\nstderr: %s", c.Args, got, status, &c.stdout, &c.stderr)
	}
}

func (h *host) same(name string) {
	h.Helper()
	if got, err := os.ReadFile(h.path(name)); err != nil || !bytes.Equal(got, h.content) {
		h.Errorf("%s is not the image: %v", name, err)
	}
}

func TestDryRun(t *testing.T) {
	h := newHost(t)
	s, _ := h.serve(0)
	size := fmt.Sprint(len(h.content))

	c := h.start(nil, "--dry-run", "-o", "new")
	c.ends(0)
	for _, part := range []string{`"the.img" of ` + size + " bytes, from ", fmt.Sprintf(":%d over MXB 2 on lo,\n", h.control), "would be written to new, a new file."} {
		if !strings.Contains(c.stdout.String(), part) {
			t.Errorf("%q is not in %q", part, &c.stdout)
		}
	}
	if strings.Contains(c.stderr.String(), " is on new") {
		t.Errorf("it tells of a success: %s", &c.stderr)
	}
	if _, err := os.Stat(h.path("new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}

	// Of the served name, which is there: the image itself, which is being served.
	c = h.start(nil, "--dry-run")
	c.ends(5)
	if !strings.Contains(c.stderr.String(), "the.img is refused: another program has locked it") {
		t.Errorf("%s", &c.stderr)
	}
	h.start(nil).ends(5)
	h.same("the.img")

	if err := os.WriteFile(h.path("old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = h.start(nil, "--dry-run", "--json", "--mxb1", "-o", "old", "--post-command", "echo ran >ran")
	c.ends(0)
	var plan struct {
		Event string
		multiserver.Plan
	}
	if err := json.Unmarshal([]byte(c.stdout.String()), &plan); err != nil || strings.Count(c.stdout.String(), "\n") != 1 {
		t.Errorf("no single object: %v: %s", err, &c.stdout)
	}
	if plan.Event != "plan" || plan.Output != "old" || plan.Kind != multiserver.OutputFile || plan.OutputBytes != 3 ||
		plan.Protocol != "mxb1" || plan.Name != "the.img" || plan.SizeBytes != uint64(len(h.content)) || plan.Interface != "lo" {
		t.Errorf("%+v", plan)
	}
	if got, err := os.ReadFile(h.path("old")); err != nil || string(got) != "old" {
		t.Errorf("the file became %q: %v", got, err)
	}
	if _, err := os.Stat(h.path("ran")); err == nil {
		t.Error("a dry run ran the --post-command")
	}

	c = h.start(nil, "--dry-run", "-o", "-")
	c.ends(0)
	if !strings.Contains(c.stdout.String(), "would be written to standard output.") {
		t.Errorf("%s", &c.stdout)
	}
	c = h.start(nil, "--dry-run", "--json", "-o", "/dev/no-such-disk")
	c.ends(5)
	if out := c.stdout.String(); !strings.HasPrefix(out, `{"event":"failed",`) || !strings.Contains(out, `"exit":5`) || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
	// The one that was no dry run has told the server that it refused.
	if receivers := s.Stats().Receivers; len(receivers) != 1 || receivers[0].Outcome != multiserver.OutcomeRefused {
		t.Errorf("the server tells of clients: %v", receivers)
	}
}

// A server that comes late is waited for, and the command at the end runs once.
func TestRetryUntilServerComes(t *testing.T) {
	h := newHost(t)
	c := h.start(nil, "-o", "out", "--retry", "--start-timeout", "100ms", "--post-command", `echo "$RESULT_STATUS $RESULT_VERDICT" >>ran`)
	c.awaitOutput("try 3 in ")
	h.serve(0)
	c.ends(0)
	h.same("out")
	if ran, err := os.ReadFile(h.path("ran")); err != nil || string(ran) != "0 done\n" {
		t.Errorf("the command ran so: %q, %v", ran, err)
	}
	if !strings.Contains(c.stderr.String(), "no server answered for 100ms") {
		t.Errorf("the wait does not say what failed: %s", &c.stderr)
	}
}

// A server that ends in the middle, and its successor.
func TestRetryUntilServerComesBack(t *testing.T) {
	h := newHost(t)
	_, stop := h.serve(5e6)
	c := h.start(nil, "-o", "out", "--retry", "--start-timeout", "200ms", "--receive-timeout", "1s")
	c.awaitOutput("receiving the.img")
	stop()
	c.awaitOutput("try 2 in ")
	h.serve(0)
	c.ends(0)
	h.same("out")
}

func TestRetryGivesUp(t *testing.T) {
	h := newHost(t)
	c := h.start(nil, "-o", "out", "--retry=2", "--start-timeout", "50ms")
	c.ends(3)
	if got := strings.Count(c.stderr.String(), "; try "); got != 2 {
		t.Errorf("%d retries, want 2: %s", got, &c.stderr)
	}
	c = h.start(nil, "--retry=1", "-o", ".")
	c.ends(5)
	if strings.Contains(c.stderr.String(), "; try ") {
		t.Errorf("another try mends nothing: %s", &c.stderr)
	}
	for flag, value := range map[string]string{"--target": "name=no-such-disk", "-o": "/dev/no-such-disk"} {
		c = h.start(nil, "--retry=2", flag, value)
		c.ends(5)
		if got := strings.Count(c.stderr.String(), "; try "); got != 2 {
			t.Errorf("%s, a disk that may come late: %d retries, want 2: %s", flag, got, &c.stderr)
		}
	}
}

// A signal ends the wait between two tries.
func TestRetryInterrupted(t *testing.T) {
	h := newHost(t)
	c := h.start([]string{pauseVariable + "=1h"}, "-o", "out", "--retry", "--start-timeout", "50ms",
		"--post-command", `echo "$RESULT_STATUS $RESULT_VERDICT $RESULT_ERROR" >ran`)
	c.awaitOutput("try 2 in ")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.ends(143)
	if ran, err := os.ReadFile(h.path("ran")); err != nil || string(ran) != "143 interrupted terminated before a server was found; nothing was written\n" {
		t.Errorf("the command ran so: %q, %v", ran, err)
	}
}

// TestReaderGone: that nobody reads what it prints does not end a client that writes, nor the
// lines after its command.
func TestReaderGone(t *testing.T) {
	for name, args := range map[string][]string{
		"text":                {"-o", "out", "-v"},
		"objects":             {"-o", "out", "--json"},
		"lines after command": {"-o", "out", "--post-command", "exit 1"},
	} {
		h := newHost(t)
		h.serve(0)
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		cmd := exec.Command(exe, append([]string{"-i", "lo", "-s", fmt.Sprint(h.control), "-g", h.group.String(), "-p", fmt.Sprint(h.port)}, args...)...)
		cmd.Args[0], cmd.Dir, cmd.Stdout, cmd.Stderr = program, h.dir, write, write
		_ = cmd.Run() // the status says it
		write.Close()
		want := 0
		if name == "lines after command" {
			want = 1
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit status %d, want %d: %v", name, got, want, cmd.ProcessState)
		}
		h.same("out")
	}
}

// TestCommandHasItsPipes: what --post-command starts is ended by SIGPIPE as ever.
func TestCommandHasItsPipes(t *testing.T) {
	h := newHost(t)
	h.serve(0)
	h.start(nil, "-o", "out", "--post-command", `(yes; echo "status $?" >ran) | head -1 >first; test "$(cat ran)" = "status 141"`).ends(0)
}

// TestSignalTold: the server knows which signal ended a client.
func TestSignalTold(t *testing.T) {
	h := newHost(t)
	s, _ := h.serve(5e6)
	c := h.start(nil, "-o", "out")
	c.awaitOutput("receiving the.img")
	for len(s.Stats().Receivers) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.ends(143)
	if r := s.Stats().Receivers[0]; r.Outcome != multiserver.OutcomeInterrupted || r.Reason != "ended by SIGTERM" {
		t.Errorf("the server knows of %+v", r)
	}
}

// What an earlier try wrote is not forgotten by one that finds no server.
func TestRetryInterruptedAfterServer(t *testing.T) {
	h := newHost(t)
	_, stop := h.serve(5e6)
	c := h.start(nil, "-o", "out", "--retry", "--start-timeout", "200ms", "--receive-timeout", "1s", "--post-command", `echo "$RESULT_IMAGE $RESULT_ERROR" >ran`)
	c.awaitOutput("receiving the.img")
	stop()
	c.awaitOutput("try 4 in ")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	c.ends(130)
	ran, err := os.ReadFile(h.path("ran"))
	if err != nil || !strings.HasPrefix(string(ran), "the.img interrupt with ") || !strings.HasSuffix(string(ran), fmt.Sprintf(" of %d bytes in; out is incomplete\n", len(h.content))) {
		t.Errorf("the command ran so: %q, %v", ran, err)
	}
}

func TestPause(t *testing.T) {
	defer func(p time.Duration) { firstPause = p }(firstPause)
	firstPause = 5 * time.Second
	for failures, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 4: 40 * time.Second, 5: time.Minute, 1 << 40: time.Minute} {
		for range 100 {
			if p := pause(failures); p < want*9/10 || p > want*11/10+1 {
				t.Errorf("after %d failures %v, want about %v", failures, p, want)
			}
		}
	}
}

func TestPostCommand(t *testing.T) {
	h := newHost(t)
	h.serve(0)
	c := h.start([]string{"MULTICLIENT_OUTPUT=out"}, "--json", "--post-command", `env >env; echo said`)
	c.ends(0)
	h.same("out")
	if strings.Contains(c.stdout.String(), "said") || !strings.Contains(c.stderr.String(), "said\n") {
		t.Errorf("the command's output is not on stderr: %s, %s", &c.stdout, &c.stderr)
	}
	env, err := os.ReadFile(h.path("env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"RESULT_STATUS=0", "RESULT_VERDICT=done", "RESULT_ERROR=", "RESULT_TARGET=out", "RESULT_IMAGE=the.img",
		"RESULT_BYTES=" + strconv.Itoa(len(h.content)), "RESULT_VERIFIED=0", "MULTICLIENT_OUTPUT=out"} {
		if !strings.Contains("\n"+string(env), "\n"+line+"\n") {
			t.Errorf("%q is not in its environment", line)
		}
	}
	if !strings.Contains(string(env), fmt.Sprintf(":%d\n", h.control)) {
		t.Errorf("no RESULT_SERVER: %s", env)
	}

	// The command fails: so does multiclient, but not by its word.
	c = h.start(nil, "--json", "-o", "out2", "--post-command", "exit 7")
	c.ends(1)
	h.same("out2")
	if !strings.Contains(c.stdout.String(), `"exit":1`) || !strings.Contains(c.stderr.String(), "out2 is complete, but --post-command failed: exit status 7") {
		t.Errorf("%s, %s", &c.stdout, &c.stderr)
	}

	// The job failed: its status stays.
	c = h.start(nil, "-o", "/dev/no-such-disk", "--post-command", `echo "$RESULT_STATUS,$RESULT_VERDICT,$RESULT_ERROR,$RESULT_TARGET" >failed; exit 7`)
	c.ends(5)
	if got, err := os.ReadFile(h.path("failed")); err != nil || !strings.HasPrefix(string(got), "5,failed,/dev/no-such-disk is refused: ") || !strings.HasSuffix(string(got), ",/dev/no-such-disk\n") {
		t.Errorf("%q, %v", got, err)
	}

	// A signal is passed on.
	c = h.start(nil, "-o", "out3", "--post-command", `trap "exit 9" TERM; echo ready; while :; do sleep 0.01; done`)
	c.awaitOutput("ready")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.ends(1)
	if !strings.Contains(c.stderr.String(), "--post-command failed: exit status 9") {
		t.Errorf("%s", &c.stderr)
	}
}

func TestResultEnviron(t *testing.T) {
	r := result{status: 1, verdict: verdictFailed, err: errors.New("a\nb"), stats: multiserver.ClientStats{Name: "x\x00y", Verified: true}}
	all := strings.Join(r.environ(), " ")
	for _, part := range []string{"RESULT_ERROR=a?b ", "RESULT_IMAGE=x?y ", "RESULT_SERVER= ", "RESULT_VERIFIED=0"} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is not in %q", part, all)
		}
	}
	r = result{verdict: verdictDone, stats: multiserver.ClientStats{Verified: true}}
	if all := strings.Join(r.environ(), " "); !strings.Contains(all, "RESULT_VERIFIED=1") {
		t.Error(all)
	}
}
