package target

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Stream writes an image to a writer that takes it in order, such as standard output.
type Stream struct {
	w    io.Writer
	name string
	next uint64 // offset that the next byte has
	err  error  // the first failure; it stays
}

// NewStream writes to w, which its caller keeps and closes; name is for messages.
//
// If w is standard output and a pipe, the caller must ignore SIGPIPE. Otherwise Go ends the
// process before WriteAt can return the error.
func NewStream(w io.Writer, name string) *Stream {
	return &Stream{w: w, name: name}
}

// Name is the name that NewStream was given.
func (s *Stream) Name() string { return s.name }

// InOrder is true: a stream cannot go back.
func (s *Stream) InOrder() bool { return true }

// Prepare has nothing to check: a stream takes any image.
func (s *Stream) Prepare(uint64, uint32) error { return nil }

// WriteAt writes p, whose offset must be where the last run ended. After an error of
// the writer, every call returns that error.
func (s *Stream) WriteAt(p []byte, off uint64) error {
	if s.err != nil {
		return s.err
	}
	if off != s.next {
		return writeFailed(s.name, off, fmt.Errorf("a stream takes bytes in order, and offset %d is next", s.next))
	}
	n, err := s.w.Write(p)
	s.next += uint64(n)
	if errors.Is(err, unix.EPIPE) {
		err = fmt.Errorf("whoever reads it has stopped: %w", bare(err))
	}
	if err != nil {
		s.err = writeFailed(s.name, s.next, err)
	}
	return s.err
}

// WriteZeros writes n zeros, which must begin where the last run ended.
func (s *Stream) WriteZeros(off, n uint64) error {
	for end := off + n; off < end; off += uint64(len(zeros)) {
		if err := s.WriteAt(zeros[:min(end-off, uint64(len(zeros)))], off); err != nil {
			return err
		}
	}
	return nil
}

// Sync syncs a writer that can be synced, such as a file. A pipe cannot.
func (s *Stream) Sync() error {
	if s.err != nil {
		return s.err
	}
	w, ok := s.w.(interface{ Sync() error })
	if !ok {
		return nil
	}
	err := w.Sync()
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	s.err = failed("sync", s.name, err)
	return s.err
}

// Close leaves the writer open: it is not ours.
func (s *Stream) Close() error { return nil }
