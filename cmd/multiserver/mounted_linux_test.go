package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

// TestMountedImage: the server and its check say that an image is mounted, where, and what
// comes of that. Both go on.
func TestMountedImage(t *testing.T) {
	device := loopdev.New(t, make([]byte, 8<<20), 0)
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", device).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4 of e2fsprogs: %v: %s", err, out)
	}
	where := t.TempDir()
	if err := unix.Mount(device, where, "ext4", 0, ""); err != nil {
		t.Skipf("needs root, and a kernel with ext4: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(where, 0); err != nil {
			t.Error(err)
		}
	})
	want := device + " is mounted on " + where + ": what is written there while the image is served ends all clients with an error"
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(exe, "check", "-i", "lo", "-s", freePort(t).String(), "-f", device)
	check.Args[0] = program
	if out, err := check.CombinedOutput(); err != nil || !strings.Contains(string(out), "note  file: "+want) {
		t.Errorf("check: %v, %s", err, out)
	}
	serve := exec.Command(exe, "-i", "lo", "-s", freePort(t).String(), device)
	serve.Args[0] = program
	stderr, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	told := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		told = told || strings.Contains(lines.Text(), want)
		if strings.Contains(lines.Text(), "no client has asked yet") {
			serve.Process.Signal(syscall.SIGTERM)
		}
	}
	serve.Wait() // its error is the signal's status
	if !told {
		t.Error("the server does not say it")
	}
}
