package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

func TestReadFromDisk(t *testing.T) {
	for _, c := range []struct {
		status string
		want   int64
		ok     bool
	}{
		{"rchar: 5\nwchar: 6\nsyscr: 7\nsyscw: 8\nread_bytes: 1048576\nwrite_bytes: 9\ncancelled_write_bytes: 0\n", 1 << 20, true},
		{"", 0, true},
		{"rchar: 5\n", 0, true},
		{"rchar: 5\nread_bytes: many\n", 0, false},
	} {
		if got, err := readFromDisk([]byte(c.status)); (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %d, %v", c.status, got, err)
		}
	}
}

func TestReadingTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int64{1, 2 << 20, 2<<20 + 513} {
		if err := lab.RandomFile(path, size, 1); err != nil {
			t.Fatal(err)
		}
		took, err := readingTime(path)
		if errors.Is(err, unix.EINVAL) {
			t.Skip("needs a file system with O_DIRECT:", err)
		}
		if err != nil || took <= 0 {
			t.Errorf("%d bytes: %v, %v", size, took, err)
		}
	}
	if _, err := readingTime(path + " that is not there"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestReadBackRow(t *testing.T) {
	b := newBench(t)
	b.disk = t.TempDir()
	if reason := diskMissing(b.disk); reason != "" {
		t.Skip("needs TMPDIR on a disk:", reason)
	}
	b.row.clients, b.row.readsBack = 1, true
	systems := []system{multiserverSystem(ours, lab.BuildOnce(t))}
	if _, err := b.measure(t.Context(), systems); err == nil {
		t.Error("a client that reads nothing back is believed")
	}
	b.row.clientFlags = []string{"--verify"}
	results, err := b.measure(t.Context(), systems)
	if err != nil {
		t.Fatal(err)
	}
	if f := results[0].median; f.readBack <= 0 {
		t.Errorf("%+v", f)
	}
	if left, _ := filepath.Glob(filepath.Join(b.disk, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
