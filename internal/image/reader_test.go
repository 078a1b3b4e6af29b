package image

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// described is a reader with all optional interfaces.
type described struct {
	*bytes.Reader
	changed error
	closed  bool
}

func (d *described) IsHole(off, length uint64) bool { return off >= 4 && off+length <= 8 }
func (d *described) Identity() (string, error)      { return "version 1", nil }
func (d *described) Changed() error                 { return d.changed }
func (d *described) Close() error                   { d.closed = true; return nil }

func TestFromReader(t *testing.T) {
	d := &described{Reader: bytes.NewReader([]byte("0123\x00\x00\x00\x0089"))}
	s, err := FromReader(d, 10, "disk")
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() != 10 || s.Name() != "disk" || s.CacheKey() != "" {
		t.Errorf("size %d, name %s, cache key %q", s.Size(), s.Name(), s.CacheKey())
	}
	slots := [][]byte{make([]byte, 1), {}, make([]byte, 2)}
	if err := s.ReadScattered(slots, 7); err != nil || string(slots[0])+string(slots[2]) != "\x0089" {
		t.Errorf("read at the end: %q, %v", slots, err)
	}
	if err := s.ReadScattered(slots, 8); err == nil {
		t.Error("it reads beyond its end")
	}
	p := make([]byte, 4)
	if n, err := s.ReadAt(p, 8); n != 2 || err != io.EOF {
		t.Errorf("the last two of four bytes: %d, %v", n, err)
	}
	if !s.IsHole(4, 4) || s.IsHole(0, 8) {
		t.Error("the reader's holes are not told")
	}
	if line, err := s.Identity(); err != nil || line != "10 version 1" {
		t.Errorf("identity %q, %v", line, err)
	}
	if err := s.Changed(); err != nil {
		t.Error(err)
	}
	d.changed = errors.New("somebody wrote")
	if err := s.Changed(); !errors.Is(err, ErrChanged) || !errors.Is(err, d.changed) {
		t.Errorf("after a change: %v", err)
	}
	if s.Close(); !d.closed {
		t.Error("the reader is not closed")
	}
}

// TestPlainReader: a reader without any optional interface is another image each time.
func TestPlainReader(t *testing.T) {
	var lines []string
	for range 2 {
		s, err := FromReader(strings.NewReader("abc"), 3, "disk")
		if err != nil {
			t.Fatal(err)
		}
		line, err := s.Identity()
		if err != nil || s.IsHole(0, 1) || s.Changed() != nil || s.Close() != nil {
			t.Errorf("%q, %v", line, err)
		}
		lines = append(lines, line)
	}
	if len(slices.Compact(lines)) != 2 {
		t.Error("two readers have one identity")
	}
	short, err := FromReader(strings.NewReader("abc"), 4, "disk")
	if err != nil {
		t.Fatal(err)
	}
	if err := short.ReadScattered([][]byte{make([]byte, 4)}, 0); err == nil || !strings.Contains(err.Error(), "offset 3") {
		t.Errorf("a reader that ends early: %v", err)
	}
	if _, err := FromReader(strings.NewReader(""), 0, "disk"); err == nil {
		t.Error("an empty image is served")
	}
}
