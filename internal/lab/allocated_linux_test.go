package lab

import (
	"path/filepath"
	"testing"
)

func TestAllocatedBytes(t *testing.T) {
	directory := t.TempDir()
	const sizeBytes = 8 << 20
	full, holes := filepath.Join(directory, "full"), filepath.Join(directory, "holes")
	if err := RandomFile(full, sizeBytes, 1); err != nil {
		t.Fatal(err)
	}
	if err := SparseFile(holes, sizeBytes, 1); err != nil {
		t.Fatal(err)
	}
	allocated := func(path string) int64 {
		n, err := AllocatedBytes(path)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if f, h := allocated(full), allocated(holes); f < sizeBytes || h >= sizeBytes/8 {
		t.Errorf("full file takes %d, holes take %d, of %d", f, h, sizeBytes)
	}
}
