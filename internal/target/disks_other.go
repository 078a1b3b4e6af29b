//go:build !linux

package target

import "fmt"

// PickDisk refuses: which disks there are is known on Linux only.
func PickDisk(s Selection) (picked Disk, candidates []Disk, err error) {
	return Disk{}, nil, refused(fmt.Sprintf("target %q", s.text), "disks are picked on Linux only; name one with ClientConfig.Output")
}

// DiskAt knows none.
func DiskAt(string) (Disk, bool) { return Disk{}, false }
