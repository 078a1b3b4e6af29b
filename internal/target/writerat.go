package target

import (
	"fmt"
	"io"
	"os"
)

// writerAt is a target of the library's caller.
type writerAt struct {
	w    io.WriterAt
	r    io.ReaderAt // of w; nil if it cannot be read
	name string
	size uint64
	err  error // the first failure; it stays
}

// FromWriterAt returns a target that writes to w, which its caller keeps and closes; name is for
// messages. If w is an io.ReaderAt too, its old content is compared with the image, and it can be
// read back; its ReadAt must be safe for concurrent use with WriteAt. If w has a method
// Sync() error, Sync calls it.
func FromWriterAt(w io.WriterAt, name string) Target {
	r, _ := w.(io.ReaderAt)
	return &writerAt{w: w, r: r, name: name}
}

func (t *writerAt) Name() string { return t.name }

// Prepare keeps the size. Nothing is written beyond it.
func (t *writerAt) Prepare(size uint64, _ uint32) error {
	t.size = size
	return nil
}

func (t *writerAt) WriteAt(p []byte, off uint64) error {
	if t.err != nil {
		return t.err
	}
	if off > t.size || uint64(len(p)) > t.size-off {
		t.err = writeFailed(t.name, off, fmt.Errorf("%d bytes do not fit into an image of %d", len(p), t.size))
		return t.err
	}
	n, err := t.w.WriteAt(p, int64(off))
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		t.err = writeFailed(t.name, off+uint64(n), err)
	}
	return t.err
}

func (t *writerAt) WriteZeros(off, n uint64) error {
	for end := off + n; off < end; off += uint64(len(zeros)) {
		if err := t.WriteAt(zeros[:min(end-off, uint64(len(zeros)))], off); err != nil {
			return err
		}
	}
	return t.err
}

func (t *writerAt) Sync() error {
	if t.err != nil {
		return t.err
	}
	if w, ok := t.w.(interface{ Sync() error }); ok {
		if err := w.Sync(); err != nil {
			t.err = failed("sync", t.name, err)
		}
	}
	return t.err
}

func (t *writerAt) Close() error { return nil }

// HoldsContent is true if w can be read: it may hold something.
func (t *writerAt) HoldsContent() bool    { return t.r != nil }
func (t *writerAt) FlushCache() error     { return nil }
func (t *writerAt) DropCache(_, _ uint64) {}
func (t *writerAt) Readable() bool        { return t.r != nil }

func (t *writerAt) ReadAt(p []byte, off uint64) error { return readFull(t.r, t.name, p, off) }

func (t *writerAt) ReadBack() (*Back, error) {
	if t.r == nil {
		return nil, failed("read back", t.name, os.ErrPermission)
	}
	return &Back{read: t.r, name: t.name}, nil
}
