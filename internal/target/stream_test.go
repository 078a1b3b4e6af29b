package target

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var _, _ Target = (*File)(nil), (*Stream)(nil)

func TestStreamInOrder(t *testing.T) {
	var out bytes.Buffer
	s := NewStream(&out, "standard output")
	if err := s.Prepare(1<<40, 0); err != nil {
		t.Fatal(err)
	}
	for off, run := range []string{0: "a", 1: "bcd", 4: "ef"} {
		if run == "" {
			continue
		}
		if err := s.WriteAt([]byte(run), uint64(off)); err != nil {
			t.Fatal(err)
		}
	}
	checkIO(t, s.WriteAt([]byte("x"), 5), "write standard output at offset 5: ", "offset 6 is next")
	checkIO(t, s.WriteAt([]byte("x"), 7), "write standard output at offset 7: ", "offset 6 is next")
	// The stream is as good as it was: nothing of those runs went out.
	if err := s.WriteAt([]byte("g"), 6); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Sync(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "abcdefg" {
		t.Errorf("the writer took %q", out.String())
	}
}

func TestStreamBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := NewStream(w, "standard output")
	if err := s.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatalf("a pipe need not sync: %v", err)
	}
	r.Close()
	const want = "write standard output at offset 3: whoever reads it has stopped: broken pipe"
	checkIO(t, s.WriteAt([]byte("def"), 3), want)
	checkIO(t, s.WriteAt([]byte("def"), 3), want)
	checkIO(t, s.Sync(), want)
}

func TestStreamToFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := NewStream(file, "standard output")
	image := random(1, 100000)
	for off := 0; off < len(image); off += 1000 {
		if err := s.WriteAt(image[off:off+1000], uint64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Sync(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatalf("Close closed what is the caller's: %v", err)
	}
	checkContent(t, path, image)
}

// brokenDisk takes everything, and tells only when it is synced that it kept nothing.
type brokenDisk struct{ bytes.Buffer }

func (*brokenDisk) Sync() error { return errors.New("input/output error") }

func TestStreamSyncFails(t *testing.T) {
	s := NewStream(&brokenDisk{}, "standard output")
	checkIO(t, s.Sync(), "sync standard output: input/output error")
	checkIO(t, s.WriteAt([]byte("x"), 0), "sync standard output: input/output error")
}
