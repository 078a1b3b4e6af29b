package usedblocks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
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

// emptyImage makes a file of garbage, so that what is wrongly taken for zeros shows.
func emptyImage(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	chunk := bytes.Repeat([]byte{0xA5}, 1<<20)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for left := size; left > 0; left -= int64(len(chunk)) {
		if _, err := f.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
			t.Fatal(err)
		}
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

// fill writes files, and deletes half of them, so that free space has garbage between files.
func fill(t testing.TB, dir string, bytes int) {
	random := rand.New(rand.NewPCG(1, uint64(bytes)))
	var names []string
	for left := bytes; left > 0; {
		n := min(left, 1+random.IntN(max(bytes/20, 2)))
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
	unix.Sync()
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
	if err := os.Symlink("sparse", filepath.Join(dir, "link")); err != nil {
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
