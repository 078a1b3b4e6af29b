package target

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// checkRefused fails unless err wraps ErrRefused alone, and names and says what it must on one
// line.
func checkRefused(t *testing.T, err error, name, want string) {
	t.Helper()
	checkError(t, err, ErrRefused, ErrIO, name+" is refused: ", want)
}

// checkIO fails unless err wraps ErrIO alone and holds all of want on one line.
func checkIO(t *testing.T, err error, want ...string) {
	t.Helper()
	checkError(t, err, ErrIO, ErrRefused, want...)
}

func checkError(t *testing.T, err, is, isNot error, want ...string) {
	t.Helper()
	if !errors.Is(err, is) || errors.Is(err, isNot) {
		t.Fatalf("error %v; want one that wraps %q only", err, is)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has several lines", err)
	}
}

// mustOpen opens and closes a target that must not be refused.
func mustOpen(t testing.TB, o Options) *File {
	t.Helper()
	f, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.file.Close() })
	return f
}

// openRefused is the error of Open, which must have changed nothing below dir.
func openRefused(t *testing.T, o Options, dir string) error {
	t.Helper()
	before := snapshot(t, dir)
	f, err := Open(o)
	if err == nil {
		f.Close()
		t.Fatalf("Open(%+v) succeeded", o)
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("Open(%+v) changed the folder from\n%s\nto\n%s", o, before, after)
	}
	return err
}

// snapshot is the names, types and contents of all below dir.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&all, "%s %v", path, e.Type())
		if e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&all, " %q", data)
		}
		fmt.Fprintln(&all)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func checkContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Fatalf("%s holds %d bytes, of which the one at %d is the first to differ from the %d wanted", path, len(got), i, len(want))
	}
}

// allocatedBytes is how much of the disk the file at path takes.
func allocatedBytes(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func random(seed int64, n int) []byte {
	p := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(p)
	return p
}

// write puts image on f in runs of runBytes, the last first if backwards.
func write(t testing.TB, f *File, image []byte, runBytes int, backwards bool) {
	t.Helper()
	if err := f.Prepare(uint64(len(image)), 0); err != nil {
		t.Fatal(err)
	}
	runs := (len(image) + runBytes - 1) / runBytes
	for i := range runs {
		if backwards {
			i = runs - 1 - i
		}
		off := i * runBytes
		if err := f.WriteAt(image[off:min(off+runBytes, len(image))], uint64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestContent(t *testing.T) {
	image := random(1, 20<<20+777)
	clear(image[1<<20 : 2<<20])
	clear(image[3<<20+5 : 3<<20+9000])
	clear(image[20<<20:]) // a hole at the end must count for the length
	for _, tt := range []struct {
		name     string
		existing []byte // nil: no file
		isNew    bool
	}{
		{"missing", nil, true},
		{"empty", []byte{}, true},
		{"shorter", bytes.Repeat([]byte{0xFF}, 4<<20+1), false},
		{"longer", bytes.Repeat([]byte{0xFF}, 21<<20), false},
	} {
		for _, allocate := range []bool{false, true} {
			for _, backwards := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/allocate=%v/backwards=%v", tt.name, allocate, backwards), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "out.img")
					if tt.existing != nil {
						writeFile(t, path, tt.existing)
					}
					f := mustOpen(t, Options{Path: path, Allocate: allocate})
					if f.New() != tt.isNew || f.IsDevice() || f.Name() != path {
						t.Errorf("New, IsDevice, Name = %v, %v, %q", f.New(), f.IsDevice(), f.Name())
					}
					write(t, f, image, 1<<20-1024, backwards)
					checkContent(t, path, image)
				})
			}
		}
	}
}

func TestOddSizes(t *testing.T) {
	for _, size := range []int{1, 1023, 1025, 4095, 4097, 70001} {
		for _, allocate := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "out.img")
			image := random(int64(size), size)
			write(t, mustOpen(t, Options{Path: path, Allocate: allocate}), image, 1024, true)
			checkContent(t, path, image)
		}
	}
}

func TestHoles(t *testing.T) {
	const size = 16 << 20
	image := make([]byte, size)
	copy(image[1<<20:], random(1, 64<<10))
	copy(image[9<<20:], random(2, 5000)) // two pieces
	const data = 64<<10 + 2*holeGrainBytes
	if !sparseHere(t) {
		t.Skip("the file system of the temporary folder makes no holes: run with TMPDIR on one that does")
	}
	for _, tt := range []struct {
		name     string
		existing []byte
		allocate bool
		runBytes int
		min, max int64
	}{
		{"new", nil, false, 1 << 20, data, data},
		{"new, runs that cut pieces", nil, false, 1 << 20 * 3 / 4 / 1024 * 1000, data, data + 2*chunkBytes},
		{"empty", []byte{}, false, 1 << 20, data, data},
		{"existing", []byte{0xFF}, false, 1 << 20, size, size * 2},
		{"allocate", nil, true, 1 << 20, size, size * 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out.img")
			if tt.existing != nil {
				writeFile(t, path, tt.existing)
			}
			write(t, mustOpen(t, Options{Path: path, Allocate: tt.allocate}), image, tt.runBytes, false)
			checkContent(t, path, image)
			// Besides data, file systems count what they need to find it.
			const metadata = 64 << 10
			if got := allocatedBytes(t, path); got < tt.min || got > tt.max+metadata {
				t.Errorf("%d bytes are allocated, want %d to %d", got, tt.min, tt.max+metadata)
			}
		})
	}
}

// sparseHere reports whether the temporary folder's file system makes holes.
func sparseHere(t *testing.T) bool {
	path := filepath.Join(t.TempDir(), "probe")
	writeFile(t, path, nil)
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	return allocatedBytes(t, path) == 0
}

// TestAllocateTakesSpaceFirst: before a byte is written, all has its place.
func TestAllocateTakesSpaceFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	f := mustOpen(t, Options{Path: path, Allocate: true})
	if err := f.Prepare(8<<20+1, 0); err != nil {
		t.Fatal(err)
	}
	if got := allocatedBytes(t, path); got < 8<<20+1 {
		t.Errorf("%d bytes are allocated", got)
	}
}

// TestExtend stands for a file system that allocates nothing without data.
func TestExtend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	old := random(1, 5000)
	writeFile(t, path, old)
	f := mustOpen(t, Options{Path: path})
	const size = 3<<20 + 5
	if err := extend(f.file, int64(len(old)), size); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path, append(old, make([]byte, size-len(old))...))
	if got := allocatedBytes(t, path); got < size {
		t.Errorf("%d bytes are allocated", got)
	}
}

func TestAllocateTooMuch(t *testing.T) {
	for _, existing := range []bool{false, true} {
		t.Run(fmt.Sprint("existing=", existing), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.img")
			old := random(1, 5000)
			if existing {
				writeFile(t, path, old)
			}
			f := mustOpen(t, Options{Path: path, Allocate: true})
			checkRefused(t, f.Prepare(1<<60, 0), path, "bytes free, the image needs")
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if existing {
				checkContent(t, path, old)
			} else if after := snapshot(t, dir); strings.Contains(after, "out.img") {
				t.Errorf("an empty file is left: %s", after)
			}
		})
	}
}

// TestTooLong: no file system here takes files of that length, and nothing has changed.
func TestTooLong(t *testing.T) {
	for _, size := range []uint64{1<<63 - 1, 1 << 63, 1<<64 - 1} {
		path := filepath.Join(t.TempDir(), "out.img")
		old := random(1, 5000)
		writeFile(t, path, old)
		f := mustOpen(t, Options{Path: path})
		err := f.Prepare(size, 0)
		if err == nil && size < 1<<63 {
			t.Skip("the file system of the temporary folder takes files of any length")
		}
		checkRefused(t, err, path, fmt.Sprint(size, " bytes"))
		checkContent(t, path, old)
	}
}

// TestOpenChangesNothing: an existing file is as it was until Prepare, and after it
// but for its length.
func TestOpenChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	old := random(1, 10000)
	writeFile(t, path, old)
	f := mustOpen(t, Options{Path: path})
	checkContent(t, path, old)
	if err := f.Prepare(9000, 0); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path, old[:9000])
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path, old[:9000])
}

// TestLitter: what Open made goes away if Prepare never came, and nothing else does.
func TestLitter(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  func(t *testing.T, f *File, path string)
		stay bool
	}{
		{"opened only", func(*testing.T, *File, string) {}, false},
		{"prepared", func(t *testing.T, f *File, _ string) {
			if err := f.Prepare(10, 0); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"replaced", func(t *testing.T, _ *File, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, nil)
		}, true},
		{"written to by another", func(t *testing.T, _ *File, path string) { writeFile(t, path, []byte("x")) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out.img")
			f := mustOpen(t, Options{Path: path})
			tt.use(t, f, path)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(path); (err == nil) != tt.stay {
				t.Errorf("after Close: %v; want it to stay: %v", err, tt.stay)
			}
		})
	}
	t.Run("empty before", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "out.img")
		writeFile(t, path, nil)
		if err := mustOpen(t, Options{Path: path}).Close(); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path, nil)
	})
}

func TestWriteBeyondEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.img")
	f := mustOpen(t, Options{Path: path})
	if err := f.Prepare(1000, 0); err != nil {
		t.Fatal(err)
	}
	checkIO(t, f.WriteAt(make([]byte, 8), 993), "write "+path+" at offset 993: ")
	// The failure stays: the target is not what it should be, whatever comes.
	checkIO(t, f.WriteAt(make([]byte, 8), 0), "offset 993")
	checkIO(t, f.Sync(), "offset 993")
	checkContent(t, path, make([]byte, 1000))
}

// TestSyncTakesTheName: a file that Open made is on the disk only with its name, so that
// Sync looks for its folder; of a file that was there before it does not.
func TestSyncTakesTheName(t *testing.T) {
	for _, before := range []bool{false, true} {
		folder := filepath.Join(t.TempDir(), "folder")
		path := filepath.Join(folder, "out.img")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if before {
			writeFile(t, path, nil)
		}
		f := mustOpen(t, Options{Path: path})
		if err := f.Prepare(10, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(folder, folder+" elsewhere"); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); before && err != nil {
			t.Errorf("a file that was there before: %v", err)
		} else if !before {
			checkIO(t, err, "open "+folder+": ")
		}
	}
}

// TestSyncFolder: a folder that cannot be synced is no failure, one whose disk fails is.
func TestSyncFolder(t *testing.T) {
	folder := t.TempDir()
	for _, test := range []struct {
		err    error
		failed bool
	}{
		{nil, false},
		{unix.EINVAL, false},
		{unix.ENOTSUP, false},
		{unix.EIO, true},
		{unix.ENOSPC, true},
	} {
		synced := ""
		err := syncFolder(folder, func(f *os.File) error {
			synced = f.Name()
			return test.err
		})
		if synced != folder {
			t.Errorf("%q was synced, want %q", synced, folder)
		}
		if test.failed {
			checkIO(t, err, "sync "+folder+": ")
		} else if err != nil {
			t.Errorf("%v: %v", test.err, err)
		}
	}
}

// TestRuns compares any runs in any order, overlapping ones included, with a slice.
func TestRuns(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 400<<10).Draw(rt, "size")
		old := bytes.Repeat([]byte{0xFF}, rapid.SampledFrom([]int{0, 0, 1, 200 << 10, 500 << 10}).Draw(rt, "old"))
		path := filepath.Join(dir, "out.img")
		if err := os.WriteFile(path, old, 0o644); err != nil {
			rt.Fatal(err)
		}
		f, err := Open(Options{Path: path, Allocate: rapid.Bool().Draw(rt, "allocate")})
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close()
		if err := f.Prepare(uint64(size), 0); err != nil {
			rt.Fatal(err)
		}
		want := make([]byte, size)
		copy(want, old)
		for range rapid.IntRange(0, 12).Draw(rt, "runs") {
			off := rapid.IntRange(0, size).Draw(rt, "off")
			run := make([]byte, rapid.IntRange(0, min(size-off, 150<<10)).Draw(rt, "len"))
			for range rapid.IntRange(0, 3).Draw(rt, "data") { // islands in zeros
				lo := rapid.IntRange(0, len(run)).Draw(rt, "lo")
				hi := rapid.IntRange(lo, min(len(run), lo+20<<10)).Draw(rt, "hi")
				copy(run[lo:hi], bytes.Repeat([]byte{0xA5}, hi-lo))
			}
			if err := f.WriteAt(run, uint64(off)); err != nil {
				rt.Fatal(err)
			}
			copy(want[off:], run)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			rt.Fatal("the file holds other bytes than were written")
		}
	})
}

func TestWriteAllocatesNothing(t *testing.T) {
	f := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "out.img")})
	if err := f.Prepare(1<<20, 0); err != nil {
		t.Fatal(err)
	}
	run := random(1, 1<<20)
	clear(run[100<<10 : 200<<10])
	if n := testing.AllocsPerRun(20, func() {
		if err := f.WriteAt(run, 0); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("WriteAt makes %v allocations", n)
	}
}

// TestErrorKeepsCause: a caller may ask for the system's reason.
func TestErrorKeepsCause(t *testing.T) {
	err := writeFailed("x", 7, &fs.PathError{Op: "write", Path: "x", Err: unix.ENOSPC})
	if !errors.Is(err, unix.ENOSPC) || err.Error() != "write x at offset 7: no space left on device" {
		t.Error(err)
	}
}

func BenchmarkWriteAt(b *testing.B) {
	image := random(1, 64<<20)
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "out.img")
		write(b, mustOpen(b, Options{Path: path}), image, 1<<20, false)
		os.Remove(path)
	}
}
