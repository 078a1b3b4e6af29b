package target

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/target/loopdev"
)

const modelBytes = 1 << 20

// zeroPlaces are devices, and folders on file systems, by name.
func zeroPlaces(t *testing.T) map[string]string {
	t.Helper()
	places := map[string]string{"temporary folder": t.TempDir()}
	if os.Geteuid() != 0 {
		t.Log("file systems and devices are for root: run as root for more than the temporary folder")
		return places
	}
	places["tmpfs"] = smallFileSystem(t, 64<<20)
	for kind, disk := range map[string]struct {
		size int64
		args []string
	}{
		"ext4":  {16 << 20, []string{"-q", "-F"}},
		"xfs":   {320 << 20, []string{"-q"}},
		"btrfs": {128 << 20, []string{"-q"}},
	} {
		device := loopdev.Attach(t, sparseDisk(t, disk.size), 0, 512)
		makeFileSystem(t, kind, device, disk.args...)
		places[kind] = mountAt(t, device, kind, "")
	}
	places["device"] = loopDevice(t, modelBytes, 0)
	places["device of large sectors"] = loopdev.Attach(t, sparseDisk(t, modelBytes), 0, 4096)
	return places
}

// TestZeros compares data and zeros, in any order, over old content or none, with a
// slice: by way of the page cache, and of the device.
func TestZeros(t *testing.T) {
	for name, place := range zeroPlaces(t) {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) { zeroRun(rt, place) })
		})
	}
}

// zeroRun is one run on a device, or on a file in a folder.
func zeroRun(rt *rapid.T, place string) {
	path, size := place, modelBytes
	old := bytes.Repeat([]byte{0xFF}, modelBytes)
	if info, err := os.Stat(place); err != nil {
		rt.Fatal(err)
	} else if info.IsDir() {
		path = filepath.Join(place, "out.img")
		defer os.Remove(path)
		size = rapid.IntRange(1, modelBytes).Draw(rt, "size")
		old = old[:rapid.SampledFrom([]int{0, 1, 200 << 10, modelBytes}).Draw(rt, "old")]
	}
	if err := os.WriteFile(path, old, 0o644); err != nil {
		rt.Fatal(err)
	}
	f, err := Open(Options{Path: path, Allocate: rapid.Bool().Draw(rt, "allocate")})
	if err != nil {
		rt.Fatal(err)
	}
	defer f.file.Close()
	if err := f.Prepare(uint64(size), 0); err != nil {
		rt.Fatal(err)
	}
	f.plainZeros = rapid.Bool().Draw(rt, "plain")
	want := make([]byte, size)
	copy(want, old)
	for range rapid.IntRange(1, 8).Draw(rt, "runs") {
		lo := rapid.IntRange(0, size).Draw(rt, "lo")
		hi := rapid.IntRange(lo, size).Draw(rt, "hi")
		switch rapid.IntRange(0, 5).Draw(rt, "kind") {
		case 0: // all that was written is clean
			if err := f.Sync(); err != nil {
				rt.Fatal(err)
			}
		case 1, 2:
			run := bytes.Repeat([]byte{0xA5}, hi-lo)
			if err := f.WriteAt(run, uint64(lo)); err != nil {
				rt.Fatal(err)
			}
			copy(want[lo:hi], run)
		default:
			if err := f.WriteZeros(uint64(lo), uint64(hi-lo)); err != nil {
				rt.Fatal(err)
			}
			clear(want[lo:hi])
		}
	}
	got := make([]byte, size)
	if err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		rt.Fatalf("by way of the page cache: %v, or other bytes", err)
	}
	if err := f.Sync(); err != nil {
		rt.Fatal(err)
	}
	b, err := f.ReadBack()
	if err != nil {
		rt.Fatal(err)
	}
	defer b.Close()
	got = b.Buffer(size)
	if err := b.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		rt.Fatalf("on the device: %v, or other bytes", err)
	}
}

// TestZerosFast: the fast way is taken where there is one, and left for good where
// there is none.
func TestZerosFast(t *testing.T) {
	ext4 := loopdev.Attach(t, sparseDisk(t, 16<<20), 0, 512)
	makeExt4(t, ext4)
	onExt4, onTmpfs := mountAt(t, ext4, "ext4", ""), smallFileSystem(t, 64<<20)
	for _, tt := range []struct {
		path     string
		allocate bool
		plain    bool  // after it
		space    int64 // what the file takes at the most, then
	}{
		{loopDevice(t, 4<<20, 0), false, false, 0},
		{filepath.Join(onExt4, "holes.img"), false, false, 2<<20 + 64<<10},
		{filepath.Join(onExt4, "allocated.img"), true, false, 4<<20 + 64<<10},
		{filepath.Join(onTmpfs, "holes.img"), false, false, 2 << 20},
		{filepath.Join(onTmpfs, "allocated.img"), true, true, 4 << 20}, // tmpfs cannot
	} {
		writeFile(t, tt.path, bytes.Repeat([]byte{0xFF}, 4<<20))
		f := mustOpen(t, Options{Path: tt.path, Allocate: tt.allocate})
		if err := f.Prepare(4<<20, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteZeros(1<<20, 2<<20); err != nil {
			t.Fatal(err)
		}
		if f.plainZeros != tt.plain {
			t.Errorf("%s: zeros as data = %v, want %v", tt.path, f.plainZeros, tt.plain)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := allocatedBytes(t, tt.path); got > tt.space {
			t.Errorf("%s takes %d bytes, want %d at most", tt.path, got, tt.space)
		} else if tt.allocate && got < 4<<20 {
			t.Errorf("%s gave space back: it takes %d bytes", tt.path, got)
		}
		rest := bytes.Repeat([]byte{0xFF}, 1<<20)
		checkContent(t, tt.path, append(append(rest, make([]byte, 2<<20)...), rest...))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestZerosFail: that the fast way fails is no reason not to say why nothing works.
func TestZerosFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	writeFile(t, path, bytes.Repeat([]byte{0xFF}, 1<<20))
	f := mustOpen(t, Options{Path: path})
	if err := f.Prepare(1<<20, 0); err != nil {
		t.Fatal(err)
	}
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.file.Close()
	f.file = readOnly
	checkIO(t, f.WriteZeros(64<<10, 512<<10), "write "+path+" at offset 65536: bad file descriptor")
	checkIO(t, f.Sync(), "bad file descriptor")
	checkIO(t, f.WriteZeros(0, 1), "bad file descriptor")
	if !f.plainZeros {
		t.Error("the slow way was not tried")
	}
	f.err = nil
	checkIO(t, f.WriteZeros(1<<20, 1), "write "+path+" at offset 1048576: 1 bytes do not fit into an image of 1048576")
}
