package target

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"multiserver/internal/lab"
	"multiserver/internal/target/loopdev"
)

// writeUntilError writes MiB after MiB, and then syncs, until the target fails.
func writeUntilError(t *testing.T, f *File, image []byte) error {
	t.Helper()
	if err := f.Prepare(uint64(len(image)), 0); err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(image); off += 1 << 20 {
		if err := f.WriteAt(image[off:min(off+1<<20, len(image))], uint64(off)); err != nil {
			return err
		}
	}
	return f.Sync()
}

// checkStays: the kernel tells of what it could not write only once. We must not
// forget it.
func checkStays(t *testing.T, f *File, err error) {
	t.Helper()
	for range 2 {
		if again := f.Sync(); again != err {
			t.Errorf("then %v; want again: %v", again, err)
		}
	}
	if again := f.WriteAt([]byte{1}, 0); again != err {
		t.Errorf("then %v; want again: %v", again, err)
	}
}

// TestExt4Full: a file system that has no room for a file whose holes it took.
func TestExt4Full(t *testing.T) {
	device := loopdev.Attach(t, sparseDisk(t, 16<<20), 0, 512)
	makeExt4(t, device)
	path := filepath.Join(mountAt(t, device, "ext4", ""), "out.img")
	image := random(1, 20<<20)
	f := mustOpen(t, Options{Path: path})
	err := writeUntilError(t, f, image)
	checkIO(t, err, "write "+path+" at offset ", "no space left on device")
	checkStays(t, f, err)
	var off int
	if _, e := fmt.Sscanf(err.Error()[len("write "+path):], " at offset %d:", &off); e != nil {
		t.Fatal(e)
	}
	got := make([]byte, len(image))
	if err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got[:off], image[:off]) || !bytes.Equal(got[off:], make([]byte, len(got)-off)) {
		t.Errorf("%v, or not all before offset %d was written, or something behind it", err, off)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDeviceShrinks: by the next write, or if there is none, by what was written.
func TestDeviceShrinks(t *testing.T) {
	for _, written := range []uint64{1 << 20, 2 << 20} {
		disk := filepath.Join(t.TempDir(), "disk")
		writeFile(t, disk, make([]byte, 2<<20))
		device := loopdev.Attach(t, disk, 0, 512)
		f := mustOpen(t, Options{Path: device})
		if err := f.Prepare(2<<20, 0); err != nil {
			t.Fatal(err)
		}
		image := random(1, 2<<20)
		if err := f.WriteAt(image[:written], 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(disk, 1<<20); err != nil {
			t.Fatal(err)
		}
		loopdev.Resize(t, device)
		var err error
		if written < 2<<20 {
			err = f.WriteAt(image[written:], written)
			checkIO(t, err, "write "+device+" at offset 1048576: no space left on device")
		} else {
			err = f.Sync()
			checkIO(t, err, device, " 1048576")
		}
		checkStays(t, f, err)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFileShrinks: somebody else cut the file.
func TestFileShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	f := mustOpen(t, Options{Path: path})
	if err := f.Prepare(2<<20, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(random(1, 2<<20), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	err := f.Sync()
	checkIO(t, err, "write "+path+" at offset 1048576: it has shrunk to 1048576 bytes, the image has 2097152")
	checkStays(t, f, err)
}

// TestDeviceFailsLate: what is written goes to the page cache, and the device fails
// later. Whether a write or the sync finds out, it must be found out.
func TestDeviceFailsLate(t *testing.T) {
	const size, room = 48 << 20, 16 << 20
	for _, behind := range []bool{true, false} {
		disk := filepath.Join(smallFileSystem(t, room), "disk")
		writeFile(t, disk, nil)
		if err := os.Truncate(disk, size); err != nil {
			t.Fatal(err)
		}
		device := loopdev.Attach(t, disk, 0, 512)
		f := mustOpen(t, Options{Path: device})
		var err error
		if behind {
			err = writeUntilError(t, f, random(1, size))
			checkIO(t, err, device+" between offsets ")
		} else {
			if err := f.Prepare(size, 0); err != nil {
				t.Fatal(err)
			}
			f.writeback.disabled = true
			if err := f.WriteAt(random(1, size), 0); err != nil {
				t.Fatal(err)
			}
			err = f.Sync()
			checkIO(t, err, fmt.Sprintf("sync %s between offsets 0 and %d: ", device, size))
		}
		checkStays(t, f, err)
		if err := f.file.Close(); err != nil {
			t.Log(err)
		}
	}
}

// faultyFile is a file of our own making, that fails.
func faultyFile(t *testing.T, cfg lab.FaultyConfig) (*lab.FaultyFile, *File) {
	t.Helper()
	faulty, err := lab.MountFaultyFile(t.TempDir(), cfg)
	if err != nil {
		t.Skip("no file systems of our own: run as root, with /dev/fuse: ", err)
	}
	t.Cleanup(func() {
		if err := faulty.Close(); err != nil {
			t.Error(err)
		}
	})
	return faulty, mustOpen(t, Options{Path: faulty.Path})
}

// TestWriteFails: the offset is the first that fails, to the byte.
func TestWriteFails(t *testing.T) {
	const size, bad = 4 << 20, 2<<20 + 12345
	faulty, f := faultyFile(t, lab.FaultyConfig{SizeBytes: size, FailWritesFrom: bad})
	image := random(1, size)
	err := writeUntilError(t, f, image)
	checkIO(t, err, fmt.Sprintf("write %s at offset %d: input/output error", faulty.Path, bad))
	checkStays(t, f, err)
	if !bytes.Equal(faulty.Content()[:bad], image[:bad]) {
		t.Error("what comes before it was not written")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestZerosFailAt: zeros are data where the file system makes none, and fail alike.
func TestZerosFailAt(t *testing.T) {
	const size, bad = 4 << 20, 2<<20 + 12345
	faulty, f := faultyFile(t, lab.FaultyConfig{SizeBytes: size, FailWritesFrom: bad})
	if err := f.Prepare(size, 0); err != nil {
		t.Fatal(err)
	}
	err := f.WriteZeros(1<<20, 3<<20)
	checkIO(t, err, fmt.Sprintf("write %s at offset %d: input/output error", faulty.Path, bad))
	checkStays(t, f, err)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWriteFailsLate: it is the wait for what was sent that finds out, and the sync
// afterwards would not.
func TestWriteFailsLate(t *testing.T) {
	const size = 4 * writebackBytes
	for _, bad := range []int64{writebackBytes / 2, size - 1} {
		faulty, f := faultyFile(t, lab.FaultyConfig{SizeBytes: size, FailWritesFrom: bad, Late: true})
		err := writeUntilError(t, f, random(1, size))
		checkIO(t, err, faulty.Path+" between offsets ", ": input/output error")
		checkStays(t, f, err)
		if err := f.file.Close(); err != nil {
			t.Log(err)
		}
	}
}

// TestReadFails: by either way of reading.
func TestReadFails(t *testing.T) {
	const size, bad = 2 << 20, 1 << 20
	faulty, f := faultyFile(t, lab.FaultyConfig{SizeBytes: size, FailReadsFrom: bad})
	want := fmt.Sprintf("read %s at offset %d: input/output error", faulty.Path, bad)
	checkIO(t, f.ReadAt(make([]byte, 1000), bad), want)
	b, err := f.ReadBack()
	if err != nil {
		t.Fatal(err)
	}
	p := b.Buffer(1 << 20)
	if err := b.ReadAt(p, 0); err != nil {
		t.Error(err)
	}
	checkIO(t, b.ReadAt(p, bad), want)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
