package target

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/quote"
)

// furnish fills a folder with one thing of each kind and returns it.
func furnish(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), []byte("old"))
	for name, to := range map[string]string{"link": "file", "dangling": "missing", "loop": "loop", "up": "..", "dev": "/dev", "null": "/dev/null"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A socket's path is at most 108 bytes long.
	t.Chdir(dir)
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return dir
}

func TestOpenRefuses(t *testing.T) {
	dir := furnish(t)
	for _, tt := range []struct{ path, want string }{
		{"", "a path is needed"},
		{"folder", "it is a folder"},
		{"up", "it is a folder"},
		{"fifo", "it is a pipe"},
		{"socket", "it is a socket"},
		{"/dev/null", "it is a character device; for a stream use ClientConfig.Stream"},
		{"null", "it is a character device"},
		{"loop", "too many levels of symbolic links"},
		{"missing/out.img", "its folder does not exist"},
		{"missing/", "its folder does not exist"},
		{"file/out.img", "not a directory"},
		{strings.Repeat("x", 256), "file name too long"},
	} {
		name := tt.path
		if name == "" {
			name = `""`
		}
		checkRefused(t, openRefused(t, Options{Path: tt.path}, dir), name, tt.want)
	}
}

// TestOpenNotThere: a device that may still come is told apart from what waiting does not mend.
func TestOpenNotThere(t *testing.T) {
	dir := furnish(t)
	if err := os.Symlink("/dev/no-such-disk", "to-disk"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/dev/no-such-disk":              true,
		"/dev/no-such-folder/ata-x":      true,
		"/dev/../dev/no-such-folder/x":   true,
		"to-disk":                        true,
		"missing/out.img":                false,
		"/dev/shm/no-such-folder/an.img": false,
		"folder":                         false,
		"/dev/null":                      false,
	} {
		if err := openRefused(t, Options{Path: path}, dir); errors.Is(err, ErrNoDisk) != want {
			t.Errorf("%s: %v; a disk that may come: %v", path, err, !want)
		}
	}
}

func TestOpenFollowsLinks(t *testing.T) {
	for path, want := range map[string]string{"file": "file", "link": "file", "dangling": "missing", "folder/../new": "new"} {
		t.Run(path, func(t *testing.T) {
			dir := furnish(t)
			write(t, mustOpen(t, Options{Path: path}), []byte("image"), 10, false)
			checkContent(t, filepath.Join(dir, want), []byte("image"))
		})
	}
}

// TestLinkThenParent: what follows a link is relative to where it leads.
func TestLinkThenParent(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a/b", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	write(t, mustOpen(t, Options{Path: dir + "/link/../out.img"}), []byte("image"), 10, false)
	checkContent(t, filepath.Join(dir, "a/out.img"), []byte("image"))
}

// TestDeviceThatIsMissing: a path below /dev is a device or a typing error.
func TestDeviceThatIsMissing(t *testing.T) {
	dir := furnish(t)
	if err := os.Symlink("/dev/multiserver-missing", "disk"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/multiserver-missing", "/dev/../dev/multiserver-missing", "dev/multiserver-missing", "disk"} {
		checkRefused(t, openRefused(t, Options{Path: path}, dir), path, "there is no such device (ClientConfig.Force makes a regular file)")
		if _, err := os.Lstat("/dev/multiserver-missing"); err == nil {
			os.Remove("/dev/multiserver-missing")
			t.Fatalf("%s was made", path)
		}
	}
	t.Run("from within", func(t *testing.T) {
		t.Chdir("/dev")
		checkRefused(t, openRefused(t, Options{Path: "multiserver-missing"}, dir), "multiserver-missing", "there is no such device")
		checkRefused(t, openRefused(t, Options{Path: "multiserver-missing", Served: true}, dir), "multiserver-missing", "there is no such device")
	})
	t.Run("force", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root makes files in /dev")
		}
		f := mustOpen(t, Options{Path: "dev/multiserver-missing", Force: true})
		defer os.Remove("/dev/multiserver-missing")
		if f.IsDevice() || !f.New() {
			t.Error("it is no new regular file")
		}
		if err := f.Prepare(5, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		// What an earlier typing error left is none the better.
		checkRefused(t, openRefused(t, Options{Path: "/dev/multiserver-missing"}, dir), "/dev/multiserver-missing", "it is a regular file below /dev, no device (ClientConfig.Force writes anyway)")
	})
}

func TestSharedMemoryIsAllowed(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "multiserver-test-")
	if err != nil {
		t.Skip("/dev/shm cannot be written to: ", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "out.img")
	image := random(1, 100000)
	write(t, mustOpen(t, Options{Path: path}), image, 1000, false)
	checkContent(t, path, image)
}

func TestNoPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere: run as an ordinary user")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "out.img")
	writeFile(t, path, []byte("old"))
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, openRefused(t, Options{Path: path}, dir), path, "permission denied")
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755) // or it cannot be removed
	path = filepath.Join(dir, "new.img")
	checkRefused(t, openRefused(t, Options{Path: path}, dir), path, "permission denied")
}

func TestServedName(t *testing.T) {
	for _, name := range []string{"disk.img", "a b", "-o", "ümlaut.img", "a..b", strings.Repeat("x", 255)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			for range 2 { // made, then overwritten
				write(t, mustOpen(t, Options{Path: name, Served: true}), []byte("image"), 10, false)
				checkContent(t, filepath.Join(dir, name), []byte("image"))
			}
		})
	}
}

func TestServedNameRefused(t *testing.T) {
	outer := furnish(t)
	dir := filepath.Join(outer, "folder")
	t.Chdir(dir)
	for _, tt := range []struct{ name, want string }{
		{"", "is empty"},
		{".", "begins with a dot"},
		{"..", "begins with a dot"},
		{"...", "begins with a dot"},
		{".profile", "begins with a dot"},
		{"../file", "begins with a dot"},
		{"/tmp/multiserver-served", "leads out"},
		{"a/b", "leads out"},
		{"a/", "leads out"},
		{"/", "leads out"},
		{"a\x00b", "cannot be shown"},
		{"a\nb", "cannot be shown"},
		{"a\x1b[2Jb", "cannot be shown"},
		{"a\x7f", "cannot be shown"},
		{"a\u009bb", "cannot be shown"},
		{"a\u202egmi", "cannot be shown"},
		{"a\x9bb", "cannot be shown"},
		{strings.Repeat("x", 256), "too long"},
		{strings.Repeat("\x00", 256), "too long"},
	} {
		checkRefused(t, openRefused(t, Options{Path: tt.name, Served: true}, outer), strconv.Quote(tt.name[:min(len(tt.name), maxNameBytes)]), tt.want)
		// Force is for devices, not for what a stranger says.
		checkRefused(t, openRefused(t, Options{Path: tt.name, Served: true, Force: true}, outer), strconv.Quote(tt.name[:min(len(tt.name), maxNameBytes)]), tt.want)
	}
}

func TestServedNameInPlace(t *testing.T) {
	dir := furnish(t)
	for name, want := range map[string]string{
		"link":     "symbolic link",
		"dangling": "symbolic link",
		"loop":     "symbolic link",
		"null":     "symbolic link",
		"folder":   "it is a folder",
		"fifo":     "it is a pipe",
		"socket":   "it is a socket",
	} {
		checkRefused(t, openRefused(t, Options{Path: name, Served: true, Force: true}, dir), name, want)
	}
}

// TestRace is something put there after the first look.
func TestRace(t *testing.T) {
	dir := furnish(t)
	before := snapshot(t, dir)
	for _, tt := range []struct {
		name    string
		o       Options
		missing bool // at the first look
		want    string
	}{
		{"link where nothing was", Options{Path: "dangling", Served: true}, true, "file exists"},
		{"link where a file was", Options{Path: "link", Served: true}, false, "too many levels of symbolic links"},
		{"file where nothing was", Options{Path: "file"}, true, "file exists"},
		{"pipe where a file was", Options{Path: "fifo"}, false, ""}, // and it does not hang us
		{"device where a file was", Options{Path: "/dev/null", Force: true}, false, "it was replaced"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := openRegular(tt.o, tt.missing)
			if err == nil {
				f.file.Close()
			}
			checkRefused(t, err, tt.o.Path, tt.want)
		})
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("the folder changed from\n%s\nto\n%s", before, after)
	}
}

func FuzzUnfitName(f *testing.F) {
	f.Add("disk.img")
	f.Add("a\x1b[2J\xff")
	f.Fuzz(func(t *testing.T, name string) {
		if unfitName(name) == "" && (filepath.Base(name) != name || quote.Name("x"+name) != "x"+name) {
			t.Errorf("%q is fit", name)
		}
	})
}

// TestFileOfAnother: two that write to one file at a time would both believe in it.
func TestFileOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	first := mustOpen(t, Options{Path: path})
	const want = "another program has locked it"
	_, err := Open(Options{Path: path})
	checkRefused(t, err, path, want)
	forced, err := Open(Options{Path: path, Force: true})
	if err != nil {
		t.Fatalf("with Force: %v", err)
	}
	forced.Close()
	if err := first.Prepare(1, 0); err != nil { // or Close removes it
		t.Fatal(err)
	}
	first.Close()
	again, err := Open(Options{Path: path})
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	again.Close()
}

// TestRefusalQuotesName: a name cannot move the cursor of a terminal, whatever refuses it.
func TestRefusalQuotesName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a\n\x1b[2J")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: path}); err == nil || !strings.Contains(err.Error(), `/a\n\x1b[2J" is refused: it is a folder`) {
		t.Errorf("%v", err)
	}
}
