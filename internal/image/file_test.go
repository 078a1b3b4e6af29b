package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// writeImage makes a file of size random bytes and returns its path and bytes.
func writeImage(t testing.TB, size int) (string, []byte) {
	t.Helper()
	data := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(data)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func open(t testing.TB, path string) *File {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("empty"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(in("fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Symlink("nowhere", in("dangling")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{dir, "neither a regular file nor a block device"},
		{in("fifo"), "neither a regular file nor a block device"},
		{in("socket"), "neither a regular file nor a block device"},
		{"/dev/null", "neither a regular file nor a block device"},
		{in("empty"), "is empty"},
		{in("missing"), "no such file"},
		{in("dangling"), "no such file"},
		{"", "no such file"},
	} {
		s, err := Open(tt.path)
		if err == nil {
			s.Close()
			t.Errorf("Open(%q) succeeded", tt.path)
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, tt.want) || !strings.Contains(msg, tt.path) || strings.Contains(msg, "\n") {
			t.Errorf("Open(%q): %q; want the path and %q on one line", tt.path, msg, tt.want)
		}
	}
}

// TestServedImageIsLocked: as long as an image is served nobody gets it to write it, while
// others may serve it too; and what somebody writes is not served.
func TestServedImageIsLocked(t *testing.T) {
	path, _ := writeImage(t, 1000)
	writer, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	lock := func(how int) error { return unix.Flock(int(writer.Fd()), how|unix.LOCK_NB) }
	s := open(t, path)
	open(t, path).Close()
	if err := lock(unix.LOCK_EX); err != unix.EWOULDBLOCK {
		t.Errorf("locking an image that is served: %v, want %v", err, unix.EWOULDBLOCK)
	}
	s.Close()
	if err := lock(unix.LOCK_EX); err != nil {
		t.Fatalf("locking an image that is served no more: %v", err)
	}
	if s, err := Open(path); err == nil {
		s.Close()
		t.Error("an image that is being written is served")
	} else if !strings.Contains(err.Error(), path+" is being written") {
		t.Error(err)
	}
	if err := lock(unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestReadAt(t *testing.T) {
	path, data := writeImage(t, 10007)
	link := filepath.Join(filepath.Dir(path), "link.img")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	s := open(t, link)
	if s.Size() != uint64(len(data)) || s.Name() != "link.img" {
		t.Errorf("Size, Name = %d, %q", s.Size(), s.Name())
	}
	if err := iotest.TestReader(io.NewSectionReader(s, 0, int64(s.Size())), data); err != nil {
		t.Error(err)
	}
	if n, err := s.ReadAt(make([]byte, 10), 10000); n != 7 || err != io.EOF {
		t.Errorf("across the end: %d, %v; want 7, EOF", n, err)
	}
	if n, err := s.ReadAt(make([]byte, 1), 10007); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v; want 0, EOF", n, err)
	}
	if _, err := s.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("before the beginning: %v", err)
	}
}

func TestReadScattered(t *testing.T) {
	path, data := writeImage(t, 1<<20+13)
	s := open(t, path)
	rapid.Check(t, func(rt *rapid.T) {
		off := rapid.IntRange(0, len(data)).Draw(rt, "off")
		// Beyond ioVectorMax as well, and empty slots among them.
		lens := rapid.SliceOfN(rapid.IntRange(0, 1500), 0, 2*ioVectorMax+10).Draw(rt, "lens")
		slots, end := [][]byte{}, off
		for _, n := range lens {
			n = min(n, len(data)-end)
			slots = append(slots, make([]byte, n))
			end += n
		}
		if err := s.ReadScattered(slots, uint64(off)); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(bytes.Join(slots, nil), data[off:end]) {
			rt.Fatalf("%d slots from %d to %d hold other bytes", len(slots), off, end)
		}
	})
}

func TestReadScatteredBeyondEnd(t *testing.T) {
	path, _ := writeImage(t, 1000)
	s := open(t, path)
	for _, off := range []uint64{991, 1001, 1 << 63, ^uint64(0)} {
		err := s.ReadScattered([][]byte{make([]byte, 4), make([]byte, 6)}, off)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint("offset ", off)) {
			t.Errorf("offset %d: %v", off, err)
		}
	}
}

// TestShrunk cuts the image in the middle of a slot: a short read is followed by
// one that finds the end.
func TestShrunk(t *testing.T) {
	path, _ := writeImage(t, 10000)
	s := open(t, path)
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	slots := [][]byte{make([]byte, 3000), make([]byte, 3000), make([]byte, 3000)}
	for name, read := range map[string]func() error{
		"ReadAt":                 func() error { _, err := s.ReadAt(make([]byte, 9000), 0); return err },
		"ReadScattered":          func() error { return s.ReadScattered(slots, 0) },
		"ReadScattered at slots": func() error { return s.ReadScattered(slots[:2], 2000) },
	} {
		err := read()
		if err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("%s of a shrunk image: %v", name, err)
		}
		want := "read image " + path + " at offset 5000: it has shrunk, it had 10000 bytes"
		if err.Error() != want {
			t.Errorf("%s: %q, want %q", name, err, want)
		}
	}
}

func TestChanged(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, path string)
		want   string // empty: no change
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"access time", func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Now(), time.Time{})) }, ""},
		{"modified", func(t *testing.T, path string) {
			must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
		}, "it was modified at"},
		{"set back", func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0))) }, "it was modified at"},
		{"grown", func(t *testing.T, path string) { must(t, os.Truncate(path, 1001)) }, "it had 1000 bytes and has 1001"},
		{"shrunk", func(t *testing.T, path string) { must(t, os.Truncate(path, 999)) }, "it had 1000 bytes and has 999"},
		{"removed", func(t *testing.T, path string) { must(t, os.Remove(path)) }, ""},
		{"replaced", func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".new", []byte("other"), 0o644))
			must(t, os.Rename(path+".new", path))
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, data := writeImage(t, 1000)
			s := open(t, path)
			tt.change(t, path)
			err := s.Changed()
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Fatalf("Changed() = %v, want %q and the path", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatalf("Changed() = %v", err)
			}
			got := make([]byte, len(data))
			if _, err := s.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
				t.Errorf("the opened image reads otherwise now: %v", err)
			}
		})
	}
}

func BenchmarkReadScattered(b *testing.B) {
	path, _ := writeImage(b, 8<<20)
	s := open(b, path)
	for _, n := range []int{8, 64, 512} {
		b.Run(fmt.Sprint("slots=", n), func(b *testing.B) {
			slots := make([][]byte, n)
			for i := range slots {
				slots[i] = make([]byte, 1024)
			}
			b.SetBytes(int64(n * 1024))
			b.ReportAllocs()
			var off uint64
			for b.Loop() {
				if err := s.ReadScattered(slots, off); err != nil {
					b.Fatal(err)
				}
				off = (off + uint64(n*1024)) % (4 << 20)
			}
		})
	}
}
