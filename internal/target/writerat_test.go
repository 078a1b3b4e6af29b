package target

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// callersMemory is a library caller's target.
type callersMemory struct {
	bytes  []byte
	synced int
	fail   error
}

func (m *callersMemory) WriteAt(p []byte, off int64) (int, error) {
	if m.fail != nil {
		return 0, m.fail
	}
	return copy(m.bytes[off:], p), nil
}

func (m *callersMemory) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, m.bytes[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *callersMemory) Sync() error { m.synced++; return m.fail }

// writeOnly hides what m can do beside writing.
type writeOnly struct{ m *callersMemory }

func (w writeOnly) WriteAt(p []byte, off int64) (int, error) { return w.m.WriteAt(p, off) }

func TestFromWriterAt(t *testing.T) {
	m := &callersMemory{bytes: bytes.Repeat([]byte{7}, 3<<20)}
	w := FromWriterAt(m, "memory")
	if err := w.Prepare(2<<20+5, 0); err != nil {
		t.Fatal(err)
	}
	image := append(bytes.Repeat([]byte{1, 2, 3, 4}, 1<<18), make([]byte, 1<<20+5)...)
	for _, err := range []error{w.WriteAt(image[:1<<20], 0), w.WriteZeros(1<<20, 1<<20+5), w.Sync(), w.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(m.bytes[:len(image)], image) || m.bytes[len(image)] != 7 || m.synced != 1 {
		t.Errorf("it holds something else, or was synced %d times", m.synced)
	}
	held := Content(w)
	if held == nil || !Readable(w) || InOrder(w) {
		t.Fatal("it cannot be read, or takes the image in order only")
	}
	back, err := w.(Verifiable).ReadBack()
	if err != nil {
		t.Fatal(err)
	}
	p := back.Buffer(1 << 20)
	if err := back.ReadAt(p, 0); err != nil || !bytes.Equal(p, image[:1<<20]) {
		t.Errorf("it reads back otherwise: %v", err)
	}
	if err := back.Close(); err != nil {
		t.Error(err)
	}
	if err := held.ReadAt(make([]byte, 10), 3<<20-5); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading past the end: %v", err)
	}
}

func TestFromWriterAtFails(t *testing.T) {
	m := &callersMemory{bytes: make([]byte, 100), fail: errors.New("no more")}
	w := FromWriterAt(writeOnly{m}, "memory")
	if err := w.Prepare(100, 0); err != nil {
		t.Fatal(err)
	}
	if Content(w) != nil || Readable(w) {
		t.Error("what only writes is to be read")
	}
	if err := w.WriteAt([]byte{1}, 0); !errors.Is(err, ErrIO) || !errors.Is(err, m.fail) {
		t.Errorf("a write that fails: %v", err)
	}
	m.fail = nil
	if err := w.Sync(); !errors.Is(err, ErrIO) {
		t.Errorf("the first failure does not stay: %v", err)
	}
	w = FromWriterAt(m, "memory")
	if err := w.Prepare(100, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteAt(make([]byte, 2), 99); !errors.Is(err, ErrIO) {
		t.Errorf("a write beyond the image: %v", err)
	}
}

// TestCapabilities: what each target can do beside being written to.
func TestCapabilities(t *testing.T) {
	if s := NewStream(io.Discard, "stream"); !InOrder(s) || Content(s) != nil || Readable(s) {
		t.Error("a stream takes bytes in order, and that is all")
	}
}
