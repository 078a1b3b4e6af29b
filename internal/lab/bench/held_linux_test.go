package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

func TestCopyData(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "to")
	for _, extents := range [][]lab.Extent{
		nil,
		{{OffsetBytes: 0, SizeBytes: 3<<20 + 7}},
		{{OffsetBytes: 1 << 20, SizeBytes: 5}, {OffsetBytes: 2<<20 + 1, SizeBytes: 1<<20 + 6}},
	} {
		if err := lab.SparseFile(from, 3<<20+7, 1, extents...); err != nil {
			t.Fatal(err)
		}
		if err := copyData(from, to); err != nil {
			t.Fatal(err)
		}
		if err := lab.SameBytes(from, to); err != nil {
			t.Errorf("%v: %v", extents, err)
		}
	}
	if err := lab.SparseFile(from, 1<<30, 1); err != nil {
		t.Fatal(err)
	}
	if err := copyData(from, to); err != nil {
		t.Fatal(err)
	}
	var info unix.Stat_t
	if err := unix.Stat(to, &info); err != nil || info.Size != 1<<30 || info.Blocks > 1<<10 {
		t.Errorf("a hole of 1 GiB is copied to %d bytes in %d blocks, %v", info.Size, info.Blocks, err)
	}
}

func TestDiffering(t *testing.T) {
	for _, c := range []struct {
		blocks int
		share  float64
		want   int // of each of four clients
	}{{256, 0.02, 5}, {1000, 0.02, 20}, {16, 0.02, 1}} {
		seen := map[int]bool{}
		for n := range 4 {
			ids := differing(c.blocks, n, c.share)
			if len(ids) != c.want {
				t.Errorf("%+v: client %d lacks %v", c, n, ids)
			}
			for _, id := range ids {
				if seen[id] || id < 0 || id >= c.blocks {
					t.Errorf("%+v: client %d lacks %v, after %v", c, n, ids, seen)
				}
				seen[id] = true
			}
		}
	}
}

func TestDifferingBytes(t *testing.T) {
	const size = 2<<20 + 4096 + 100 // the last piece is shorter
	folder := t.TempDir()
	image := filepath.Join(folder, "image")
	if err := lab.RandomFile(image, size, 1); err != nil {
		t.Fatal(err)
	}
	target := func(name string, changed ...int64) string {
		t.Helper()
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range changed {
			b[at] ^= 1
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	same, first, two, end := target("same"), target("first", 0), target("two", 1, 4095, 1<<20), target("end", size-1)
	short := filepath.Join(folder, "short")
	if err := lab.RandomFile(short, size-1, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		targets []string
		want    int64
	}{
		{[]string{same}, 0},
		{[]string{first}, 4096},
		{[]string{two}, 8192},
		{[]string{end}, 100},
		{[]string{same, first, two, end}, 8292}, // the first piece once
	} {
		if got, err := differingBytes(image, c.targets); err != nil || got != c.want {
			t.Errorf("%v: %d, %v, want %d", c.targets, got, err, c.want)
		}
	}
	if _, err := differingBytes(image, []string{short}); err == nil {
		t.Error("a target that is too short passes")
	}
}

func TestHoldDiffering(t *testing.T) {
	l := lab.NewTest(t, lab.Config{Hosts: 3})
	folder := t.TempDir()
	j := &job{lab: l, image: filepath.Join(folder, "image"), sizeBytes: 8 << 20, folder: folder}
	if err := lab.RandomFile(j.image, j.sizeBytes, imageSeed); err != nil {
		t.Fatal(err)
	}
	for n := range j.clients() {
		if err := os.Mkdir(j.clientFolder(n), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		holds func(*job, int) error
		want  int64
	}{
		{holdDiffering(0.25, blockBytes), 4 << 20},
		{holdDiffering(0.25, pieceBytes), 4 * pieceBytes},
		{holdOther, 8 << 20},
		{holdFile(func() string { return j.image }), 0},
	} {
		j.row.holds = c.holds
		if got, err := j.fillTargets(); err != nil || got != c.want {
			t.Errorf("%d bytes differ, %v, want %d", got, err, c.want)
		}
	}
}

func TestHeldRow(t *testing.T) {
	f, err := measureOurs(t, func(r *row) { r.holds = holdOther })
	if err != nil {
		t.Fatal(err)
	}
	if f.sent < 1.01 || f.sentToDiffering != f.sent { // all differs
		t.Errorf("over other content: %+v", f)
	}
	f, err = measureOurs(t, func(r *row) {
		r.holds, r.clientFlags = holdDiffering(0.05, blockBytes), []string{"--update"}
	})
	if err != nil {
		t.Fatal(err)
	}
	// Of 16 blocks each of two clients lacks one.
	if f.sent > 0.5 || f.sentToDiffering < 1 {
		t.Errorf("where 2 of 16 blocks differ: %+v", f)
	}
}
