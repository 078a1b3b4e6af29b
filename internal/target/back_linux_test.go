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
	disk := filepath.Join(t.TempDir(), "disk")
	image := random(1, size)
	for _, direct := range []bool{true, false} {
		writeFile(t, disk, make([]byte, size))
		device := loopdev.Attach(t, disk, 0, 512)
		f := mustOpen(t, Options{Path: device})
		if err := f.Prepare(size, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteAt(image, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
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

// TestReadBackSeesFileSystem is the same with a file, below which the device changes.
func TestReadBackSeesFileSystem(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	writeFile(t, disk, make([]byte, 8<<20))
	device := loopdev.Attach(t, disk, 0, 512)
	makeExt4(t, device)
	path := filepath.Join(mountAt(t, device, "ext4", ""), "out.img")
	image := random(1, 1<<20)
	f := mustOpen(t, Options{Path: path})
	if err := f.Prepare(1<<20, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
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

// TestReread: the partitions of a table that was written are there, once it was read.
func TestReread(t *testing.T) {
	image := random(1, diskBytes)
	clear(image[:512])
	copy(image[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0}) // 256 sectors in, 512 long
	image[510], image[511] = 0x55, 0xAA
	device := loopDevice(t, diskBytes, unix.LO_FLAGS_PARTSCAN)
	f := mustOpen(t, Options{Path: device})
	if err := f.Prepare(diskBytes, 512); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	part := device + "p1"
	if _, err := os.Stat(part); err == nil {
		t.Fatal("the partition is there already")
	}
	if err := f.Reread(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(part); err != nil {
		t.Skip("the kernel reads no MBR: ", err)
	}
	if got := readDevice(t, part); !bytes.Equal(got, image[256*512:768*512]) {
		t.Error("the partition holds other bytes")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	// A partition has none of its own.
	f = mustOpen(t, Options{Path: part})
	if err := f.Reread(); err != nil {
		t.Errorf("of a partition: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	// While one is open, the kernel does not read the table.
	held, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	f = mustOpen(t, Options{Path: device, Force: true})
	checkIO(t, f.Reread(), "read the partition table of "+device+": device or resource busy")
}

func TestRereadNothing(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "out.img"), loopDevice(t, diskBytes, 0)} {
		if err := mustOpen(t, Options{Path: path}).Reread(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
