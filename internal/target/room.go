package target

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// room is the space of a file's file system, in bytes.
type room struct {
	// free is for us: MaxUint64 if the file system does not tell, as FUSE and some network file
	// systems do.
	free uint64
	held uint64 // by the file
}

func (f *File) room() (room, error) {
	info, err := f.file.Stat()
	if err != nil {
		return room{}, failed("stat", f.name, err)
	}
	var space unix.Statfs_t
	if err := unix.Fstatfs(int(f.file.Fd()), &space); err != nil {
		return room{}, failed("stat file system of", f.name, err)
	}
	return room{freeBytes(&space, os.Geteuid() == 0), uint64(info.Sys().(*syscall.Stat_t).Blocks) * 512}, nil
}

// freeBytes is what may still be written to a file system; root may use what is kept for it.
// A file system of no blocks at all does not know: statfs(2), "fields that are undefined for
// a particular filesystem are set to 0".
func freeBytes(space *unix.Statfs_t, asRoot bool) uint64 {
	if space.Blocks == 0 {
		return math.MaxUint64
	}
	available := space.Bavail
	if asRoot {
		available = space.Bfree
	}
	return available * blockBytes(space)
}

// hasRoom refuses if the file system has no room for the rest of size bytes.
func (f *File) hasRoom(size uint64) error {
	r, err := f.room()
	if err != nil {
		return err
	}
	if needed := size - min(size, r.held); needed > r.free {
		return refused(f.name, fmt.Sprintf("its file system has %d bytes free, the image needs %d more", r.free, needed))
	}
	return nil
}

// MayLackRoom says that an image of size bytes only fits if enough of it is zeros; "" if it fits
// anyway, or if Fits tells.
func (f *File) MayLackRoom(size uint64) string {
	if f.device || f.allocate {
		return ""
	}
	r, err := f.room()
	if err != nil || size-min(size, r.held) <= r.free {
		return ""
	}
	return fmt.Sprintf("the file system of %s has %d bytes free, and the image has %d: it fits only if at least %d of them are zeros",
		f.name, r.free, size, size-min(size, r.held)-r.free)
}

// Lacks fails once it is known that the rest of the image does not fit: dataBytes of it are no
// zeros, and restBytes of these have not come yet. With Options.Force it goes on until the
// file system is full, as zeros within the data may be left out.
func (f *File) Lacks(dataBytes, restBytes uint64) error {
	if f.device || f.allocate || f.force {
		return nil
	}
	r, err := f.room()
	if err != nil {
		return err
	}
	if needed := min(restBytes, dataBytes-min(dataBytes, r.held)); needed > r.free {
		f.ranOut.Store(true)
		return failed("write", f.name, fmt.Errorf("%w: its file system has %d bytes free, the image needs %d more (ClientConfig.Force writes on)", unix.ENOSPC, r.free, needed))
	}
	return nil
}

// checkRanOut notes whether a write failed because the file system, or the owner's share of it, is
// full.
func (f *File) checkRanOut(err error) {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		f.ranOut.Store(true)
	}
}
