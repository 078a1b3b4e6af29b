package target

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Options say what to open. Only Path has no default.
type Options struct {
	// Path is a regular file, which need not exist, or a block device. Symbolic links are
	// followed.
	Path string
	// Served says that Path is a name that came from the network. It must be a plain name
	// of a regular file in the current folder, which need not exist. A symbolic link is
	// refused.
	Served bool
	// Allocate takes all of a regular file's space before anything is written to
	// it, and gives none back.
	Allocate bool
	// Force writes to a device that is mounted, in use, or has other sectors than the
	// image's partition table is for, and writes an image that is no disk as it is. It writes
	// to a regular file that is under a loop device, is locked by another program, or lies
	// below /dev. A target that cannot take the image is still refused.
	Force bool
	// WipeRest and FitGPT are for FinishRest: to clear old signatures behind the image, and to
	// move its backup GPT to the end of the device.
	WipeRest, FitGPT bool
	// TruncateUnused takes a device that is smaller than the image, if it has room for all of
	// its partitions: SetLeastDisk. FinishRest moves the backup GPT to its end.
	TruncateUnused bool
}

// maxNameBytes is the longest name that file systems allow.
const maxNameBytes = 255

// maxSymlinks is how many symbolic links the kernel follows.
const maxSymlinks = 40

// Open makes every check that needs no size and opens the target, without changing
// a byte of it. A device is opened exclusively: as long as it is open, it cannot be
// mounted. All errors wrap ErrRefused.
func Open(o Options) (*File, error) {
	stat := os.Stat
	if o.Served {
		if why := unfitName(o.Path); why != "" {
			shown := strconv.Quote(o.Path[:min(len(o.Path), maxNameBytes)])
			return nil, &failure{shown + " is refused: " + why + "; name a file to write to instead (ClientConfig.Output)", ErrRefused, nil}
		}
		stat = os.Lstat
	}
	if o.Path == "" {
		return nil, &failure{`"" is refused: a path is needed`, ErrRefused, nil}
	}
	info, err := stat(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return openRegular(o, true)
	case err != nil:
		return nil, refusedBy(o.Path, err)
	case info.Mode().IsRegular():
		return openRegular(o, false)
	case info.Mode().Type() == fs.ModeDevice && !o.Served:
		return openDevice(o, info)
	}
	return nil, refused(o.Path, unfitType(info.Mode()))
}

// unfitName says why no file of that name may be made in the current folder; "" if it may.
// Hidden files are settings of programs, never images.
func unfitName(name string) string {
	switch {
	case name == "":
		return "the served name is empty"
	case len(name) > maxNameBytes:
		return "the served name is too long"
	case strings.HasPrefix(name, "."):
		return "the served name begins with a dot"
	case strings.Contains(name, "/"):
		return "the served name leads out of the current folder"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "the served name holds characters that cannot be shown"
	}
	return ""
}

// unfitType says why a file that is neither a regular file nor a block device is no target.
func unfitType(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeDir:
		return "it is a folder"
	case fs.ModeSymlink:
		return "it is a symbolic link, which a served name does not follow"
	case fs.ModeDevice:
		return "it is a block device, which a served name cannot mean"
	case fs.ModeSocket:
		return "it is a socket"
	case fs.ModeDevice | fs.ModeCharDevice:
		return "it is a character device; for a stream use ClientConfig.Stream"
	case fs.ModeNamedPipe:
		return "it is a pipe; for a stream use ClientConfig.Stream"
	}
	return "it is neither a regular file nor a block device"
}

// openRegular opens the regular file o.Path. If it is missing, it is made.
func openRegular(o Options, missing bool) (*File, error) {
	path, err := resolve(o.Path, !o.Served)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if belowDev(filepath.Clean(o.Path)) { // /dev/disk/by-id comes with the first disk
				return nil, notThere(o.Path, "its folder does not exist")
			}
			return nil, refused(o.Path, "its folder does not exist")
		}
		return nil, refusedBy(o.Path, err)
	}
	if belowDev(path) && !o.Force {
		if missing {
			return nil, notThere(o.Path, "there is no such device (ClientConfig.Force makes a regular file)")
		}
		return nil, refused(o.Path, "it is a regular file below /dev, no device (ClientConfig.Force writes anyway)")
	}
	// The path has no symbolic link left. O_NOFOLLOW and O_EXCL refuse one that is put there
	// now, and O_NONBLOCK keeps a pipe that is put there from blocking us.
	flags := unix.O_NOFOLLOW | unix.O_NONBLOCK
	if missing {
		flags |= os.O_CREATE | os.O_EXCL
	}
	if !missing {
		if err := checkFile(o.Path, path, o.Force); err != nil {
			return nil, err
		}
	}
	file, readable, err := openWritable(path, flags)
	if err != nil {
		return nil, refusedBy(o.Path, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it was replaced while it was opened")
	}
	// For a device, O_EXCL does the same. Not every file system has locks.
	if err == nil && !o.Force && errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
		err = errors.New("another program has locked it, as each client does while it writes (ClientConfig.Force writes anyway)")
	}
	if err != nil {
		file.Close()
		return nil, refusedBy(o.Path, err)
	}
	return &File{
		file:     file,
		name:     o.Path,
		readable: readable,
		path:     path,
		created:  missing,
		isNew:    info.Size() == 0,
		force:    o.Force,
		allocate: o.Allocate,
	}, nil
}

// openWritable opens path for writing, and for reading if that is permitted.
func openWritable(path string, flags int) (file *os.File, readable bool, err error) {
	file, err = os.OpenFile(path, flags|os.O_RDWR, 0o666)
	if errors.Is(err, fs.ErrPermission) {
		file, err = os.OpenFile(path, flags|os.O_WRONLY, 0o666)
		return file, false, err
	}
	return file, err == nil, err
}

// resolve returns the absolute path with the symbolic links in its folder resolved, and with
// follow also a link in its last element. The file need not exist; if its folder is missing,
// resolve returns fs.ErrNotExist.
func resolve(path string, follow bool) (string, error) {
	for range maxSymlinks {
		// Not filepath.Abs and Join: they take "link/.." for "."
		if !filepath.IsAbs(path) {
			wd, err := os.Getwd()
			if err != nil {
				return "", err
			}
			path = wd + "/" + path
		}
		folder, base := filepath.Split(path)
		folder, err := filepath.EvalSymlinks(folder)
		if err != nil {
			return "", err
		}
		if base == "" {
			return "", fs.ErrNotExist
		}
		path = filepath.Join(folder, base)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case info.Mode().Type() != fs.ModeSymlink || !follow:
			return path, nil
		}
		if path, err = os.Readlink(path); err != nil {
			return "", err
		}
		if !filepath.IsAbs(path) {
			path = folder + "/" + path
		}
	}
	return "", unix.ELOOP
}

// belowDev reports whether a resolved path lies below /dev: a regular file there is a typing
// error, and takes memory.
func belowDev(path string) bool {
	return strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/dev/shm/")
}
