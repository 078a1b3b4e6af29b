package target

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reopen opens what file is for reading. Not by its path, where something else may
// be by now.
func reopen(file *os.File) (*os.File, error) {
	return os.Open(fmt.Sprint("/proc/self/fd/", file.Fd()))
}

// setDirect lets reads of the file go past the page cache, or not.
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

// dropCache writes out what the page cache holds of the file, and forgets it.
func dropCache(file *os.File, device bool) error {
	if err := file.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	if !device {
		return nil
	}
	// What fadvise leaves, as somebody has it mapped. It is for root alone.
	err := unix.IoctlSetInt(int(file.Fd()), unix.BLKFLSBUF, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	return err
}
