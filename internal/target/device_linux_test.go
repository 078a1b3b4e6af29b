package target

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

const diskBytes = 1 << 20

// deviceRefused checks that the device is refused, with what to do about it, and
// that it holds what it held; it returns whatever Force makes of it.
func deviceRefused(t *testing.T, device, want string) (*File, error) {
	t.Helper()
	before := readDevice(t, device)
	f, err := Open(Options{Path: device})
	if err == nil {
		f.Close()
		t.Fatalf("%s was opened; want it refused: %s", device, want)
	}
	checkRefused(t, err, device, want)
	f, err = Open(Options{Path: device, Force: true})
	if err == nil {
		t.Cleanup(func() { f.file.Close() })
	}
	if !bytes.Equal(readDevice(t, device), before) {
		t.Errorf("%s was written to", device)
	}
	return f, err
}

// deviceForced is deviceRefused where ClientConfig.Force is said to help, and does.
func deviceForced(t *testing.T, device, want string) {
	t.Helper()
	f, err := deviceRefused(t, device, want+" (ClientConfig.Force writes anyway)")
	if errors.Is(err, unix.EBUSY) {
		t.Logf("the kernel lets nobody write to %s while it is mounted", device)
		return
	}
	if err != nil {
		t.Fatalf("with Force: %v", err)
	}
	if err := f.Prepare(512, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(readDevice(t, device)[:512], 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func readDevice(t *testing.T, device string) []byte {
	t.Helper()
	all, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDevice(t *testing.T) {
	for _, size := range []int{diskBytes, diskBytes - 777} {
		device := loopDevice(t, diskBytes, 0)
		image := random(1, size)
		clear(image[100<<10 : 600<<10])
		f := mustOpen(t, Options{Path: device})
		if !f.IsDevice() || f.New() || f.Name() != device {
			t.Errorf("IsDevice, New, Name = %v, %v, %q", f.IsDevice(), f.New(), f.Name())
		}
		write(t, f, image, 99<<10, true)
		rest := bytes.Repeat([]byte{0xFF}, diskBytes-size)
		if !bytes.Equal(readDevice(t, device), append(image, rest...)) {
			t.Error("the device holds other bytes than were written, or lost those after the image")
		}
	}
}

func TestDeviceThroughLink(t *testing.T) {
	device := loopDevice(t, diskBytes, unix.LO_FLAGS_READ_ONLY)
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, openRefused(t, Options{Path: link}, filepath.Dir(link)), link+" ("+device+")", "it is read-only")
}

func TestDeviceTooSmall(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	for _, force := range []bool{false, true} {
		f := mustOpen(t, Options{Path: device, Force: force})
		checkRefused(t, f.Prepare(diskBytes+1, 0), device, "it holds 1048576 bytes, the image has 1048577")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readDevice(t, device), bytes.Repeat([]byte{0xFF}, diskBytes)) {
			t.Error("it was written to")
		}
	}
}

func TestDeviceReadOnly(t *testing.T) {
	device := loopDevice(t, diskBytes, unix.LO_FLAGS_READ_ONLY)
	_, err := deviceRefused(t, device, "it is read-only")
	checkRefused(t, err, device, "it is read-only")
}

func TestDeviceInUse(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	holder, err := os.OpenFile(device, os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := deviceRefused(t, device, "it is in use (ClientConfig.Force writes anyway)"); err != nil {
		t.Errorf("with Force: %v", err)
	}
}

// TestDeviceIsHeld: nobody else gets the device while we have it.
func TestDeviceIsHeld(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	mustOpen(t, Options{Path: device})
	if other, err := Open(Options{Path: device}); err == nil {
		other.Close()
		t.Error("two clients have the device")
	}
}

// TestDeviceReplaced: the safeguards looked at one device, and another was opened.
func TestDeviceReplaced(t *testing.T) {
	f := mustOpen(t, Options{Path: loopDevice(t, diskBytes, 0)})
	if err := f.measure(unix.Mkdev(1, 1)); err == nil {
		t.Error("it is taken for the other")
	}
}

func TestDeviceMounted(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	makeExt4(t, device)
	where := mountAt(t, device, "ext4", "")
	deviceForced(t, device, device+" is mounted on "+where)
}

func TestDevicePartitionMounted(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	part := addPartition(t, device, 64<<10, diskBytes)
	t.Run("not mounted", func(t *testing.T) {
		for _, path := range []string{device, part} {
			if err := mustOpen(t, Options{Path: path}).Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	makeExt4(t, part)
	where := mountAt(t, part, "ext4", "")
	deviceForced(t, device, part+" is mounted on "+where)
	deviceForced(t, part, part+" is mounted on "+where)
}

func TestDeviceSwap(t *testing.T) {
	area := make([]byte, diskBytes)
	copy(area, swapHeader(diskBytes))
	device := loopdev.New(t, area, 0)
	name, err := unix.BytePtrFromString(device)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(name)), 0, 0); errno != 0 {
		t.Skip("the kernel takes no swap here: ", errno)
	}
	t.Cleanup(func() {
		if _, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(name)), 0, 0); errno != 0 {
			t.Errorf("swapoff %s: %v", device, errno)
		}
	})
	_, err = deviceRefused(t, device, "it is used for swap (end that with swapoff)")
	// The kernel lets nobody write there, so no force helps.
	checkRefused(t, err, device, "it is used for swap (end that with swapoff)")
}

// TestDeviceOfRoot asks about the disk that this machine runs from, if it is one.
func TestDeviceOfRoot(t *testing.T) {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		t.Fatal(err)
	}
	dev := uint64(root.Dev)
	if _, err := os.Stat(system.folder(dev)); err != nil {
		t.Skip("/ is on no disk of its own")
	}
	want := system.deviceName(dev) + " is mounted on /"
	if why, err := system.use(dev); err != nil || why != want {
		t.Errorf("use = %q, %v; want %q", why, err, want)
	}
	// In a chroot the table of mounts says nothing of it.
	chroot := system
	chroot.mounts = os.DevNull
	if why, err := chroot.use(dev); err != nil || why != want {
		t.Errorf("in a chroot: use = %q, %v; want %q", why, err, want)
	}
}

// fakeTables lays out a disk with two partitions, of which the second holds a
// volume, and a volume on that, and a disk by itself.
func fakeTables(t *testing.T, mounts, swaps string) tables {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []struct {
		dev, folder string
		partition   bool
		holders     []string
	}{
		{"250:0", "sda", false, nil},
		{"250:1", "sda/sda1", true, nil},
		{"250:2", "sda/sda2", true, []string{"dm-0"}},
		{"251:0", "dm-0", false, []string{"dm-1"}},
		{"251:1", "dm-1", false, nil},
		{"252:0", "cciss!c0d0", false, nil},
		{"253:0", "sdb", false, []string{"dm-2"}}, // all of it, as by multipath
		{"253:1", "sdb/sdb1", true, nil},
		{"251:2", "dm-2", false, nil},
		{"7:0", "loop0", false, nil},
	} {
		folder := filepath.Join(dir, "devices", d.folder)
		// Folders that are no partitions lie there too.
		for _, sub := range []string{"holders", "queue"} {
			if err := os.MkdirAll(filepath.Join(folder, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, filepath.Join(folder, "dev"), []byte(d.dev+"\n"))
		if d.partition {
			writeFile(t, filepath.Join(folder, "partition"), []byte("1\n"))
		}
		for _, h := range d.holders {
			if err := os.Symlink(filepath.Join(dir, "devices", h), filepath.Join(folder, "holders", h)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(dir, "block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(folder, filepath.Join(dir, "block", d.dev)); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "mountinfo"), []byte(mounts))
	writeFile(t, filepath.Join(dir, "swaps"), []byte("Filename\tType\tSize\tUsed\tPriority\n"+swaps))
	return tables{
		mounts: filepath.Join(dir, "mountinfo"),
		swaps:  filepath.Join(dir, "swaps"),
		blocks: filepath.Join(dir, "block"),
		btrfs:  filepath.Join(dir, "btrfs"),
		root:   dir,
		loops:  func() []loop { return nil },
	}
}

func mountLine(dev, where, source string) string {
	return fmt.Sprintf("36 35 %s / %s rw shared:1 - ext4 %s rw\n", dev, where, source)
}

// TestMountedAt: a source is written meanwhile by what is mounted of it, unless read-only.
func TestMountedAt(t *testing.T) {
	sda, sda1, other := unix.Mkdev(250, 0), unix.Mkdev(250, 1), unix.Mkdev(252, 0)
	readOnly := func(line string) string { return strings.TrimSuffix(line, " rw\n") + " ro,errors=continue\n" }
	for _, tt := range []struct {
		name   string
		mounts string
		dev    uint64
		want   string
	}{
		{"nothing", "", other, ""},
		{"another is mounted", mountLine("250:0", "/x", "/dev/sda"), other, ""},
		{"mounted", mountLine("252:0", "/x", "none"), other, "/dev/cciss/c0d0 is mounted on /x"},
		{"on a hostile folder", mountLine("252:0", `/x\012y`, "none"), other, `/dev/cciss/c0d0 is mounted on "/x\ny"`},
		{"read-only", readOnly(mountLine("252:0", "/x", "none")), other, ""},
		{"a read-only mount of what can be written", strings.Replace(mountLine("252:0", "/x", "none"), " rw ", " ro ", 1), other, "/dev/cciss/c0d0 is mounted on /x"},
		{"one of two partitions read-only", readOnly(mountLine("250:1", "/boot", "none")) + mountLine("250:2", "/home", "none"), sda, "/dev/sda2 is mounted on /home"},
		{"another partition", mountLine("250:2", "/home", "none"), sda1, ""},
		{"what lies on a partition", mountLine("251:1", "/home", "none"), sda, "/dev/dm-1 is mounted on /home"},
		{"what lies on it, unused", "", unix.Mkdev(250, 2), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tables := fakeTables(t, tt.mounts, "")
			family, err := tables.family(tt.dev, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := tables.writable(family); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestMountedSource: a device and a file that are mounted, seen from both.
func TestMountedSource(t *testing.T) {
	path := sparseDisk(t, 8<<20)
	device := loopdev.Attach(t, path, 0, 512)
	makeExt4(t, device)
	for _, each := range []string{path, device} {
		if got := MountedAt(each); got != "" {
			t.Errorf("%s before it is mounted: %s", each, got)
		}
	}
	swapped := system
	swapped.swaps = filepath.Join(t.TempDir(), "swaps")
	writeFile(t, swapped.swaps, []byte("Filename\tType\tSize\tUsed\tPriority\n"+device+"   partition\t8188\t0\t-2\n"))
	if got, want := swapped.mountedAt(path), device+" is used for swap"; got != want {
		t.Errorf("with swap: %q, want %q", got, want)
	}
	where := mountAt(t, device, "ext4", "")
	// Another device of the same file is written to as well.
	for _, each := range []string{path, device, loopdev.Attach(t, path, 0, 512)} {
		if got, want := MountedAt(each), device+" is mounted on "+where; got != want {
			t.Errorf("%s: %q, want %q", each, got, want)
		}
	}
	if err := unix.Mount("", where, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, each := range []string{path, device} {
		if got := MountedAt(each); got != "" {
			t.Errorf("%s mounted read-only: %s", each, got)
		}
	}
}

func TestUse(t *testing.T) {
	sda, sda1, sda2, dm1, other := unix.Mkdev(250, 0), unix.Mkdev(250, 1), unix.Mkdev(250, 2), unix.Mkdev(251, 1), unix.Mkdev(252, 0)
	for _, tt := range []struct {
		name   string
		mounts string
		dev    uint64
		want   string
	}{
		{"nothing", "", other, ""},
		{"another is mounted", mountLine("250:0", "/x", "/dev/sda"), other, ""},
		{"mounted", mountLine("252:0", "/x", "none"), other, "/dev/cciss/c0d0 is mounted on /x"},
		{"mounted with a space", mountLine("252:0", `/x\040y`, "none"), other, "/dev/cciss/c0d0 is mounted on /x y"},
		{"mounted twice", mountLine("252:0", "/x", "none") + mountLine("252:0", "/y", "none"), other, "/dev/cciss/c0d0 is mounted on /x"},
		{"partition", mountLine("250:1", "/boot", "none"), sda, "/dev/sda1 is mounted on /boot"},
		{"partition itself", mountLine("250:1", "/boot", "none"), sda1, "/dev/sda1 is mounted on /boot"},
		{"another partition", mountLine("250:2", "/boot", "none"), sda1, ""},
		{"the disk is mounted, the partition is the target", mountLine("250:0", "/x", "none"), sda1, "/dev/sda is mounted on /x"},
		{"the disk is held, the partition is the target", "", unix.Mkdev(253, 1), "/dev/dm-2 lies on it"},
		{"what holds the disk is mounted, the partition is the target", mountLine("251:2", "/x", "none"), unix.Mkdev(253, 1), "/dev/dm-2 is mounted on /x"},
		{"holder", "", sda2, "/dev/dm-0 lies on it"},
		{"holder of a partition", "", sda, "/dev/dm-0 lies on it"},
		{"holder of a holder", mountLine("251:1", "/home", "none"), sda, "/dev/dm-1 is mounted on /home"},
		{"the holder is the target", "", dm1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			why, err := fakeTables(t, tt.mounts, "").use(tt.dev)
			if err != nil || why != tt.want {
				t.Errorf("use = %q, %v; want %q", why, err, tt.want)
			}
		})
	}
}

// TestUseByLoop: of a live system, the file on the disk that all of it lies in is
// open, and its file system need not be in the table of mounts.
func TestUseByLoop(t *testing.T) {
	sda, sda1, sda2 := unix.Mkdev(250, 0), unix.Mkdev(250, 1), unix.Mkdev(250, 2)
	for _, tt := range []struct {
		mounts string
		dev    uint64
		want   string
	}{
		{"", sda, "/dev/loop0 lies on it"},
		{"", sda1, "/dev/loop0 lies on it"},
		{"", sda2, "/dev/dm-0 lies on it"},
		{mountLine("7:0", "/", "none"), sda, "/dev/loop0 is mounted on /"},
		{mountLine("7:0", "/", "none"), unix.Mkdev(252, 0), ""},
	} {
		fake := fakeTables(t, tt.mounts, "")
		fake.loops = func() []loop { return []loop{{unix.Mkdev(7, 0), "/dev/loop0", sda1, 12, 0}} }
		if why, err := fake.use(tt.dev); err != nil || why != tt.want {
			t.Errorf("use = %q, %v; want %q", why, err, tt.want)
		}
	}
}

// TestUseByBtrfs: the table of mounts names one device of several.
func TestUseByBtrfs(t *testing.T) {
	fake := fakeTables(t, "", "")
	devices := filepath.Join(fake.btrfs, "11-22/devices")
	if err := os.MkdirAll(devices, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(fake.blocks, "250:1"), filepath.Join(devices, "sda1")); err != nil {
		t.Fatal(err)
	}
	for dev, want := range map[uint64]string{
		unix.Mkdev(250, 0): "/dev/dm-0 lies on it",
		unix.Mkdev(250, 1): "/dev/sda1 is a part of a btrfs that is mounted",
		unix.Mkdev(252, 0): "",
	} {
		if why, err := fake.use(dev); err != nil || why != want {
			t.Errorf("use = %q, %v; want %q", why, err, want)
		}
	}
}

// TestUseBySource is a file system like btrfs, whose number is no device's, and swap:
// both are known by a path alone.
func TestUseBySource(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		t.Fatal(err)
	}
	real := system
	for name, tt := range map[string]struct{ mounts, swaps, want string }{
		"mount": {mountLine("0:99", "/x", device), "", device + " is mounted on /x"},
		"swap":  {"", device + "                              partition\t1020\t0\t-2\n", device + " is used for swap"},
		"file":  {"", "/swapfile                              file\t1020\t0\t-2\n", ""},
	} {
		fake := fakeTables(t, tt.mounts, tt.swaps)
		real.mounts, real.swaps = fake.mounts, fake.swaps
		if why, err := real.use(uint64(st.Rdev)); err != nil || why != tt.want {
			t.Errorf("%s: use = %q, %v; want %q", name, why, err, tt.want)
		}
	}
}

// TestUseUnknown: what cannot be told is not taken for unused.
func TestUseUnknown(t *testing.T) {
	for name, spoil := range map[string]func(*tables){
		"no mountinfo":      func(s *tables) { s.mounts += ".missing" },
		"no /sys":           func(s *tables) { s.blocks += ".missing" },
		"no swaps":          func(s *tables) { s.swaps = filepath.Dir(s.swaps) },
		"mountinfo garbled": func(s *tables) { s.mounts = s.swaps },
	} {
		fake := fakeTables(t, "", "")
		spoil(&fake)
		if why, err := fake.use(unix.Mkdev(252, 0)); err == nil {
			t.Errorf("%s: use = %q, no error", name, why)
		}
	}
	fake := fakeTables(t, "", "")
	fake.swaps += ".missing" // a kernel that cannot swap
	if why, err := fake.use(unix.Mkdev(252, 0)); err != nil || why != "" {
		t.Errorf("use = %q, %v", why, err)
	}
}

func TestDeviceNotServed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes device files")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	if err := unix.Mknod("disk", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		t.Skip("no device file can be made: ", err)
	}
	checkRefused(t, openRefused(t, Options{Path: "disk", Served: true, Force: true}, dir), "disk", "it is a block device")
}

// smallFileSystem mounts a tmpfs of size bytes.
func smallFileSystem(t *testing.T, size int) string {
	t.Helper()
	return mountAt(t, "tmpfs", "tmpfs", fmt.Sprint("size=", size))
}

// TestFileSystemFull: a new file is removed, and one that was there stays, to be resumed.
func TestFileSystemFull(t *testing.T) {
	for _, isNew := range []bool{true, false} {
		path := filepath.Join(smallFileSystem(t, 1<<20), "out.img")
		if !isNew {
			writeFile(t, path, nil)
		}
		f := mustOpen(t, Options{Path: path})
		if err := f.Prepare(4<<20, 0); err != nil {
			t.Fatal(err)
		}
		image := random(1, 4<<20)
		var err error
		for off := uint64(0); err == nil && off < 4<<20; off += holeGrainBytes {
			err = f.WriteAt(image[off:off+holeGrainBytes], off)
		}
		checkIO(t, err, "write "+path+" at offset 1048576: no space left on device")
		checkIO(t, f.Sync(), "no space left on device")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !isNew {
			checkContent(t, path, append(image[:1<<20:1<<20], make([]byte, 3<<20)...))
		} else if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the new file: %v", err)
		}
	}
}

// TestLacksRoom: both figures are told; zeros, what came already and what the file holds count.
func TestLacksRoom(t *testing.T) {
	dir := smallFileSystem(t, 1<<20)
	path := filepath.Join(dir, "out.img")
	f := mustOpen(t, Options{Path: path})
	if got, want := f.MayLackRoom(4<<20), "the file system of "+path+" has 1048576 bytes free, and the image has 4194304: it fits only if at least 3145728 of them are zeros"; got != want {
		t.Errorf("before the first byte: %q, want %q", got, want)
	}
	if got := f.MayLackRoom(1 << 20); got != "" {
		t.Errorf("an image that fits: %q", got)
	}
	if err := f.Prepare(4<<20, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(random(1, 512<<10), 0); err != nil {
		t.Fatal(err)
	}
	for _, fits := range [][2]uint64{{1 << 20, 1 << 20}, {2 << 20, 512 << 10}, {0, 0}} {
		if err := f.Lacks(fits[0], fits[1]); err != nil {
			t.Errorf("%d bytes of data, %d to come: %v", fits[0], fits[1], err)
		}
	}
	checkIO(t, f.Lacks(2<<20, 1<<20), "write "+path+": no space left on device: its file system has 524288 bytes free, the image needs 1048576 more (ClientConfig.Force writes on)")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new file: %v", err)
	}
	forced := mustOpen(t, Options{Path: path, Force: true})
	if err := forced.Lacks(2<<20, 2<<20); err != nil {
		t.Errorf("with Force: %v", err)
	}
	device := mustOpen(t, Options{Path: loopdev.New(t, make([]byte, 1<<20), 0)})
	if err := device.Lacks(2<<20, 2<<20); err != nil || device.MayLackRoom(2<<20) != "" {
		t.Errorf("a device: %v, %q", err, device.MayLackRoom(2<<20))
	}
}

// TestFailsInTheMiddle: the offset is that of the first byte that did not go out.
func TestFailsInTheMiddle(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	f := mustOpen(t, Options{Path: device})
	f.capacity += 1 << 20 // a device that holds less than it says
	if err := f.Prepare(diskBytes+10000, 0); err != nil {
		t.Fatal(err)
	}
	checkIO(t, f.WriteAt(random(1, 20000), diskBytes-10000), "write "+device+" at offset 1048576: no space left on device")
}

func TestAllocateFull(t *testing.T) {
	dir := smallFileSystem(t, 1<<20)
	path := filepath.Join(dir, "out.img")
	writeFile(t, path, []byte("old"))
	f := mustOpen(t, Options{Path: path, Allocate: true})
	checkRefused(t, f.Prepare(2<<20, 0), path, "its file system has 1044480 bytes free, the image needs 2093056 more")
	checkContent(t, path, []byte("old"))
	// What the file holds already need not be free: 1 MiB fits.
	if err := f.Prepare(1<<20, 0); err != nil {
		t.Fatal(err)
	}
	if got := allocatedBytes(t, path); got != 1<<20 {
		t.Errorf("%d bytes are allocated", got)
	}
}

// TestAllocateFailsLate: what is free is in so many pieces that to keep their list
// takes space too, which nobody could foresee.
func TestAllocateFailsLate(t *testing.T) {
	device := loopDevice(t, diskBytes, 0)
	makeExt4(t, device)
	dir := mountAt(t, device, "ext4", "")
	writeFile(t, filepath.Join(dir, "old.img"), []byte("old"))
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	const grain = 1024
	filled := int64(0)
	for data := random(1, grain); err == nil; filled += grain {
		_, err = fill.WriteAt(data, filled)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := fill.Sync(); err != nil {
		t.Fatal(err)
	}
	const punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	for off := int64(0); off < filled; off += 2 * grain {
		if err := unix.Fallocate(int(fill.Fd()), punch, off, grain); err != nil {
			t.Skip("no holes can be made here: ", err)
		}
	}
	for _, name := range []string{"old.img", "new.img"} {
		path := filepath.Join(dir, name)
		var space unix.Statfs_t
		if err := unix.Statfs(dir, &space); err != nil {
			t.Fatal(err)
		}
		free := space.Bfree * uint64(space.Bsize)
		f := mustOpen(t, Options{Path: path, Allocate: true})
		checkRefused(t, f.Prepare(free, 0), path, fmt.Sprintf("allocate %d bytes: no space left on device", free))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkContent(t, filepath.Join(dir, "old.img"), []byte("old"))
	if _, err := os.Lstat(filepath.Join(dir, "new.img")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file is left, or %v", err)
	}
}

// TestAllocateLeavesNoHoles: allocated space that was not written to is a hole, for
// whoever copies the file.
func TestAllocateLeavesNoHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	write(t, mustOpen(t, Options{Path: path, Allocate: true}), make([]byte, 3<<20+5), 1<<20, false)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if hole, err := unix.Seek(int(file.Fd()), 0, unix.SEEK_HOLE); err != nil || hole != 3<<20+5 {
		t.Errorf("there is a hole at %d, %v", hole, err)
	}
}

// TestWriteback covers ranges in any order, and a file that cannot do it.
func TestWriteback(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := writeback{fd: int(file.Fd())}
	for i, off := range []uint64{8 << 20, 0, 4 << 20} {
		if err := w.wrote(off, 3<<20); err != nil {
			t.Fatal(err)
		}
		if sent := w.sent.n != 0; sent != (i == 2) {
			t.Errorf("after %d MiB: sent = %v", 3*(i+1), sent)
		}
	}
	if want := (extent{0, 11 << 20, 9 << 20}); w.sent != want || w.dirty != (extent{}) {
		t.Errorf("sent %v, dirty %v; want %v and none", w.sent, w.dirty, want)
	}

	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	w = writeback{fd: int(p.Fd())}
	if err := w.wrote(0, writebackBytes); err != nil || !w.disabled {
		t.Errorf("a file that cannot: %v, disabled = %v", err, w.disabled)
	}
	w = writeback{fd: -1}
	if err := w.wrote(0, writebackBytes); err != syscall.EBADF {
		t.Errorf("a failure that is none of ability: %v", err)
	}
}

func FuzzParseSwaps(f *testing.F) {
	f.Add("Filename\tType\n/dev/null   partition\t1\t0\t-2\n/a\\040b file\n")
	f.Fuzz(func(t *testing.T, text string) {
		paths := parseSwaps(text)
		if len(paths) > strings.Count(text, "/") {
			t.Errorf("%d paths in %q", len(paths), text)
		}
	})
}
