package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

func TestDryRunOfDevice(t *testing.T) {
	h := newHost(t)
	h.serve(0)
	old := bytes.Repeat([]byte{0xA5}, 4<<20)
	disk := loopdev.New(t, old, 0)
	c := h.start(nil, "--dry-run", "--target", "name="+disk+",size=4M")
	c.ends(0)
	if !strings.Contains(c.stderr.String(), "--target picked "+disk+": 0.0 GiB") {
		t.Errorf("what was picked is not in %s", &c.stderr)
	}
	for _, part := range []string{"would be written to " + disk + ", a device of 4194304 bytes", "All on it would be lost.",
		fmt.Sprintf("Only the %d bytes behind the image would stay.", len(old)-len(h.content))} {
		if !strings.Contains(c.stdout.String(), part) {
			t.Errorf("%q is not in %q", part, &c.stdout)
		}
	}
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the device is not what it was: %v", err)
	}

	small := loopdev.New(t, make([]byte, 1<<20), 0)
	c = h.start(nil, "--dry-run", "-o", small)
	c.ends(5)
	if c.stdout.String() != "" {
		t.Errorf("a plan for a device that is too small: %s", &c.stdout)
	}
}

// What --target picks is written to, and shown.
func TestTarget(t *testing.T) {
	h := newHost(t)
	h.serve(0)
	disk := loopdev.New(t, make([]byte, 4<<20), 0)
	c := h.start(nil, "--json", "--target", "name="+disk)
	c.ends(0)
	got, err := os.ReadFile(disk)
	if err != nil || !bytes.Equal(got[:len(h.content)], h.content) {
		t.Errorf("the device does not have the image: %v", err)
	}
	for _, part := range []string{`"msg":"--target picked ` + disk + ": ", `"output":"` + disk + `"`} {
		if !strings.Contains(c.stdout.String(), part) {
			t.Errorf("%q is not in %s", part, &c.stdout)
		}
	}

	other := loopdev.New(t, make([]byte, 4<<20), 0)
	c = h.start(nil, "-q", "--target", "name=loop*,size=4M")
	c.ends(5)
	lines := strings.Split(strings.TrimSpace(c.stderr.String()), "\n")
	for _, each := range []string{disk, other} {
		if !strings.Contains(c.stderr.String(), strings.TrimPrefix(each, "/dev/")+": 0.0 GiB") {
			t.Errorf("%s is not among the candidates: %s", each, &c.stderr)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "multiclient: target ") || !strings.Contains(last, "disks match; add a condition: ") {
		t.Errorf("the last line is %q", last)
	}
}
