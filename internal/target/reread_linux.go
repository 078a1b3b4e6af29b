package target

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Others, such as udev, open partitions for a moment, and then the kernel does not
// read the table again.
const (
	rereadAttempts = 10
	rereadPause    = 100 * time.Millisecond
)

// Reread has the kernel read the partition table of a device again. On a regular
// file, and on a device that has no partitions, it does nothing. It is called after
// Sync.
func (f *File) Reread() error {
	if !f.device {
		return nil
	}
	var err error
	for i := range rereadAttempts {
		if i > 0 {
			time.Sleep(rereadPause)
		}
		err = unix.IoctlSetInt(int(f.file.Fd()), unix.BLKRRPART, 0)
		if err != unix.EBUSY {
			break
		}
	}
	// EINVAL: a partition, or a device that is not to be looked at for any.
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) {
		return nil
	}
	return failed("read the partition table of", f.name, err)
}
