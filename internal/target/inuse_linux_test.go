package target

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

const inUse = "it is in use (ClientConfig.Force writes anyway)"

// makeFileSystem makes one on the device by mkfs.KIND, with arguments.
func makeFileSystem(t *testing.T, kind, device string, args ...string) {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		t.Skipf("mkfs.%s is missing: install e2fsprogs, xfsprogs, btrfs-progs", kind)
	}
	if out, err := exec.Command(mkfs, append(args, device)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", mkfs, err, out)
	}
}

// sparseDisk is a file of size bytes that takes no space.
func sparseDisk(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	writeFile(t, path, nil)
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// detach takes a mount out of the tree. Whoever uses the file system keeps it.
func detach(t *testing.T, where string) {
	t.Helper()
	if err := unix.Unmount(where, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	// The end of the test unmounts it once more.
	if err := unix.Mount("tmpfs", where, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
}

// TestDeviceUnderLoop: a device is no target while a loop device lies on its file
// system, mounted or not.
func TestDeviceUnderLoop(t *testing.T) {
	device := loopdev.Attach(t, sparseDisk(t, 8<<20), 0, 512)
	makeExt4(t, device)
	where := mountAt(t, device, "ext4", "")
	inner := filepath.Join(where, "live.img")
	writeFile(t, inner, make([]byte, diskBytes))
	upper := loopdev.Attach(t, inner, 0, 512)
	unix.Sync() // what the file system writes of itself
	if _, err := deviceRefused(t, device, device+" is mounted on "+where); err != nil {
		t.Logf("with Force: %v", err)
	}
	detach(t, where)
	unix.Sync()
	if _, err := deviceRefused(t, device, upper+" lies on it (ClientConfig.Force writes anyway)"); err != nil {
		t.Logf("with Force: %v", err)
	}
}

// TestLoopOfOthers: a loop device is no target while what it is another name of is in use:
// a disk, a part of one, or a file. Nor is a disk that a loop device is another name of.
func TestLoopOfOthers(t *testing.T) {
	file := sparseDisk(t, 8<<20)
	disk := loopdev.Attach(t, file, 0, 512)
	makeExt4(t, disk)
	name := loopdev.Attach(t, disk, 0, 512)
	nameOfName := loopdev.Attach(t, name, 0, 512)
	for device, holder := range map[string]string{disk: name, name: nameOfName} {
		_, err := Open(Options{Path: device})
		checkRefused(t, err, device, holder+" lies on it (ClientConfig.Force writes anyway)")
	}
	f, err := Open(Options{Path: nameOfName})
	if err != nil {
		t.Fatalf("nobody uses what it lies on: %v", err)
	}
	f.Close()

	same := loopdev.Attach(t, file, 0, 512)
	for device, holder := range map[string]string{nameOfName: same, same: disk} {
		_, err := Open(Options{Path: device})
		checkRefused(t, err, device, holder+" lies on it (ClientConfig.Force writes anyway)")
	}
	where := mountAt(t, disk, "ext4", "")
	for _, device := range []string{disk, name, nameOfName, same} {
		deviceRefused(t, device, disk+" is mounted on "+where+" (ClientConfig.Force writes anyway)")
	}
}

// TestDeviceUnderOverlay: an overlay keeps file systems that are no longer mounted.
func TestDeviceUnderOverlay(t *testing.T) {
	device := loopdev.Attach(t, sparseDisk(t, 8<<20), 0, 512)
	makeExt4(t, device)
	where := mountAt(t, device, "ext4", "")
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(where, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mountAt(t, "overlay", "overlay", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", where))
	detach(t, where)
	if _, err := deviceRefused(t, device, inUse); err != nil {
		t.Logf("with Force: %v", err)
	}
}

// TestDeviceOfBtrfs: either of two devices is known to be a part of it.
func TestDeviceOfBtrfs(t *testing.T) {
	one := loopdev.Attach(t, sparseDisk(t, 128<<20), 0, 512)
	two := loopdev.Attach(t, sparseDisk(t, 128<<20), 0, 512)
	makeFileSystem(t, "btrfs", two, "-q", "-d", "single", "-m", "single", one)
	scan, err := exec.Command("btrfs", "device", "scan", one, two).CombinedOutput()
	if err != nil {
		t.Skipf("btrfs device scan: %v: %s", err, scan)
	}
	t.Cleanup(func() { exec.Command("btrfs", "device", "scan", "--forget", one, two).Run() })
	mountAt(t, one, "btrfs", "")
	for _, device := range []string{one, two} {
		_, err := Open(Options{Path: device})
		checkRefused(t, err, device, device+" is ")
		if err != nil && !strings.Contains(err.Error(), "mounted") {
			t.Errorf("not said to be mounted: %v", err)
		}
	}
}

// TestPartitionHeld: a disk is no target while somebody has a partition of it, nor is
// a partition while somebody has the disk.
func TestPartitionHeld(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	part := addPartition(t, device, 64<<10, diskBytes)
	for _, held := range []struct{ by, target string }{{part, device}, {device, part}} {
		holder, err := os.OpenFile(held.by, os.O_RDONLY|unix.O_EXCL, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deviceRefused(t, held.target, inUse); err != nil {
			t.Errorf("with Force: %v", err)
		}
		if err := holder.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeviceEmpty: a card reader without a card, a loop device without a file.
func TestDeviceEmpty(t *testing.T) {
	device := loopdev.New(t, nil, 0)
	for _, force := range []bool{false, true} {
		_, err := Open(Options{Path: device, Force: force})
		checkRefused(t, err, device, "it holds 0 bytes: it has no medium, or was not set up")
		if !errors.Is(err, ErrNoDisk) {
			t.Errorf("%v: a medium may come", err)
		}
	}
}

// TestFileUnderLoop: what lies on the file may be mounted.
func TestFileUnderLoop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	writeFile(t, path, make([]byte, diskBytes))
	device := loopdev.Attach(t, path, 0, 512)
	checkRefused(t, openRefused(t, Options{Path: path}, filepath.Dir(path)), path, device+" lies on it (ClientConfig.Force writes anyway)")
	write(t, mustOpen(t, Options{Path: path, Force: true}), []byte("image"), 10, false)
	checkContent(t, path, []byte("image"))
	if err := os.Truncate(path, diskBytes); err != nil {
		t.Fatal(err)
	}
}

// TestFileOfSwap: no force helps, as the kernel lets nobody write there.
func TestFileOfSwap(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "swap file")
	writeFile(t, path, []byte("old"))
	line := strings.ReplaceAll(path, " ", `\040`) + " file\t1020\t0\t-2\n"
	for swaps, want := range map[string]string{line: "it is used for swap (end that with swapoff)", "": ""} {
		for _, force := range []bool{false, true} {
			err := fakeTables(t, "", swaps).checkFile("F", path, force)
			if want != "" {
				checkRefused(t, err, "F", want)
			} else if err != nil {
				t.Error(err)
			}
		}
	}
	unknown := fakeTables(t, "", "")
	unknown.swaps = dir
	checkRefused(t, unknown.checkFile("F", path, false), "F", "cannot tell whether it is used for swap")
}

// TestFileReadOnly: the file system lets nobody write.
func TestFileReadOnly(t *testing.T) {
	where := smallFileSystem(t, 1<<20)
	path := filepath.Join(where, "out.img")
	writeFile(t, path, []byte("old"))
	if err := unix.Mount("", where, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, filepath.Join(where, "new.img")} {
		checkRefused(t, openRefused(t, Options{Path: path, Force: true}, where), path, "read-only file system")
	}
}

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// TestFileImmutable: chattr +i keeps root too from writing.
func TestFileImmutable(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	makeExt4(t, device)
	where := mountAt(t, device, "ext4", "")
	path := filepath.Join(where, "out.img")
	writeFile(t, path, []byte("old"))
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, immutable); err != nil {
		t.Skip("no file can be made immutable here: ", err)
	}
	checkRefused(t, openRefused(t, Options{Path: path, Force: true}, where), path, "operation not permitted")
}
