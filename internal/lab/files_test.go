package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSameBytes(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", copyBytes/16) // one buffer
	for _, c := range []struct {
		name, a, b string
		want       string // a part of the error; "" where they are the same
	}{
		{"empty", "", "", ""},
		{"same", "abc", "abc", ""},
		{"same, one buffer", long, long, ""},
		{"same, more than a buffer", long + "x", long + "x", ""},
		{"first byte", "abc", "xbc", "byte 0 is 0x61"},
		{"last byte", long + "ab", long + "ac", "byte 1048577 is 0x62"},
		{"second is shorter", "abc", "ab", "b ends at byte 2"},
		{"first is empty", "", "a", "a ends at byte 0"},
		{"shorter by all after a buffer", long + "a", long, "b ends at byte 1048576"},
		{"different before the end", "abc", "ax", "byte 1 is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			for path, content := range map[string]string{a: c.a, b: c.b} {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := SameBytes(a, b)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := SameBytes("/nonexistent", "/nonexistent"); !os.IsNotExist(err) {
		t.Errorf("files that do not exist: %v", err)
	}
}

func TestRandomFile(t *testing.T) {
	directory := t.TempDir()
	const sizeBytes = 3<<20 + 5
	paths := map[string]uint64{"one": 1, "one again": 1, "two": 2}
	for name, seed := range paths {
		path := filepath.Join(directory, name)
		if err := RandomFile(path, sizeBytes, seed); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != sizeBytes {
			t.Fatalf("%v (%v), want %d bytes", info, err, sizeBytes)
		}
	}
	if err := SameBytes(filepath.Join(directory, "one"), filepath.Join(directory, "one again")); err != nil {
		t.Error("the same seed:", err)
	}
	if err := SameBytes(filepath.Join(directory, "one"), filepath.Join(directory, "two")); err == nil {
		t.Error("two seeds gave the same file")
	}
}

func TestSparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	const sizeBytes = 8 << 20
	extent := Extent{OffsetBytes: 1 << 20, SizeBytes: 4096}
	if err := SparseFile(path, sizeBytes, 1, extent); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != sizeBytes {
		t.Fatalf("%d bytes, want %d", len(content), sizeBytes)
	}
	end := extent.OffsetBytes + extent.SizeBytes
	zeros := func(b []byte) int { return strings.Count(string(b), "\x00") }
	if n := zeros(content[:extent.OffsetBytes]) + zeros(content[end:]); n != sizeBytes-int(extent.SizeBytes) {
		t.Errorf("%d zeros outside of the extent", n)
	}
	if n := zeros(content[extent.OffsetBytes:end]); n > 100 { // 16 expected
		t.Errorf("%d zeros in the extent", n)
	}
	for _, e := range []Extent{{-1, 1}, {0, -1}, {0, sizeBytes + 1}, {sizeBytes, 1}} {
		if err := SparseFile(path, sizeBytes, 1, e); err == nil {
			t.Errorf("extent %+v accepted", e)
		}
	}
}
