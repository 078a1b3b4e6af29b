package target

import (
	"os"
	"syscall"

	"github.com/moby/sys/mountinfo"

	"multiserver/internal/quote"
)

// MountedAt says where what lies on the device or the file at path can be written meanwhile:
// "/dev/sda1 is mounted on /boot"; "" if nowhere, or nobody can tell. A mount counts unless its
// file system is read-only.
func MountedAt(path string) string { return system.mountedAt(path) }

func (t tables) mountedAt(path string) string {
	asked := t.loops() // once for all members of the family
	t.loops = func() []loop { return asked }
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	st := info.Sys().(*syscall.Stat_t)
	var family []member
	if info.Mode().IsRegular() {
		for _, l := range asked {
			if l.fileSystem != st.Dev || l.inode != st.Ino {
				continue
			}
			if family, err = t.family(l.dev, true, family); err != nil {
				return ""
			}
		}
	} else if family, err = t.family(st.Rdev, false, nil); err == nil {
		family, err = t.below(family)
	}
	if err != nil {
		return ""
	}
	return t.writable(family)
}

// writable says which of a family is mounted, unless read-only, or swapped to.
func (t tables) writable(family []member) string {
	mounts, err := t.mountedIf(func(m *mountinfo.Info) bool { return !mountOption(m.VFSOptions, "ro") })
	if err != nil {
		return ""
	}
	swaps, _ := t.swapping()
	for _, m := range family {
		switch where, mounted := mounts[m.dev]; {
		case mounted:
			return m.name + " is mounted on " + quote.Name(where)
		case swaps[m.dev]:
			return m.name + " is used for swap"
		case t.inBtrfs(m.dev):
			return m.name + " is a part of a btrfs that is mounted"
		}
	}
	return ""
}
