package target

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

// flip changes a byte of a file, and sees to it that who reads the file gets it.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := file.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestReadBackSeesDevice: a byte that is wrong on the device alone, and right in the
// page cache, is read as it is on the device.
func TestReadBackSeesDevice(t *testing.T) {
	const size = 4 << 20
	image := random(1, size)
	for _, direct := range []bool{true, false} {
		disk := filepath.Join(t.TempDir(), "disk")
		writeFile(t, disk, make([]byte, size))
		device := loopdev.Attach(t, disk, 0, 512)
		f := synced(t, device, image)
		checkBack(t, f, image)
		if err := f.ReadAt(make([]byte, size), 0); err != nil { // all is in the page cache
			t.Fatal(err)
		}
		if err := os.WriteFile(disk, image, 0o600); err != nil {
			t.Fatal(err)
		}
		flip(t, disk, 3<<20+1234)
		b, err := f.ReadBack()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if !direct {
			b.direct.Store(false)
			if err := setDirect(b.file, false); err != nil {
				t.Fatal(err)
			}
		}
		p := b.Buffer(1 << 20)
		if err := b.ReadAt(p, 3<<20); err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(image[3<<20:])
		want[1234] ^= 0x10
		if !bytes.Equal(p, want) {
			t.Errorf("direct = %v: what is on the device was not read", direct)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlushCache: after it a byte that is wrong on the device alone, as after a write that
// failed, is read as it is on the device.
func TestFlushCache(t *testing.T) {
	const size = 1 << 20
	disk := filepath.Join(t.TempDir(), "disk")
	image := random(1, size)
	writeFile(t, disk, image)
	device := loopdev.Attach(t, disk, 0, 512)
	f := mustOpen(t, Options{Path: device})
	got := make([]byte, size)
	if err := f.ReadAt(got, 0); err != nil { // all is in the page cache
		t.Fatal(err)
	}
	flip(t, disk, 77)
	if err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, image) {
		t.Skip("the page cache does not keep what was read")
	}
	if err := f.FlushCache(); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if image[77] ^= 0x10; !bytes.Equal(got, image) {
		t.Error("what is on the device was not read")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadBackSeesFileSystem is the same with a file, below which the device changes.
func TestReadBackSeesFileSystem(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	writeFile(t, disk, make([]byte, 8<<20))
	device := loopdev.Attach(t, disk, 0, 512)
	makeExt4(t, device)
	path := filepath.Join(mountAt(t, device, "ext4", ""), "out.img")
	image := random(1, 1<<20)
	f := synced(t, path, image)
	checkBack(t, f, image)
	if err := f.ReadAt(make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(all, image[512<<10:516<<10])
	if at < 0 {
		t.Fatal("the file is not on the device")
	}
	flip(t, disk, int64(at)+77)
	b, err := f.ReadBack()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := b.Buffer(1 << 20)
	if err := b.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	if image[512<<10+77] ^= 0x10; !bytes.Equal(p, image) {
		t.Error("what is on the device was not read")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReread: once the table was read that the device holds now, which is none, the
// partition is gone.
func TestReread(t *testing.T) {
	device := loopDevice(t, diskBytes, unix.LO_FLAGS_PARTSCAN)
	part := addPartition(t, device, 64<<10, diskBytes)
	f := mustOpen(t, Options{Path: part})
	if err := f.Reread(); err != nil {
		t.Errorf("a partition has none of its own: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	// While it is open, the kernel does not read the table.
	held, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	f = mustOpen(t, Options{Path: device})
	checkIO(t, f.Reread(), "read the partition table of "+device+": device or resource busy")
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Reread(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(part); err == nil {
		t.Error("the partition is still there")
	}
}

func TestRereadNothing(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "out.img"), loopDevice(t, diskBytes, 0)} {
		if err := mustOpen(t, Options{Path: path}).Reread(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
