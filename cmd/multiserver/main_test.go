package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){program: func() { os.Exit(execute()) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script")})
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
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	// testscript.Main runs the program that the first argument names.
	cmd := exec.Command(exe, "-i", "lo", "-s", free.LocalAddr().String(), "--json", image)
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
