package target

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openDevice opens the block device that info describes, after the safeguards.
func openDevice(o Options, info fs.FileInfo) (*File, error) {
	dev := uint64(info.Sys().(*syscall.Stat_t).Rdev)
	name := o.Path
	if known := system.deviceName(dev); known != "" && known != name {
		name += " (" + known + ")"
	}
	// The kernel refuses writes to swap, so Force does not help.
	if swaps, _ := system.swapping(); swaps[dev] {
		return nil, refused(name, "it is used for swap (end that with swapoff)")
	}
	// O_EXCL fails with EBUSY if the kernel or another program uses the device, in any
	// namespace. It also keeps the device from being mounted while we write.
	flags := unix.O_EXCL
	if o.Force {
		flags = 0
	} else if why, err := system.use(dev); err != nil {
		return nil, refused(name, "cannot tell whether it is in use: "+err.Error()+" (ClientConfig.Force writes anyway)")
	} else if why != "" {
		return nil, refused(name, why+" (ClientConfig.Force writes anyway)")
	}
	if readOnly, err := isReadOnly(o.Path); errors.Is(err, unix.ENOMEDIUM) || errors.Is(err, unix.ENXIO) {
		return nil, notThere(name, bare(err).Error())
	} else if err != nil {
		return nil, refusedBy(name, err)
	} else if readOnly {
		return nil, refused(name, "it is read-only")
	}
	file, readable, err := openWritable(o.Path, flags)
	if errors.Is(err, unix.EBUSY) && !o.Force {
		return nil, refused(name, "it is in use (ClientConfig.Force writes anyway)")
	}
	if err != nil {
		return nil, refusedBy(name, err)
	}
	f := &File{file: file, name: o.Path, readable: readable, force: o.Force, device: true,
		wipeRest: o.WipeRest, fitGPT: o.FitGPT, truncate: o.TruncateUnused}
	if err := f.measure(dev); err != nil {
		file.Close()
		return nil, refusedBy(name, err)
	}
	if f.capacity == 0 {
		file.Close()
		return nil, notThere(name, "it holds 0 bytes: it has no medium, or was not set up")
	}
	return f, nil
}

// measure checks that the file is the device that the safeguards looked at, and
// sets its capacity and the size of its sectors.
func (f *File) measure(dev uint64) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeDevice || uint64(info.Sys().(*syscall.Stat_t).Rdev) != dev {
		return errors.New("it was replaced while it was opened")
	}
	end, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	sector, err := unix.IoctlGetInt(int(f.file.Fd()), unix.BLKSSZGET)
	f.capacity, f.sector = uint64(end), uint32(sector)
	return err
}

// isReadOnly asks the device: a read-only one opens for writing, and fails at the first write.
func isReadOnly(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	flag, err := unix.IoctlGetInt(int(file.Fd()), unix.BLKROGET)
	return flag != 0, err
}
