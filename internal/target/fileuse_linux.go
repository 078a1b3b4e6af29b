package target

import "golang.org/x/sys/unix"

// checkFile refuses a regular file that something else in the system is built on.
func (t tables) checkFile(name, path string, force bool) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return refusedBy(name, err)
	}
	swaps, err := t.swapPaths()
	if err != nil {
		return refused(name, "cannot tell whether it is used for swap: "+err.Error())
	}
	for _, swap := range swaps {
		var s unix.Stat_t
		if unix.Stat(swap, &s) == nil && s.Dev == st.Dev && s.Ino == st.Ino {
			// The kernel refuses writes to swap, so force does not help.
			return refused(name, "it is used for swap (end that with swapoff)")
		}
	}
	if force {
		return nil
	}
	for _, l := range t.loops() {
		if l.fileSystem == uint64(st.Dev) && l.inode == st.Ino {
			return refused(name, l.name+" lies on it (ClientConfig.Force writes anyway)")
		}
	}
	return nil
}

func checkFile(name, path string, force bool) error { return system.checkFile(name, path, force) }
