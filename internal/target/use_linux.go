package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"multiserver/internal/quote"
)

// tables are the files in which the kernel lists what uses a device.
type tables struct {
	mounts string // mountinfo
	swaps  string
	blocks string // folder with a link MAJOR:MINOR for each block device
	btrfs  string // folder with a folder for each mounted btrfs
	root   string // folder of the running system
	// loops returns the loop devices, with the file systems that their files lie on.
	loops func() []loop
}

var system = tables{
	mounts: "/proc/self/mountinfo",
	swaps:  "/proc/swaps",
	blocks: "/sys/dev/block",
	btrfs:  "/sys/fs/btrfs",
	root:   "/",
	loops:  loops,
}

// member is a device that shares bytes with the target: the target itself, a partition of it,
// the disk that it is a partition of, a device on top of one of these (device-mapper, md,
// bcache, a loop device whose file lies there), or, if the target is a loop device, the device
// below it.
type member struct {
	dev    uint64
	name   string // "/dev/sda1"
	holder bool
}

// use says what the device, a partition of it or something that lies on it is used
// for, or nothing: "/dev/sda1 is mounted on /boot".
func (t tables) use(dev uint64) (string, error) {
	asked := t.loops() // once for all members of the family
	t.loops = func() []loop { return asked }
	family, err := t.family(dev, false, nil)
	if err != nil {
		return "", err
	}
	if family, err = t.whole(dev, family); err != nil {
		return "", err
	}
	if family, err = t.below(family); err != nil {
		return "", err
	}
	mounts, err := t.mounted()
	if err != nil {
		return "", err
	}
	swaps, err := t.swapping()
	if err != nil {
		return "", err
	}
	for _, m := range family {
		if where, ok := mounts[m.dev]; ok {
			return m.name + " is mounted on " + quote.Name(where), nil
		}
	}
	for _, m := range family {
		if swaps[m.dev] {
			return m.name + " is used for swap", nil
		}
	}
	for _, m := range family {
		if m.holder {
			return m.name + " lies on it", nil
		}
	}
	for _, m := range family {
		if t.inBtrfs(m.dev) {
			return m.name + " is a part of a btrfs that is mounted", nil
		}
	}
	return "", nil
}

// whole appends the disk that dev is a partition of, and all that holds the whole of
// it, to found. The other partitions have no byte of dev.
func (t tables) whole(dev uint64, found []member) ([]member, error) {
	folder, err := filepath.EvalSymlinks(t.folder(dev))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(folder, "partition")); err != nil {
		return found, nil
	}
	disk, err := readDev(filepath.Join(filepath.Dir(folder), "dev"))
	if err != nil {
		return nil, err
	}
	return t.holders(disk, append(found, member{disk, t.deviceName(disk), false}))
}

// below appends the devices that the loop devices of found lie on, and everything on top of
// them. It leaves out loop devices on top of the target. The kernel itself does not keep two users
// of a disk or file apart if one of them uses it through a loop device.
func (t tables) below(found []member) ([]member, error) {
	loops := t.loops()
	for i := 0; i < len(found); i++ { // it grows
		for _, l := range loops {
			if l.dev != found[i].dev || found[i].holder {
				continue
			}
			var err error
			if l.under != 0 {
				if found, err = t.family(l.under, false, found); err != nil {
					return nil, err
				}
				if found, err = t.whole(l.under, found); err != nil {
					return nil, err
				}
			}
			for _, other := range loops {
				if !l.sameFile(other) {
					continue
				}
				if found, err = t.family(other.dev, true, found); err != nil {
					return nil, err
				}
			}
		}
	}
	return found, nil
}

// inBtrfs reports whether a device is a part of a mounted btrfs. The table of mounts names only
// one of its devices.
func (t tables) inBtrfs(dev uint64) bool {
	parts, _ := filepath.Glob(filepath.Join(t.btrfs, "*/devices/*/dev"))
	for _, p := range parts {
		if d, err := readDev(p); err == nil && d == dev {
			return true
		}
	}
	return false
}

// family appends dev, its partitions, and all devices on top of them.
func (t tables) family(dev uint64, holder bool, found []member) ([]member, error) {
	for _, m := range found {
		if m.dev == dev {
			return found, nil
		}
	}
	folder := t.folder(dev)
	found = append(found, member{dev, t.deviceName(dev), holder})
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(folder, e.Name(), "partition")); err != nil {
			continue
		}
		part, err := readDev(filepath.Join(folder, e.Name(), "dev"))
		if err != nil {
			return nil, err
		}
		if found, err = t.family(part, holder, found); err != nil {
			return nil, err
		}
	}
	return t.holders(dev, found)
}

// holders appends all devices on top of dev.
func (t tables) holders(dev uint64, found []member) ([]member, error) {
	folder := filepath.Join(t.folder(dev), "holders")
	holders, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, h := range holders {
		dev, err := readDev(filepath.Join(folder, h.Name(), "dev"))
		if err != nil {
			return nil, err
		}
		if found, err = t.family(dev, true, found); err != nil {
			return nil, err
		}
	}
	for _, l := range t.loops() {
		if l.fileSystem != dev && l.under != dev {
			continue
		}
		if found, err = t.family(l.dev, true, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (t tables) folder(dev uint64) string {
	return filepath.Join(t.blocks, fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)))
}

// deviceName is the kernel's name of a device, below /dev; empty if unknown.
func (t tables) deviceName(dev uint64) string {
	folder, err := os.Readlink(t.folder(dev))
	if err != nil {
		return ""
	}
	return "/dev/" + strings.ReplaceAll(filepath.Base(folder), "!", "/")
}

// readDev reads a device's number from a file that holds "8:1\n".
func readDev(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(text), "%d:%d", &major, &minor); err != nil {
		return 0, fmt.Errorf("%s holds %q: %w", path, text, err)
	}
	return unix.Mkdev(major, minor), nil
}

// mounted is where each mounted device is mounted first.
func (t tables) mounted() (map[uint64]string, error) {
	return t.mountedIf(func(*mountinfo.Info) bool { return true })
}

// mountOption tells whether an option is in a list with commas.
func mountOption(list, option string) bool { return slices.Contains(strings.Split(list, ","), option) }

// mountedIf is mounted of those mounts that count.
func (t tables) mountedIf(counts func(*mountinfo.Info) bool) (map[uint64]string, error) {
	file, err := os.Open(t.mounts)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	mounts, err := mountinfo.GetMountsFromReader(file, nil)
	if err != nil {
		return nil, err
	}
	where := make(map[uint64]string)
	// In a chroot the mount of the root is not among the mounts.
	var root unix.Stat_t
	if err := unix.Stat(t.root, &root); err != nil {
		return nil, err
	}
	where[uint64(root.Dev)] = "/"
	for _, m := range mounts {
		if !counts(m) {
			if m.Mountpoint == "/" && unix.Mkdev(uint32(m.Major), uint32(m.Minor)) == uint64(root.Dev) {
				delete(where, uint64(root.Dev))
			}
			continue
		}
		devs := []uint64{unix.Mkdev(uint32(m.Major), uint32(m.Minor))}
		// btrfs has numbers of its own and names the device as the source.
		if dev, ok := blockDevice(m.Source); ok {
			devs = append(devs, dev)
		}
		for _, dev := range devs {
			if _, ok := where[dev]; !ok {
				where[dev] = m.Mountpoint
			}
		}
	}
	return where, nil
}

// swapping returns the set of the block devices used for swap.
func (t tables) swapping() (map[uint64]bool, error) {
	paths, err := t.swapPaths()
	devs := make(map[uint64]bool)
	for _, path := range paths {
		if dev, ok := blockDevice(path); ok {
			devs[dev] = true
		}
	}
	return devs, err
}

// swapPaths returns the paths of devices and files used for swap.
func (t tables) swapPaths() ([]string, error) {
	text, err := os.ReadFile(t.swaps)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without swap
		return nil, nil
	}
	return parseSwaps(string(text)), err
}

// parseSwaps reads /proc/swaps: after a title line, each line begins with a path. The kernel
// writes a space in it as \040.
func parseSwaps(text string) (paths []string) {
	for line := range strings.Lines(text) {
		path, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(path, "/") {
			paths = append(paths, strings.ReplaceAll(path, `\040`, " "))
		}
	}
	return paths
}

// blockDevice is the number of the block device at path, which must be below /dev:
// a mount's source may be any text.
func blockDevice(path string) (dev uint64, ok bool) {
	var st unix.Stat_t
	if !strings.HasPrefix(path, "/dev/") || unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, false
	}
	return uint64(st.Rdev), true
}
