package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"multiserver"
	"multiserver/internal/mxb1"
	"multiserver/internal/progress"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){program: func() { os.Exit(execute()) }})
}

// freePort is a UDP port on the loopback interface that the system had to give.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("FREE", freePort(t).String())
			return nil
		},
	})
}

// A server that is stopped says what it did and ends with 128 and the signal; SIGUSR1
// makes it say so before.
func TestStopped(t *testing.T) {
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Skipf("needs a loopback interface by Linux's name: %v", err)
	}
	image := filepath.Join(t.TempDir(), "x.img")
	if err := os.WriteFile(image, make([]byte, 3000), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// testscript.Main runs the program that the first argument names.
	cmd := exec.Command(exe, "-i", "lo", "-s", freePort(t).String(), "--json", image)
	cmd.Args[0] = program
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	next := func(parts ...string) {
		t.Helper()
		for lines.Scan() {
			has := true
			for _, p := range parts {
				has = has && strings.Contains(lines.Text(), p)
			}
			if has {
				return
			}
		}
		t.Errorf("no line with %q", parts)
	}
	next(`"event":"log"`, "serving x.img")
	next(`"event":"progress"`)
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	next(`"event":"progress"`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	next(`"event":"done"`, `"exit":143`, `"size_bytes":3000`)
	if lines.Scan() {
		t.Errorf("a line after the last: %s", lines.Text())
	}
	cmd.Wait() // its error is the status, which is asked for below
	if got := cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("exit status %d, want 143", got)
	}
}

// answers reports whether a server at that address answers an original client's question.
func answers(t *testing.T, control string) bool {
	t.Helper()
	c, err := net.Dial("udp4", control)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(mxb1.AppendMapRequest(nil, nil)); err != nil {
		return false // nobody is there yet
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 2048))
	return err == nil
}

// TestReaderGone: that nobody reads what it prints does not end a server.
func TestReaderGone(t *testing.T) {
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Skipf("needs a loopback interface by Linux's name: %v", err)
	}
	image := filepath.Join(t.TempDir(), "x.img")
	if err := os.WriteFile(image, make([]byte, 3000), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer write.Close()
	control := freePort(t)
	cmd := exec.Command(exe, "-i", "lo", "-s", control.String(), "-v", image)
	cmd.Args[0], cmd.Stdout, cmd.Stderr = program, write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }() // its error is the status
	for served := false; !served; {                // until it has the port, and has said so
		select {
		case <-ended:
			t.Fatalf("it ended: %v", cmd.ProcessState)
		default:
		}
		served = answers(t, control.String())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	if got := cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("it ended with %v, want 143", cmd.ProcessState)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, errors.New("nobody reads this: ClientConfig.Output")
}

// With --exit-after-done the status reports whether the clients that came have the image,
// and the last object what became of each.
func TestExitAfterDone(t *testing.T) {
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Skipf("needs a loopback interface by Linux's name: %v", err)
	}
	image := filepath.Join(t.TempDir(), "x.img")
	content := bytes.Repeat([]byte("multiserver"), 100_000)
	if err := os.WriteFile(image, content, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var taken bytes.Buffer
	for _, c := range []struct {
		name    string
		stdout  io.Writer
		exit    int
		outcome string
		reason  string // part of it
		stderr  string // part of it
	}{
		{"done", &taken, 0, "done", "", ""},
		{"failed", brokenPipe{}, 7, "failed", "nobody reads this: -o", "1 of 1 clients did not get the image"},
	} {
		control := freePort(t)
		group := netip.AddrFrom4([4]byte{239, 255, byte(control.Port() >> 8), byte(control.Port())})
		cmd := exec.Command(exe, "-i", "lo", "-s", control.String(), "-g", group.String(), "--rate", "2G",
			"--min-receivers", "1", "--min-wait", "0", "--max-wait", "60", "--exit-after-done", "--json", image)
		cmd.Args[0] = program
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		client, err := multiserver.NewClient(multiserver.ClientConfig{
			Stream: c.stdout, Interface: "lo", Group: group,
			ControlHost: "127.0.0.1", ControlPort: control.Port(), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Run(t.Context()); (err == nil) != (c.exit == 0) {
			t.Errorf("%s: the client ended with %v", c.name, err)
			cmd.Process.Kill() // it may wait for a client that never came
		}
		if got := client.Stats().Protocol; got != "mxb2" {
			t.Errorf("%s: the client spoke %q", c.name, got)
		}
		cmd.Wait() // its error is the status, which is asked for below
		if got := cmd.ProcessState.ExitCode(); got != c.exit {
			t.Errorf("%s: exit status %d, want %d", c.name, got, c.exit)
		}
		if !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: stderr has %q, want %q", c.name, stderr.String(), c.stderr)
		}
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		var last progress.ServerRecord
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
			t.Fatalf("%s: %v in %s", c.name, err, stdout.String())
		}
		if len(last.Receivers) != 1 || last.Receivers[0].Outcome != c.outcome || !strings.Contains(last.Receivers[0].Reason, c.reason) {
			t.Errorf("%s: the last object has %+v", c.name, last.Receivers)
		}
	}
	if !bytes.Equal(taken.Bytes(), content) {
		t.Error("what the client took is not the image")
	}
}
