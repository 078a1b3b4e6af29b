package image

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestDevice reads the beginning of a disk of this machine, which must be readable.
func TestDevice(t *testing.T) {
	sizes, err := filepath.Glob("/sys/class/block/*/size")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range sizes {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		sectors, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		name := filepath.Base(filepath.Dir(file))
		disk, err := os.Open("/dev/" + name)
		// Other tests make and end loop devices.
		if err != nil || sectors == 0 || strings.HasPrefix(name, "loop") {
			continue
		}
		defer disk.Close()
		s := open(t, disk.Name())
		if s.Size() != sectors*512 || s.Name() != name {
			t.Errorf("Size, Name = %d, %q; want %d, %q", s.Size(), s.Name(), sectors*512, name)
		}
		want, got := make([]byte, 1024), make([]byte, 1024) // no file system keeps what changes here
		if _, err := io.ReadFull(disk, want); err != nil {
			t.Fatal(err)
		}
		if err := s.ReadScattered([][]byte{got[:100], got[100:]}, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the first bytes differ, or %v", err)
		}
		return
	}
	t.Skip("no block device that is readable: run as root on a machine that has a disk")
}
