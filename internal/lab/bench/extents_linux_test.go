package main

import (
	"os"
	"path/filepath"
	"testing"

	"multiserver/internal/lab"
)

func TestSameData(t *testing.T) {
	const size = 4<<20 + 5
	folder := t.TempDir()
	write := func(name string, size int64, extents ...lab.Extent) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := lab.SparseFile(path, size, 1, extents...); err != nil {
			t.Fatal(err)
		}
		return path
	}
	change := func(path string, offset int64, to []byte) string {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt(to, offset)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := []lab.Extent{{OffsetBytes: 1 << 20, SizeBytes: 2<<20 - 3}}
	image := write("image", size, data...)
	for _, c := range []struct {
		name, path string
		same       bool
	}{
		{"the same", write("a", size, data...), true},
		{"zeros instead of a hole", change(write("b", size, data...), 0, make([]byte, 1<<20)), true},
		{"shorter", write("c", size-1, data...), false},
		{"a byte in the data", change(write("d", size, data...), 2<<20, []byte{0, 0, 0, 0}), false},
		{"a byte in a hole", change(write("e", size, data...), size-1, []byte{1}), false},
		{"a hole instead of data", write("f", size), false},
	} {
		for _, pair := range [][2]string{{image, c.path}, {c.path, image}} {
			if err := sameData(pair[0], pair[1]); (err == nil) != c.same {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestAlternating(t *testing.T) {
	got := alternating(21, 4)
	want := []lab.Extent{{OffsetBytes: 0, SizeBytes: 4}, {OffsetBytes: 8, SizeBytes: 4}, {OffsetBytes: 16, SizeBytes: 4}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for n := range want {
		if got[n] != want[n] {
			t.Errorf("%+v, want %+v", got[n], want[n])
		}
	}
	if last := alternating(10, 8)[0]; last.SizeBytes != 8 {
		t.Errorf("%+v", last)
	}
	if got := alternating(18, 8); got[1] != (lab.Extent{OffsetBytes: 16, SizeBytes: 2}) {
		t.Errorf("%+v", got)
	}
}
