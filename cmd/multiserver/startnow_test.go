package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"multiserver"
)

// lockedBuffer is what a program has printed so far.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestStartNow: SIGUSR2, and Enter on the terminal, begin what waits for more clients. The
// waiting line says so, with the name of the one who is there.
func TestStartNow(t *testing.T) {
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Skipf("needs a loopback interface by Linux's name: %v", err)
	}
	image := filepath.Join(t.TempDir(), "x.img")
	content := bytes.Repeat([]byte("multiserver"), 1000)
	if err := os.WriteFile(image, content, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"SIGUSR2", "Enter or SIGUSR2"} {
		control := freePort(t)
		group := netip.AddrFrom4([4]byte{239, 255, byte(control.Port() >> 8), byte(control.Port())})
		cmd := exec.Command(exe, "-i", "lo", "-s", control.String(), "-g", group.String(), "--min-receivers", "5", "--exit-after-done", image)
		out := &lockedBuffer{}
		cmd.Args[0], cmd.Stderr = program, out
		var keyboard io.Writer
		if how != "SIGUSR2" {
			master, terminal, err := pty.Open()
			if err != nil {
				t.Skipf("needs a pseudoterminal: %v", err)
			}
			defer master.Close()
			defer terminal.Close()
			cmd.Stdin, keyboard = terminal, master
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		client, err := multiserver.NewClient(multiserver.ClientConfig{
			Stream: &got, Interface: "lo", Group: group, ControlHost: "127.0.0.1", ControlPort: control.Port(), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		received := make(chan error, 1)
		go func() { received <- client.Run(t.Context()) }()
		want := "waiting to begin with " + host + " (127.0.0.1); " + how + " begins at once"
		limit := time.Now().Add(20 * time.Second)
		for !strings.Contains(out.String(), want) && time.Now().Before(limit) {
			time.Sleep(10 * time.Millisecond)
		}
		if keyboard == nil {
			cmd.Process.Signal(syscall.SIGUSR2)
		} else {
			io.WriteString(keyboard, "\n")
		}
		select {
		case err := <-received:
			if err != nil || !bytes.Equal(got.Bytes(), content) {
				t.Errorf("%s: the client ended with %v", how, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the stream does not begin", how)
			cmd.Process.Kill()
		}
		cmd.Wait() // its error is the status
		if text := out.String(); cmd.ProcessState.ExitCode() != 0 || !strings.Contains(text, want) {
			t.Errorf("%s: %v: %s, want %q", how, cmd.ProcessState, text, want)
		}
	}
}
