//go:build !linux

package target

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func reopen(file *os.File) (*os.File, error) {
	return os.Open(fmt.Sprint("/dev/fd/", file.Fd()))
}

// setDirect always fails where pages that are in the cache are used all the same.
func setDirect(*os.File, bool) error { return unix.EINVAL }

func flushCache(file *os.File, _ bool) error { return file.Sync() }

// DropCache does nothing.
func (f *File) DropCache(off, n uint64) {}
