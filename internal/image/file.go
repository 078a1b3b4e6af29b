package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/quote"
)

// ioVectorMax is the count of slots that one preadv takes: IOV_MAX of Linux and macOS.
const ioVectorMax = 1024

// File is an image that is a regular file or a block device. Make it by Open.
type File struct {
	file       *os.File
	path       string
	sizeBytes  uint64
	modifiedAt time.Time
	device     bool
}

// Open opens the regular file or the block device at path, which must not be empty.
// It follows symbolic links, and refuses all else.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", quote.Error(err))
	}
	if err := checkType(path, info.Mode()); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", quote.Error(err))
	}
	s := &File{file: file, path: path}
	if err := s.measure(); err != nil {
		file.Close()
		return nil, err
	}
	// As long as it is served, no client here writes its image over it. Not every file
	// system has locks.
	if !s.device && errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
		file.Close()
		return nil, fmt.Errorf("image %s is being written, by a client or another program that has locked it", s)
	}
	adviseSequential(file)
	return s, nil
}

func checkType(path string, m fs.FileMode) error {
	if m.IsRegular() || m.Type() == fs.ModeDevice {
		return nil
	}
	return fmt.Errorf("image %s is neither a regular file nor a block device", quote.Name(path))
}

// measure notes by what Changed tells a change.
func (s *File) measure() error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("open image: %w", quote.Error(err))
	}
	if err := checkType(s.path, info.Mode()); err != nil {
		return err
	}
	s.modifiedAt, s.device = info.ModTime(), !info.Mode().IsRegular()
	s.sizeBytes, err = s.end()
	if err == nil && s.sizeBytes == 0 {
		err = fmt.Errorf("image %s is empty", s)
	}
	return err
}

// end is the size in bytes now. A device tells it in no other portable way.
func (s *File) end() (uint64, error) {
	end, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("size of image: %w", err)
	}
	return uint64(end), nil
}

// Size is the size in bytes that the image had when it was opened.
func (s *File) Size() uint64 { return s.sizeBytes }

// Name is the last element of the path that Open was given.
func (s *File) Name() string { return filepath.Base(s.path) }

// String is the path that Open was given, quoted if it cannot be printed.
func (s *File) String() string { return quote.Name(s.path) }

// IsDevice reports whether the image is a block device.
func (s *File) IsDevice() bool { return s.device }

// Close closes the image.
func (s *File) Close() error { return s.file.Close() }

// ReadAt is io.ReaderAt over the bytes that the image had when it was opened. That
// it ends earlier is an error other than io.EOF.
func (s *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read image %s: offset %d is negative", s, off)
	}
	if uint64(off) >= s.sizeBytes {
		return 0, io.EOF
	}
	left := s.sizeBytes - uint64(off)
	n, err := s.file.ReadAt(p[:min(uint64(len(p)), left)], off)
	if err != nil {
		return n, s.readError(uint64(off)+uint64(n), err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadScattered fills the slots, one after the other and each whole, with the
// image's bytes from offset off on. All of them must lie within Size.
func (s *File) ReadScattered(slots [][]byte, off uint64) error {
	var want uint64
	for _, b := range slots {
		want += uint64(len(b))
	}
	if off > s.sizeBytes || want > s.sizeBytes-off {
		return fmt.Errorf("read image %s at offset %d: %d bytes go beyond its end at %d", s, off, want, s.sizeBytes)
	}
	for len(slots) > 0 {
		batch := slots[:min(len(slots), ioVectorMax)]
		n, err := s.readVector(batch, off)
		if err != nil {
			return err
		}
		off += uint64(n)
		var filled int
		for filled < len(batch) && n >= len(batch[filled]) {
			n -= len(batch[filled])
			filled++
		}
		// The rest of a slot that was filled in part goes by itself, so that the
		// caller's slots stay as they are.
		if n > 0 {
			rest := batch[filled][n:]
			if m, err := s.file.ReadAt(rest, int64(off)); err != nil {
				return s.readError(off+uint64(m), err)
			}
			off += uint64(len(rest))
			filled++
		}
		slots = slots[filled:]
	}
	return nil
}

// readVector is one preadv into slots, at most ioVectorMax. It returns 0 bytes only
// if they are all empty.
func (s *File) readVector(slots [][]byte, off uint64) (int, error) {
	defer runtime.KeepAlive(s)
	for {
		n, err := unix.Preadv(int(s.file.Fd()), slots, int64(off))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, s.readError(off, err)
		case n == 0 && hasRoom(slots):
			return 0, s.readError(off, io.EOF)
		default:
			return n, nil
		}
	}
}

func hasRoom(slots [][]byte) bool {
	for _, b := range slots {
		if len(b) > 0 {
			return true
		}
	}
	return false
}

func (s *File) readError(off uint64, err error) error {
	if err == io.EOF {
		return fmt.Errorf("read image %s at offset %d: it has shrunk, it had %d bytes", s, off, s.sizeBytes)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("read image %s at offset %d: %w", s, off, err)
}

// Changed returns an error if the image has another size or modification time than
// when it was opened. That the path now names another file, or none, changes
// nothing: the one that was opened is still there to read.
//
// Programs that write through a file system on a device do not change the device's
// modification time, so those changes go unseen.
func (s *File) Changed() error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("check image: %w", err)
	}
	size, err := s.end()
	if err != nil {
		return err
	}
	if size != s.sizeBytes {
		return fmt.Errorf("image %s %w: it had %d bytes and has %d", s, ErrChanged, s.sizeBytes, size)
	}
	if !info.ModTime().Equal(s.modifiedAt) {
		return fmt.Errorf("image %s %w: it was modified at %s", s, ErrChanged, info.ModTime().Format(time.RFC3339Nano))
	}
	return nil
}

// Identity is a line that tells this image, in this version, from others on this
// host, also after a restart: its size, modification and change time, device and inode.
func (s *File) Identity() (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.file.Fd()), &st); err != nil {
		return "", fmt.Errorf("identify image %s: %w", s, err)
	}
	return fmt.Sprintf("%d %d %d %d %d", s.sizeBytes, s.modifiedAt.UnixNano(), unix.TimespecToNsec(st.Ctim), st.Dev, st.Ino), nil
}

// CacheKey is the absolute path and the Identity, or "" for a block device: nothing but
// its bytes reports whether they changed.
func (s *File) CacheKey() string {
	if s.device {
		return ""
	}
	line, err := s.Identity()
	if err != nil {
		return ""
	}
	path, err := filepath.Abs(s.path)
	if err != nil {
		return ""
	}
	return path + "\x00" + line
}
