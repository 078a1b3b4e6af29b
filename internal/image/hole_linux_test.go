package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIsHole(t *testing.T) {
	const block = 1 << 20
	path := filepath.Join(t.TempDir(), "sparse.img")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(8 * block); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{2*block + 5, 5 * block} {
		if _, err := file.WriteAt([]byte{1}, at); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, path)
	if !s.IsHole(0, block) {
		t.Skip("this file system does not tell holes")
	}
	for n, want := range []bool{true, true, false, true, true, false, true, true} {
		if got := s.IsHole(uint64(n)*block, block); got != want {
			t.Errorf("block %d: hole %v, want %v", n, got, want)
		}
	}
	if s.IsHole(7*block, 2*block) {
		t.Error("a range beyond the end is a hole")
	}
	// Reading goes on where it was asked to, wherever the search ended.
	b := make([]byte, 10)
	if _, err := s.ReadAt(b, 5*block); err != nil || b[0] != 1 {
		t.Errorf("read %v, %v", b, err)
	}
}
