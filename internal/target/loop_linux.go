package target

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// loop is a loop device that is set up.
type loop struct {
	dev        uint64
	name       string // "/dev/loop0"
	fileSystem uint64 // number of the one that its file lies on
	inode      uint64 // of its file
	under      uint64 // number of the block device that its file is; 0 if that is none
}

// sameFile reports whether both lie on one regular file.
func (l loop) sameFile(other loop) bool {
	return l.under == 0 && other.under == 0 && l.fileSystem == other.fileSystem && l.inode == other.inode
}

// loops asks the loop devices, not /sys: that knows a path, which says nothing once
// the file system was moved or unmounted, while the device still has the file open.
// One that cannot be asked is left out.
func loops() []loop {
	set, _ := filepath.Glob("/sys/block/loop*/loop")
	var all []loop
	for _, path := range set {
		name := "/dev/" + filepath.Base(filepath.Dir(path))
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		info, err := unix.IoctlLoopGetStatus64(int(file.Fd()))
		dev, isDevice := blockDevice(name)
		if err == nil && isDevice {
			all = append(all, loop{dev, name, info.Device, info.Inode, info.Rdevice})
		}
		file.Close()
	}
	return all
}
