package target

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

const (
	benchBytes = 1 << 30
	benchPiece = 1 << 20
)

// pageMemory is a figure of /proc/meminfo, in bytes.
func pageMemory(b *testing.B, name string) int64 {
	b.Helper()
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		b.Skip("no /proc/meminfo: ", err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var n int64
		if _, err := fmt.Sscanf(lines.Text(), name+": %d kB", &n); err == nil {
			return n << 10
		}
	}
	b.Fatalf("/proc/meminfo has no %s", name)
	return 0
}

// writeMethods are the ways to write that are held against each other: each returns
// what writes a piece, and what ends it all.
var writeMethods = []struct {
	name string
	open func(b *testing.B, path string) (write func(p []byte, off uint64) error, end func() error)
}{
	{"write-behind", func(b *testing.B, path string) (func(p []byte, off uint64) error, func() error) {
		f := mustOpen(b, Options{Path: path})
		if err := f.Prepare(benchBytes, 0); err != nil {
			b.Fatal(err)
		}
		return f.WriteAt, func() error { return errors.Join(f.Sync(), f.Close()) }
	}},
	{"write-behind, not dropped", func(b *testing.B, path string) (func(p []byte, off uint64) error, func() error) {
		write, end, file := toFile(b, path, 0)
		return func(p []byte, off uint64) error {
			err := write(p, off)
			if done := int64(off) + int64(len(p)); err == nil && done%writebackBytes == 0 {
				err = unix.SyncFileRange(int(file.Fd()), done-writebackBytes, writebackBytes, unix.SYNC_FILE_RANGE_WRITE)
				if err == nil && done > writebackBytes {
					err = unix.SyncFileRange(int(file.Fd()), done-2*writebackBytes, writebackBytes, unix.SYNC_FILE_RANGE_WRITE_AND_WAIT)
				}
			}
			return err
		}, end
	}},
	{"O_DIRECT", func(b *testing.B, path string) (func(p []byte, off uint64) error, func() error) {
		write, end, _ := toFile(b, path, unix.O_DIRECT)
		// Blocks are not aligned in memory, so each is copied.
		aligned := (&Back{}).Buffer(benchPiece)
		return func(p []byte, off uint64) error { return write(aligned[:copy(aligned, p)], off) }, end
	}},
	{"page cache alone", func(b *testing.B, path string) (func(p []byte, off uint64) error, func() error) {
		write, end, _ := toFile(b, path, 0)
		return write, end
	}},
}

// toFile opens a file to write to it as it is.
func toFile(b *testing.B, path string, flags int) (write func(p []byte, off uint64) error, end func() error, file *os.File) {
	b.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o666)
	if err != nil {
		b.Skip("it cannot be opened: ", err)
	}
	write = func(p []byte, off uint64) error {
		_, err := file.WriteAt(p, int64(off))
		return err
	}
	return write, func() error { return errors.Join(file.Sync(), file.Close()) }, file
}

// BenchmarkWriteTarget writes 1 GiB in pieces of 1 MiB, and syncs, which is in the
// time. stall-ms is the longest that one piece took, sync-ms the sync; dirty-MiB and
// cached-MiB are by how much those of /proc/meminfo grew at most. TMPDIR chooses the disk.
func BenchmarkWriteTarget(b *testing.B) {
	for _, device := range []bool{false, true} {
		for _, method := range writeMethods {
			name := "file/"
			if device {
				name = "loop device with direct I/O/"
			}
			b.Run(name+method.name, func(b *testing.B) {
				b.SetBytes(benchBytes)
				var stall, sync time.Duration
				var dirty, cached int64
				for b.Loop() {
					b.StopTimer()
					path := filepath.Join(b.TempDir(), "out.img")
					if device {
						path = loopdev.Attach(b, benchDisk(b, path), unix.LO_FLAGS_DIRECT_IO, 512)
					}
					unix.Sync()
					piece := random(1, benchPiece+8)[1:][:benchPiece]
					dirtyBefore, cachedBefore := pageMemory(b, "Dirty")+pageMemory(b, "Writeback"), pageMemory(b, "Cached")+pageMemory(b, "Buffers")
					b.StartTimer()
					write, end := method.open(b, path)
					for off := uint64(0); off < benchBytes; off += benchPiece {
						binary.NativeEndian.PutUint64(piece, off) // no two are equal
						began := time.Now()
						if err := write(piece, off); err != nil {
							b.Fatal(err)
						}
						stall = max(stall, time.Since(began))
						if off%(16*benchPiece) == 0 {
							dirty = max(dirty, pageMemory(b, "Dirty")+pageMemory(b, "Writeback")-dirtyBefore)
							cached = max(cached, pageMemory(b, "Cached")+pageMemory(b, "Buffers")-cachedBefore)
						}
					}
					began := time.Now()
					if err := end(); err != nil {
						b.Fatal(err)
					}
					sync = max(sync, time.Since(began))
					b.StopTimer()
					if !strings.HasPrefix(path, "/dev/") {
						os.Remove(path)
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(stall.Milliseconds()), "stall-ms")
				b.ReportMetric(float64(sync.Milliseconds()), "sync-ms")
				b.ReportMetric(float64(dirty>>20), "dirty-MiB")
				b.ReportMetric(float64(cached>>20), "cached-MiB")
			})
		}
	}
}

// benchDisk is a file that takes all its space.
func benchDisk(b *testing.B, path string) string {
	b.Helper()
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if err := allocate(file, benchBytes); err != nil {
		b.Fatal(err)
	}
	return path
}
