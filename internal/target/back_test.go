package target

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReadAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	old := random(1, 300<<10)
	writeFile(t, path, old)
	f := mustOpen(t, Options{Path: path})
	if !f.Readable() {
		t.Error("it is not readable")
	}
	if err := f.Prepare(400<<10, 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 200<<10+1)
	if err := f.ReadAt(got, 99<<10); err != nil || !bytes.Equal(got, old[99<<10:][:len(got)]) {
		t.Errorf("before it is written: %v, or other bytes", err)
	}
	data := random(2, 5000)
	if err := f.WriteAt(data, 100<<10); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadAt(got[:5000], 100<<10); err != nil || !bytes.Equal(got[:5000], data) {
		t.Errorf("once it is written: %v, or other bytes", err)
	}
	checkIO(t, f.ReadAt(got[:2], 400<<10-1), "read "+path+" at offset 409600: unexpected EOF")
	// That something cannot be read does not keep anything from being written.
	if err := f.WriteAt(data, 0); err != nil {
		t.Error(err)
	}
}

// TestNotReadable: that a file may be written to is enough.
func TestNotReadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read anything: run as an ordinary user")
	}
	path := filepath.Join(t.TempDir(), "out.img")
	writeFile(t, path, []byte("old"))
	if err := os.Chmod(path, 0o200); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, Options{Path: path})
	if f.Readable() {
		t.Error("it is readable")
	}
	_, err := f.ReadBack()
	checkIO(t, err, "read back "+path+": permission denied")
	write(t, f, []byte("image"), 10, false)
	if err := os.Chmod(path, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path, []byte("image"))
}

func TestReadBack(t *testing.T) {
	for _, size := range []int{1, 4095, 4096, 4097, 2<<20 + 777} {
		path := filepath.Join(t.TempDir(), "out.img")
		image := random(int64(size), size)
		f := synced(t, path, image)
		checkBack(t, f, image)
	}
}

// synced opens a target and puts image there.
func synced(t *testing.T, path string, image []byte) *File {
	t.Helper()
	f := mustOpen(t, Options{Path: path})
	if err := f.Prepare(uint64(len(image)), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return f
}

// checkBack reads all that the target must hold in pieces of a MiB, and beyond.
func checkBack(t *testing.T, f *File, want []byte) {
	t.Helper()
	b, err := f.ReadBack()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	buf := b.Buffer(1 << 20)
	for off := 0; off < len(want); off += len(buf) {
		p := buf[:min(len(buf), len(want)-off)]
		if err := b.ReadAt(p, uint64(off)); err != nil || !bytes.Equal(p, want[off:off+len(p)]) {
			t.Errorf("%d bytes at %d: %v, or other bytes", len(p), off, err)
		}
	}
	if err := b.ReadAt(buf, f.size/(1<<20)*(1<<20)); err == nil && !f.device {
		t.Error("bytes beyond the end were read")
	}
}

// TestReadBackUnaligned: where a direct read is refused, the page cache serves.
func TestReadBackUnaligned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	image := random(1, 3<<20)
	f := synced(t, path, image)
	b, err := f.ReadBack()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := b.Buffer(1<<20 + 8)[1:][:1<<20]
	for off := 0; off < 3<<20; off += 1 << 20 {
		if err := b.ReadAt(p, uint64(off)); err != nil || !bytes.Equal(p, image[off:off+1<<20]) {
			t.Errorf("at %d: %v, or other bytes", off, err)
		}
	}
}
