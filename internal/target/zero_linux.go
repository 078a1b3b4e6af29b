package target

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// zeroOut has the kernel make n bytes from byte offset off on zeros, of a device whole
// sectors. It fails wherever that cannot be done, and may have done a part then. Both
// ways take care of what the page cache holds of those bytes.
func (f *File) zeroOut(off, n uint64) error {
	if f.device {
		// Unlike BLKDISCARD, after which a device may hold anything.
		region := [2]uint64{off, n}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.file.Fd(), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&region)))
		if errno != 0 {
			return errno
		}
		return nil
	}
	mode := uint32(unix.FALLOC_FL_PUNCH_HOLE)
	if f.allocate {
		mode = unix.FALLOC_FL_ZERO_RANGE
	}
	for {
		err := unix.Fallocate(int(f.file.Fd()), mode|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
		if err != unix.EINTR {
			return err
		}
	}
}
