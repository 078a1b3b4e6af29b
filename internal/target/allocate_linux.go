package target

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocateStep bounds one call: tmpfs undoes all of it when a signal arrives.
const allocateStep = 256 << 20

// allocate takes space for the first size bytes of file, and makes it that long if
// it is shorter. It returns errors.ErrUnsupported where the file system cannot.
func allocate(file *os.File, size int64) error {
	for off := int64(0); off < size; {
		n := min(size-off, allocateStep)
		switch err := unix.Fallocate(int(file.Fd()), 0, off, n); err {
		case nil:
			off += n
		case unix.EINTR:
		default:
			return err
		}
	}
	return nil
}
