package image

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IsHole reports whether the file system keeps nothing for the bytes from off on, which
// then read as zeros (lseek(2), SEEK_DATA). False says nothing: a device, or a file
// system that does not tell.
func (s *File) IsHole(off, length uint64) bool {
	if s.device {
		return false
	}
	data, err := unix.Seek(int(s.file.Fd()), int64(off), unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return off+length <= s.sizeBytes
	}
	return err == nil && uint64(data) >= off+length
}
