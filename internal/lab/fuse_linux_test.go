package lab

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func faulty(t *testing.T, cfg FaultyConfig) (*FaultyFile, *os.File) {
	t.Helper()
	f, err := MountFaultyFile(t.TempDir(), cfg)
	if err != nil {
		t.Skip("no file systems of our own here: ", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return f, file
}

func TestFaultyFile(t *testing.T) {
	const size, writes = 1 << 20, 700 << 10
	f, file := faulty(t, FaultyConfig{SizeBytes: size, FailWritesFrom: writes})
	data := bytes.Repeat([]byte{0xA5}, size)
	// Not File.WriteAt: after an error it does not tell how much went out.
	if n, err := unix.Pwrite(int(file.Fd()), data, 0); n != writes || err != nil {
		t.Errorf("%d bytes were written, %v; want %d", n, err, writes)
	}
	if n, err := unix.Pwrite(int(file.Fd()), data[writes:], writes); err != unix.EIO {
		t.Errorf("beyond the offset %d bytes were written, %v; want EIO", n, err)
	}
	if got := f.Content(); !bytes.Equal(got[:writes], data[:writes]) || !bytes.Equal(got[writes:], make([]byte, size-writes)) {
		t.Error("the file holds other bytes than were written")
	}
	if err := file.Truncate(100); err != nil {
		t.Fatal(err)
	}
	if got := f.Content(); !bytes.Equal(got, data[:100]) {
		t.Errorf("%d bytes are left", len(got))
	}
}

func TestFaultyFileReads(t *testing.T) {
	const reads = 600<<10 + 4096
	_, file := faulty(t, FaultyConfig{SizeBytes: 1 << 20, FailReadsFrom: reads})
	if _, err := file.ReadAt(make([]byte, reads), 0); err != nil {
		t.Errorf("before the offset: %v", err)
	}
	if n, err := file.ReadAt(make([]byte, 1), reads); !errors.Is(err, unix.EIO) {
		t.Errorf("at the offset %d bytes were read, %v; want EIO", n, err)
	}
}

func TestFaultyFileLate(t *testing.T) {
	_, file := faulty(t, FaultyConfig{SizeBytes: 1 << 20, FailWritesFrom: 512 << 10, Late: true})
	if _, err := file.WriteAt(make([]byte, 1<<20), 0); err != nil {
		t.Fatalf("write: %v; want it to fail late", err)
	}
	if err := file.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("sync: %v; want EIO", err)
	}
}
