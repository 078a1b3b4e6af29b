package usedblocks

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/image"
	"multiserver/internal/target/loopdev"
)

// ext4Image makes an image with an ext4.
func ext4Image(t testing.TB) string {
	needs(t, "mkfs.ext4")
	path := emptyImage(t, 32<<20)
	run(t, "mkfs.ext4", "-q", "-F", path)
	return path
}

func skip(t testing.TB, path string) (image.Source, *Map) {
	t.Helper()
	f, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	src, m := Skip(f, path)
	t.Cleanup(func() { src.Close() })
	return src, m
}

// TestSkipFile: an image is served without what is unused, until it is written to.
func TestSkipFile(t *testing.T) {
	path := ext4Image(t)
	src, m := skip(t, path)
	if m.Whole != nil || m.UnusedBytes() < 20<<20 {
		t.Fatalf("%q", m.Lines())
	}
	if err := src.Changed(); err != nil {
		t.Error(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if src.Changed() == nil {
		t.Error("a change is not noticed")
	}
}

// TestSkipWitness: a superblock that changes is noticed where no time of modification tells.
func TestSkipWitness(t *testing.T) {
	b, err := os.ReadFile(ext4Image(t))
	if err != nil {
		t.Fatal(err)
	}
	m := Read(readerOf(b), uint64(len(b)))
	if err := m.Changed(readerOf(b)); err != nil {
		t.Error(err)
	}
	b[extSuperAt+0x30]++ // time of the last write
	if err := m.Changed(readerOf(b)); err == nil {
		t.Error("a superblock that changed is not noticed")
	}
}

// TestSkipLoop: an image that a loop device lies on is sent whole, whoever mounted that where.
func TestSkipLoop(t *testing.T) {
	path := ext4Image(t)
	mounted(t, path, "ro", func(string) {}) // not any more
	loopdev.Attach(t, path, 0, 512)
	if _, m := skip(t, path); m.Whole == nil || !strings.Contains(m.Whole.Error(), "lies on it") {
		t.Errorf("a loop device: %q", m.Lines())
	}
}

// TestSkipLocked: an image that a virtual machine has locked is sent whole.
func TestSkipLocked(t *testing.T) {
	path := ext4Image(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 100, Len: 1}); err != nil {
		t.Skip("no locks: ", err)
	}
	if _, m := skip(t, path); m.Whole == nil || !strings.Contains(m.Whole.Error(), "locked") {
		t.Errorf("a locked file: %q", m.Lines())
	}
}

// TestSkipDevice: a device is served without what is unused only if nobody uses it, in any
// namespace, and nobody can mount it meanwhile.
func TestSkipDevice(t *testing.T) {
	path := ext4Image(t)
	device := loopdev.Attach(t, path, 0, 512)
	src, m := skip(t, device)
	if m.Whole != nil || m.UnusedBytes() < 20<<20 {
		t.Fatalf("%q", m.Lines())
	}
	dir := t.TempDir()
	inMounts(t, func() {
		if exec.Command("mount", device, dir).Run() == nil {
			t.Error("it can be mounted while it is served")
			unix.Unmount(dir, 0)
		}
	})
	if err := src.Changed(); err != nil {
		t.Error(err)
	}
	disk, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	super := make([]byte, extSuperSize)
	if _, err := disk.ReadAt(super, extSuperAt); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.WriteAt([]byte{1, 2, 3}, extSuperAt+0x30); err != nil { // the time of a write
		t.Error(err)
	}
	if err := src.Changed(); !errors.Is(err, image.ErrChanged) {
		t.Errorf("a device that was written to: %v", err)
	}
	if _, err := disk.WriteAt(super, extSuperAt); err != nil {
		t.Error(err)
	}
	src.Close()
	// In a mount namespace that this test is not in.
	inMounts(t, func() {
		if out, err := exec.Command("mount", device, dir).CombinedOutput(); err != nil {
			t.Errorf("mount: %v: %s", err, out)
			return
		}
		seen := make(chan *Map)
		go func() {
			_, m := skip(t, device)
			seen <- m
		}()
		if m := <-seen; m.Whole == nil || !strings.Contains(m.Whole.Error(), "in use") {
			t.Errorf("mounted elsewhere: %q", m.Lines())
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}
