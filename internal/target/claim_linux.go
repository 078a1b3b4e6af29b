package target

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"multiserver/internal/quote"
)

// Claim finds out whether anybody else uses the device or the file at path, and what, in any
// namespace: a mount, also a read-only one, swap, a device on top of it, a virtual machine. If
// nobody does, inUse is "". Nobody can mount a device that was claimed until claim is closed. Of a
// file claim is nil.
func Claim(path string) (claim io.Closer, inUse string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", quote.Error(err)
	}
	if info.Mode().IsRegular() {
		inUse, err = system.usesFile(path, info.Sys().(*syscall.Stat_t))
		return nil, inUse, err
	}
	if inUse, err = system.use(info.Sys().(*syscall.Stat_t).Rdev); inUse != "" || err != nil {
		return nil, inUse, err
	}
	// O_EXCL fails if the kernel or another program uses the device or a partition of it.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, path + " is in use by another program or in another namespace", nil
	}
	if err != nil {
		return nil, "", quote.Error(err)
	}
	return file, "", nil
}

// usesFile says what else uses a regular file.
func (t tables) usesFile(path string, st *syscall.Stat_t) (string, error) {
	swaps, err := t.swapPaths()
	if err != nil {
		return "", err
	}
	for _, swap := range swaps {
		if sameFile(swap, st) {
			return "it is used for swap", nil
		}
	}
	for _, l := range t.loops() {
		if l.fileSystem == st.Dev && l.inode == st.Ino {
			return l.name + " lies on it", nil
		}
	}
	// Only root may ask the loop devices; the paths of their files are for everybody.
	backing, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return "", err
	}
	for _, b := range backing {
		text, err := os.ReadFile(b)
		if err == nil && sameFile(strings.TrimSuffix(string(text), "\n"), st) {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(b))) + " lies on it", nil
		}
	}
	return lockedBy(path)
}

func sameFile(path string, st *syscall.Stat_t) bool {
	var other unix.Stat_t
	return unix.Stat(path, &other) == nil && other.Dev == st.Dev && other.Ino == st.Ino
}

// lockedBy asks for locks of ranges of the file: virtual machines lock their disks so.
func lockedBy(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", quote.Error(err)
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	// Where there are no locks nobody holds one.
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &lock); err == nil && lock.Type != unix.F_UNLCK {
		return "another program has locked it", nil
	}
	return "", nil
}
