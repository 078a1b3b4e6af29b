package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

// onTerminal starts multiclient as the foreground program of a terminal of its own.
func (h *host) onTerminal(args ...string) (c *client, keyboard *os.File) {
	h.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		h.Skip("no terminals: ", err)
	}
	h.Cleanup(func() { keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		h.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		h.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	c = &client{Cmd: exec.Command(exe, append([]string{"-i", "lo", "-s", fmt.Sprint(h.control), "-g", h.group.String(), "-p", fmt.Sprint(h.port)}, args...)...), host: h, ended: make(chan struct{})}
	c.stdout.more, c.stderr.more = make(chan struct{}, 1), make(chan struct{}, 1)
	c.Args[0], c.Dir, c.Env = program, h.dir, append(os.Environ(), "NO_COLOR=1")
	c.Stdin, c.Stdout, c.Stderr = screen, &c.stdout, screen
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	screen.Close()
	go func() { // what the screen shows
		p := make([]byte, 4096)
		for {
			n, err := keyboard.Read(p)
			c.stderr.Write(p[:n])
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(c.ended)
		c.err = c.Wait()
	}()
	h.Cleanup(func() {
		_ = c.Process.Kill()
		<-c.ended
	})
	return c, keyboard
}

// usedDisk is a disk with a partition table and a file system that has a label.
func usedDisk(t *testing.T) (device string, content []byte) {
	t.Helper()
	content = bytes.Repeat([]byte{0xA5}, 8<<20)
	copy(content[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0}) // 2048 sectors at 2048
	clear(content[462:510])
	clear(content[:446])
	content[510], content[511] = 0x55, 0xAA
	copy(content[1<<20:], "XFSB")
	copy(content[1<<20+108:], "old\x1b[2Jdata\x00")
	return loopdev.New(t, content, 0), content
}

const oldVolume = `xfs "old\x1b[2Jdata", 1.0 MiB`

// TestLastLook: at a terminal a disk that is not blank is shown, and Ctrl-C leaves it as it was; the
// image is received meanwhile. Without Ctrl-C it is written after the countdown.
func TestLastLook(t *testing.T) {
	h := newHost(t)
	s, _ := h.serve(0)
	disk, old := usedDisk(t)
	c, keyboard := h.onTerminal("-o", disk)
	for _, part := range []string{"all that is on " + disk + ": 0.0 GiB will be lost:", "partition table: MBR", oldVolume, "writing begins in 5s; Ctrl-C ends this before a byte is written",
		"writing to " + disk + " begins in "} {
		c.awaitOutput(part)
	}
	for len(s.Stats().Receivers) == 0 { // it has joined all the same
		time.Sleep(time.Millisecond)
	}
	if _, err := keyboard.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	c.ends(130)
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the disk is not what it was: %v", err)
	}
	if !strings.Contains(c.stderr.String(), "interrupt before the first byte was written; "+disk+" is as it was") {
		t.Errorf("%s", &c.stderr)
	}
	for s.Stats().Receivers[0].Reason != "ended by SIGINT" {
		time.Sleep(time.Millisecond)
	}

	began := time.Now()
	c, _ = h.onTerminal("-o", disk)
	c.ends(0)
	if waited := time.Since(began); waited < countdown {
		t.Errorf("it was written after %v", waited)
	}
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got[:len(h.content)], h.content) {
		t.Errorf("the disk does not have the image: %v", err)
	}
}

// TestNoLastLook: one line and no wait if it is agreed already or nobody is there, and nothing for a
// blank disk or a file.
func TestNoLastLook(t *testing.T) {
	h := newHost(t)
	h.serve(0)
	for name, flag := range map[string]string{"agreed": "--yes", "forced": "--force", "nobody is there": ""} {
		disk, _ := usedDisk(t)
		var c *client
		if flag == "" {
			c = h.start(nil, "-o", disk)
		} else {
			c, _ = h.onTerminal("-o", disk, flag)
		}
		c.ends(0)
		c.awaitOutput("all that is on " + disk + ": 0.0 GiB will be lost: partition table: MBR; ")
		if text := c.stderr.String(); !strings.Contains(text, oldVolume) || strings.Contains(text, "Ctrl-C") {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, path := range []string{loopdev.New(t, make([]byte, 8<<20), 0), "out"} {
		c, _ := h.onTerminal("-o", path)
		c.ends(0)
		if text := c.stderr.String(); strings.Contains(text, "will be lost") || strings.Contains(text, "Ctrl-C") {
			t.Errorf("%s: %s", path, text)
		}
	}
}
