package target

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

// loopDevice makes a block device of size bytes, all 0xFF, and returns its path.
func loopDevice(t *testing.T, size int, flags uint32) string {
	t.Helper()
	return loopdev.New(t, bytes.Repeat([]byte{0xFF}, size), flags)
}

// makeExt4 puts a file system on the device.
func makeExt4(t *testing.T, device string) {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("mkfs.ext4 is missing: install e2fsprogs")
	}
	// Nothing is to be written to it behind a test's back.
	if out, err := exec.Command(mkfs, "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=0", device).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
}

// mountAt mounts source for the length of the test and returns where.
func mountAt(t *testing.T, source, kind, data string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting is for root: run as root")
	}
	where := t.TempDir()
	if err := unix.Mount(source, where, kind, 0, data); err != nil {
		t.Skipf("%s cannot be mounted: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(where, 0); err != nil {
			t.Errorf("unmount %s: %v", where, err)
		}
	})
	return where
}

// addPartition makes partition 1 of the device, from firstByte to the end of its
// size bytes, and returns its path. Unlike a partition table, this needs no kernel
// that reads the table.
func addPartition(t *testing.T, device string, firstByte, size int64) string {
	t.Helper()
	disk, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	change := func(op int32) error {
		p := unix.BlkpgPartition{Start: firstByte, Length: size - firstByte, Pno: 1}
		arg := unix.BlkpgIoctlArg{Op: op, Datalen: int32(unsafe.Sizeof(p)), Data: (*byte)(unsafe.Pointer(&p))}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 {
			return errno
		}
		return nil
	}
	if err := change(unix.BLKPG_ADD_PARTITION); err != nil {
		t.Skip("the kernel takes no partitions: ", err)
	}
	t.Cleanup(func() {
		if err := change(unix.BLKPG_DEL_PARTITION); err != nil && err != unix.ENXIO { // gone already
			t.Errorf("remove the partition of %s: %v", device, err)
		}
	})
	part := device + "p1"
	if _, err := os.Stat(part); err != nil {
		t.Skip("/dev is no devtmpfs: ", err)
	}
	return part
}

// swapHeader is the first page of a swap area.
func swapHeader(size int64) []byte {
	page := make([]byte, os.Getpagesize())
	binary.NativeEndian.PutUint32(page[1024:], 1)
	binary.NativeEndian.PutUint32(page[1028:], uint32(size/int64(len(page)))-1)
	copy(page[len(page)-10:], "SWAPSPACE2")
	return page
}
