// Package image is where a server reads the image from: a regular file, a block device
// (Open), or whatever reads at an offset (FromReader). A server asks a Source only.
//
// Open it, read in any order, ask Changed now and then, and Close.
package image

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"multiserver/internal/quote"
)

// ErrChanged is wrapped by what Changed returns.
var ErrChanged = errors.New("changed while it is served")

// Source is an image to serve. Several goroutines may use it at once.
type Source interface {
	// Size is in bytes, and stays what it was at first.
	Size() uint64
	// Name is what clients are told: a base name.
	Name() string
	// String is for messages to whoever serves it: a path if there is one,
	// quoted if it cannot be printed.
	String() string
	// ReadAt is io.ReaderAt over Size bytes.
	ReadAt(p []byte, off int64) (int, error)
	// ReadScattered fills the slots, one after the other and each whole, with the image's
	// bytes from offset off on. All of them must lie within Size.
	ReadScattered(slots [][]byte, off uint64) error
	// IsHole reports that the bytes from off on are zeros and need not be read. False says
	// nothing.
	IsHole(off, length uint64) bool
	// Identity tells this image, in this version, from others, also after a restart.
	Identity() (string, error)
	// Changed returns an error that wraps ErrChanged if the image is not what it was.
	Changed() error
	// CacheKey is by what a later session finds the digests of this image, in this
	// version; "" if they cannot be kept.
	CacheKey() string
	Close() error
}

// The optional interfaces of a reader that FromReader is given. Without Identifier a
// restarted server serves another image, as far as its clients know.
type (
	// HoleReporter reports which parts are zeros: Source's IsHole.
	HoleReporter interface {
		IsHole(off, length uint64) bool
	}
	// Identifier tells versions apart: equal identities promise equal bytes.
	Identifier interface {
		Identity() (string, error)
	}
	// ChangeReporter returns an error if the bytes are not any more what they were.
	ChangeReporter interface {
		Changed() error
	}
)

// FromReader returns a Source of size bytes that r reads, called name. r may also be an
// io.Closer and have the optional interfaces.
func FromReader(r io.ReaderAt, size uint64, name string) (Source, error) {
	if size == 0 {
		return nil, fmt.Errorf("image %s is empty", quote.Name(name))
	}
	s := &reader{r: r, size: size, name: name}
	if _, ok := r.(Identifier); !ok {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
		s.random = hex.EncodeToString(random)
	}
	return s, nil
}

type reader struct {
	r      io.ReaderAt
	size   uint64
	name   string
	random string // in the place of an identity
}

func (s *reader) Size() uint64   { return s.size }
func (s *reader) Name() string   { return s.name }
func (s *reader) String() string { return quote.Name(s.name) }

func (s *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || uint64(off) >= s.size {
		return 0, io.EOF
	}
	if left := s.size - uint64(off); uint64(len(p)) > left {
		n, err := s.ReadAt(p[:left], off)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return n, nil // io.ReaderAt may tell the end at once
	}
	if err == io.EOF {
		err = fmt.Errorf("it ends there, and should have %d bytes", s.size)
	}
	return n, fmt.Errorf("read image %s at offset %d: %w", s, uint64(off)+uint64(n), err)
}

func (s *reader) ReadScattered(slots [][]byte, off uint64) error {
	for _, slot := range slots {
		if uint64(len(slot)) > s.size-min(off, s.size) {
			return fmt.Errorf("read image %s at offset %d: %d bytes go beyond its end at %d", s, off, len(slot), s.size)
		}
		if _, err := s.ReadAt(slot, int64(off)); err != nil && len(slot) > 0 {
			return err
		}
		off += uint64(len(slot))
	}
	return nil
}

func (s *reader) IsHole(off, length uint64) bool {
	holes, ok := s.r.(HoleReporter)
	return ok && holes.IsHole(off, length)
}

func (s *reader) Identity() (string, error) {
	id, ok := s.r.(Identifier)
	if !ok {
		return fmt.Sprintf("%d %s", s.size, s.random), nil
	}
	line, err := id.Identity()
	return fmt.Sprintf("%d %s", s.size, line), err
}

func (s *reader) Changed() error {
	if reporter, ok := s.r.(ChangeReporter); ok {
		if err := reporter.Changed(); err != nil {
			return fmt.Errorf("image %s %w: %w", s, ErrChanged, err)
		}
	}
	return nil
}

// CacheKey is "": nobody promises that an identity is unique on this host.
func (s *reader) CacheKey() string { return "" }

func (s *reader) Close() error {
	if closer, ok := s.r.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}
