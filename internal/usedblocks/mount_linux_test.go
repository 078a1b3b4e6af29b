package usedblocks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"multiserver/internal/image"
	"multiserver/internal/partition"
)

// needs skips the test where a program is missing.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s", p)
		}
	}
}

// run runs a program and returns what it prints.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// emptyImage makes a file for a file system. Up to 64 MiB it is full of garbage, larger ones are
// sparse.
func emptyImage(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	var garbage []byte
	if size <= 64<<20 {
		garbage = bytes.Repeat([]byte{0xA5}, int(size))
	}
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// inMounts runs f in a mount namespace of its own: no other process keeps what is mounted there.
func inMounts(t testing.TB, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting is for root: run as root")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		ended := false
		defer func() {
			if !ended && err == nil {
				err = fmt.Errorf("it did not end: %v", recover())
			}
			done <- err
		}()
		if err == nil {
			f()
		}
		ended = true
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// mounted mounts the image at path through a loop device while f runs.
func mounted(t testing.TB, path, options string, f func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	inMounts(t, func() {
		if out, err := exec.Command("mount", "-o", "loop,"+options, path, dir).CombinedOutput(); err != nil {
			t.Errorf("mount: %v: %s", err, out)
			return
		}
		defer func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		}()
		f(dir)
	})
}

const tinyFiles = 1500

// fill writes files, and deletes half of them, so that free space has garbage between files.
func fill(t testing.TB, dir string, size int) {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	var names []string
	for left := size; left > 0; {
		n := min(left, 1+random.IntN(max(size/20, 2)))
		if random.IntN(3) == 0 {
			n = min(left, 1+random.IntN(9000))
		}
		left -= n
		name := filepath.Join(dir, fmt.Sprintf("d%d", len(names)%7), fmt.Sprintf("file %d", len(names)))
		content := make([]byte, n)
		for i := 0; i+8 <= n; i += 8 {
			binary.NativeEndian.PutUint64(content[i:], random.Uint64())
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Error(err)
			return
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Error(err)
			return
		}
		names = append(names, name)
	}
	// Many that are small, so that trees of free space have several levels.
	for i := range tinyFiles {
		name := filepath.Join(dir, fmt.Sprintf("tiny %d", i))
		if err := os.WriteFile(name, bytes.Repeat([]byte{byte(i)}, 500+2000*(i%2)), 0o644); err != nil {
			t.Error(err)
			return
		}
		names = append(names, name)
	}
	if folder, err := os.Open(dir); err == nil {
		unix.Syncfs(int(folder.Fd())) // so that what is deleted was on the disk
		folder.Close()
	}
	for i, name := range names {
		if i%2 == 0 {
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Error(err)
		return
	}
	defer sparse.Close()
	for _, at := range []int64{0, 300_000, 1 << 22} {
		if _, err := sparse.WriteAt([]byte("written"), at); err != nil {
			t.Error(err)
		}
	}
	if err := os.Symlink("sparse", filepath.Join(dir, "link")); err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
		t.Error(err)
	}
}

// contents are the digests of all files below dir, and the targets of links.
func contents(t testing.TB, dir string) map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch d.Type() {
		case 0:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[name] = fmt.Sprintf("%x", sha256.Sum256(b))
		case fs.ModeSymlink:
			all[name], err = os.Readlink(path)
		default:
			all[name] = d.Type().String()
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// extent is what FIEMAP tells of a file.
type extent struct {
	path     string
	physical uint64
	length   uint64
}

// extentsOf asks the file system for all extents of all files and folders below dir (FIEMAP).
func extentsOf(t testing.TB, dir string) (all []extent) {
	const (
		fiemap              = 0xC020660B
		head, each, count   = 32, 56, 200
		last                = 0x1
		unknown, inline     = 0x2 | 0x4, 0x200 // not on the disk yet; in the inode or a tree
		notAligned, encoded = 0x100, 0x8
	)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != 0 && d.Type() != fs.ModeDir {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for start := uint64(0); ; {
			b := make([]byte, head+count*each)
			binary.NativeEndian.PutUint64(b, start)
			binary.NativeEndian.PutUint64(b[8:], ^uint64(0)-start)
			binary.NativeEndian.PutUint32(b[16:], 1) // sync first
			binary.NativeEndian.PutUint32(b[24:], count)
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemap, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
				if errno == unix.EOPNOTSUPP && d.IsDir() {
					return nil
				}
				return fmt.Errorf("FIEMAP %s: %w", path, errno)
			}
			n := int(binary.NativeEndian.Uint32(b[20:]))
			ended := n == 0
			for i := range n {
				e := b[head+i*each:]
				flags := binary.NativeEndian.Uint32(e[40:])
				x := extent{path, binary.NativeEndian.Uint64(e[8:]), binary.NativeEndian.Uint64(e[16:])}
				start = binary.NativeEndian.Uint64(e) + x.length
				ended = ended || flags&last != 0
				if flags&(unknown|inline) == 0 {
					all = append(all, x)
				}
			}
			if ended {
				return nil
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// readMap reads the map of a file.
func readMap(t testing.TB, path string) *Map {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return Read(f, uint64(info.Size()))
}

// view writes the image at path, as it is served, to a file beside it.
func view(t testing.TB, path string) string {
	t.Helper()
	f, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	src, m := Skip(f, path)
	defer src.Close()
	if len(m.Unused) == 0 {
		t.Fatalf("nothing is unused: %q", m.Lines())
	}
	out, err := os.Create(path + ".view")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(int64(src.Size())); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for off := uint64(0); off < src.Size(); off += uint64(len(block)) {
		b := block[:min(uint64(len(block)), src.Size()-off)]
		if src.IsHole(off, uint64(len(b))) {
			continue
		}
		if err := src.ReadScattered([][]byte{b}, off); err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteAt(b, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	return out.Name()
}

// overlaps returns a span that has bytes from lo to hi.
func overlaps(spans []partition.Span, lo, hi uint64) (partition.Span, bool) {
	for _, s := range spans {
		if s.Lo < hi && lo < s.Hi {
			return s, true
		}
	}
	return partition.Span{}, false
}

// only returns the one part of a map, which must not be whole.
func only(t testing.TB, m *Map) Part {
	t.Helper()
	if m.Whole != nil || len(m.Parts) != 1 || m.Parts[0].Why != nil {
		t.Fatalf("one part that is not whole is wanted: %q", m.Lines())
	}
	return m.Parts[0]
}

// whole fails unless the image's one part is sent whole, for a reason that has want in it.
func whole(t testing.TB, what string, m *Map, want string) {
	t.Helper()
	switch {
	case len(m.Unused) > 0:
		t.Errorf("%s: %d bytes are unused", what, m.UnusedBytes())
	case len(m.Parts) != 1 || m.Parts[0].Why == nil || !strings.Contains(m.Parts[0].Why.Error(), want):
		t.Errorf("%s: want %q: %q", what, want, m.Lines())
	}
}

// partcloneUsed asks partclone which ranges it would save.
func partcloneUsed(t testing.TB, program, path string) (used []partition.Span) {
	needs(t, program)
	log := filepath.Join(t.TempDir(), "domain")
	run(t, program, "-D", "-L", "/dev/null", "-s", path, "-o", log, "--offset_domain=0")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var at, n uint64
		var sign string
		if c, _ := fmt.Sscanf(line, "0x%X 0x%X %s", &at, &n, &sign); c == 3 && sign == "+" {
			used = append(used, partition.Span{Lo: at, Hi: at + n})
		}
	}
	if len(used) == 0 {
		t.Fatalf("%s says nothing: %s", program, text)
	}
	return used
}

// fileSystem is one that is made, filled and half deleted.
type fileSystem struct {
	kind        string
	mib         int64
	mkfs, check []string // commands, to which the image's path is added
	frozen      string   // options to mount it without writing
	// write and read open the file system in a folder while f runs; nil: the kernel mounts it.
	write, read func(t testing.TB, path string, f func(dir string))
	// used is how many bytes are used by another program's count, and the size of blocks.
	used      func(t testing.TB, path string) (used, block uint64)
	partclone string // which takes 2 s; "": it fails, or is not asked
	// physical is where extents are in the image, if FIEMAP does not tell.
	physical func(t testing.TB, path string, logical []extent) []extent
	// most is what may be used in place of 1.02 x what is.
	most func(used uint64) uint64
}

// test holds the map to what other programs say: it has every block of every file, little more
// than is used, and what is served has every file and passes the file system's own check.
func (f fileSystem) test(t *testing.T) {
	t.Parallel()
	path := emptyImage(t, f.mib<<20)
	run(t, f.mkfs[0], append(f.mkfs[1:], path)...)
	var before map[string]string
	var extents []extent
	write, read, kernel := f.write, f.read, f.write == nil
	if kernel {
		write = func(t testing.TB, path string, f func(dir string)) { mounted(t, path, "rw", f) }
		read = func(t testing.TB, path string, open func(dir string)) { mounted(t, path, f.frozen, open) }
	}
	write(t, path, func(dir string) { fill(t, dir, int(f.mib)<<20/8) })
	read(t, path, func(dir string) {
		if before = contents(t, dir); kernel {
			extents = extentsOf(t, dir)
		}
	})
	if t.Failed() {
		return
	}
	m := readMap(t, path)
	p := only(t, m)
	truth, block := f.used(t, path)
	t.Logf("%d bytes are used, %d truly; %d extents", p.Used, truth, len(extents))
	if p.Kind != f.kind {
		t.Errorf("it is %s", p.Kind)
	}
	// Blocks smaller than a page: what shares a page with them is used too.
	most := truth + truth/50 + 2*pageSize
	if block < pageSize {
		most += 2 * pageSize * uint64(len(extents))
	}
	if f.most != nil {
		most = f.most(truth)
	}
	if p.Used > most || p.Used < truth/2 {
		t.Errorf("%d bytes are used, truly %d", p.Used, truth)
	}
	if truth > uint64(f.mib)<<20*3/4 {
		t.Errorf("%d bytes of %d MiB are used: too many to tell", truth, f.mib)
	}
	if f.physical != nil {
		extents = f.physical(t, path, extents)
	}
	for _, x := range extents {
		if s, bad := overlaps(m.Unused, x.physical, x.physical+x.length); bad {
			t.Fatalf("%s is at %d, which is unused: %v", x.path, x.physical, s)
		}
	}
	if kernel && len(extents) < 10 {
		t.Errorf("%d extents", len(extents))
	}
	if f.partclone != "" {
		for _, u := range partcloneUsed(t, f.partclone, path) {
			if s, bad := overlaps(m.Unused, u.Lo, u.Hi); bad {
				t.Fatalf("partclone saves %v, unused is %v", u, s)
			}
		}
	}
	served := view(t, path)
	run(t, f.check[0], append(f.check[1:], served)...)
	if len(before) < tinyFiles/2 {
		t.Errorf("%d files", len(before))
	}
	read(t, served, func(dir string) {
		if after := contents(t, dir); !maps.Equal(before, after) {
			t.Error("files are not the same")
		}
	})
}

// change is one byte range that a test writes to an image.
type change struct {
	at    int
	bytes []byte
}

// with is a copy of b with changes.
func with(b []byte, changes ...change) []byte {
	b = bytes.Clone(b)
	for _, c := range changes {
		copy(b[c.at:], c.bytes)
	}
	return b
}

func readerOf(b []byte) io.ReaderAt { return bytes.NewReader(b) }
