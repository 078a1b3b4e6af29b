//go:build !linux

package target

import "io/fs"

func openDevice(o Options, _ fs.FileInfo) (*File, error) {
	return nil, refused(o.Path, "devices are written to on Linux only")
}
