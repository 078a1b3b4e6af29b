package target

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alignment of direct reads, in memory and on the device: the largest common sector size.
const alignment = 4096

// Back reads what reached the device, past the page cache.
type Back struct {
	read io.ReaderAt
	file *os.File // nil if the target is no file
	name string
	// view shows the image's bytes where the device holds others, and end is the device's if it
	// is smaller than the image, or else 0.
	view *view
	end  uint64
	// direct: reads go past the page cache. If the system refuses that, the file's pages
	// were dropped from the cache before.
	direct atomic.Bool
}

// ReadBack opens the target once more, to be read. It is called after Sync.
func (f *File) ReadBack() (*Back, error) {
	if !f.readable {
		return nil, failed("read back", f.name, os.ErrPermission)
	}
	file, err := reopen(f.file)
	if err != nil {
		return nil, failed("read back", f.name, err)
	}
	// Even if reads are direct: some file systems accept the flag and still read through the
	// page cache.
	if err := flushCache(file, f.device); err != nil {
		file.Close()
		return nil, failed("empty the page cache of", f.name, err)
	}
	b := &Back{read: file, file: file, name: f.name, view: &f.view}
	if f.isCut() {
		b.end = f.end()
	}
	b.direct.Store(setDirect(file, true) == nil)
	return b, nil
}

// Buffer returns n bytes of memory for ReadAt.
func (b *Back) Buffer(n int) []byte {
	size := (n + alignment - 1) / alignment * alignment
	all := make([]byte, size+alignment)
	skip := -uintptr(unsafe.Pointer(&all[0])) % alignment
	return all[skip:][:n:size]
}

// ReadAt fills p, which begins where Buffer's memory begins, from byte offset off on.
// off and the length of p are multiples of 1 MiB, except for the last part of the image. The
// bytes between p's length and capacity are overwritten. It fails if the target ends earlier, but
// for one that the image was cut for: what that holds of a part is followed by what was left out.
func (b *Back) ReadAt(p []byte, off uint64) error {
	held := p
	if b.end > 0 {
		held = p[:min(uint64(len(p)), b.end-min(b.end, off))]
	}
	if err := b.readAt(held, off); err != nil {
		return err
	}
	clear(p[len(held):])
	b.view.show(p, off)
	return nil
}

// readAt is ReadAt of what the device holds.
func (b *Back) readAt(p []byte, off uint64) error {
	direct := b.direct.Load()
	buf := p
	if direct {
		buf = p[:min((len(p)+alignment-1)/alignment*alignment, cap(p))]
	}
	n, err := b.read.ReadAt(buf, int64(off))
	if n >= len(p) {
		return nil
	}
	if direct && errors.Is(err, unix.EINVAL) {
		if err := setDirect(b.file, false); err != nil {
			return readFailed(b.name, off+uint64(n), err)
		}
		b.direct.Store(false)
		return readFull(b.file, b.name, p[n:], off+uint64(n))
	}
	return readFailed(b.name, off+uint64(n), err)
}

// Close ends reading. The target stays open.
func (b *Back) Close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// readFull fills p from byte offset off of r on. name is for messages.
func readFull(r io.ReaderAt, name string, p []byte, off uint64) error {
	n, err := r.ReadAt(p, int64(off))
	if n < len(p) {
		return readFailed(name, off+uint64(n), err)
	}
	return nil
}

// readFailed is the error of a read at a byte offset in name.
func readFailed(name string, off uint64, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return failedAt("read", name, off, err)
}
