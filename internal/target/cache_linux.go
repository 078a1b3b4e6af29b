package target

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reopen opens file again, for reading. It does not use the path: another file may be there by
// now.
func reopen(file *os.File) (*os.File, error) {
	return os.Open(fmt.Sprint("/proc/self/fd/", file.Fd()))
}

// setDirect switches direct reads of the file, past the page cache, on or off.
func setDirect(file *os.File, direct bool) error {
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	flags &^= unix.O_DIRECT
	if direct {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETFL, flags)
	return err
}

// flushCache writes out what the page cache holds of the file, and drops it.
func flushCache(file *os.File, device bool) error {
	if err := file.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	if !device {
		return nil
	}
	// This drops mapped pages, which fadvise leaves. Only root may do it.
	err := unix.IoctlSetInt(int(file.Fd()), unix.BLKFLSBUF, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	return err
}

// DropCache drops the n bytes from off on from the page cache, so that reading a whole disk does
// not evict everything else. It may be called concurrently with all other methods.
func (f *File) DropCache(off, n uint64) {
	_ = unix.Fadvise(int(f.file.Fd()), int64(off), int64(n), unix.FADV_DONTNEED)
}
