package target

import (
	"fmt"
	"strings"

	"multiserver/internal/codec"
	"multiserver/internal/partition"
	"multiserver/internal/signature"
)

// blankBytes at both ends of a device are zeros if it is blank.
const blankBytes = 1 << 20

// Contents is what a device holds before it is written.
type Contents struct {
	Table   string // "GPT", "MBR", or ""
	Volumes []Volume
	// Blank: nothing is known on it, and both of its ends are zeros.
	Blank bool
}

// Volume is a partition, or what lies on the device as a whole. Label and Name are as they are on
// the disk: they may hold anything.
type Volume struct {
	Device    string // "sda1"
	SizeBytes uint64
	Kind      string // as blkid calls it; "" if it is not known
	Label     string
	Name      string // of a GPT's entry
}

// Contents looks at what the device holds, and changes nothing. A device that cannot be read is not
// blank.
func (f *File) Contents() (c Contents) {
	if !f.device || !f.readable {
		return c
	}
	base := f.name[strings.LastIndexByte(f.name, '/')+1:]
	if disk, ok := DiskAt(f.name); ok {
		base = disk.Name
	}
	if kind, label := signature.Identify(f.file, partition.Span{Hi: f.capacity}); kind != "" {
		c.Volumes = append(c.Volumes, Volume{Device: base, SizeBytes: f.capacity, Kind: kind, Label: label})
	}
	var parts []partition.Part
	c.Table, parts = partition.List(f.file, f.capacity, f.sector)
	for _, p := range parts {
		kind, label := signature.Identify(f.file, p.Span)
		c.Volumes = append(c.Volumes, Volume{Device: partName(base, p.Number), SizeBytes: p.Hi - p.Lo, Kind: kind, Label: label, Name: p.Name})
	}
	c.Blank = c.Table == "" && len(c.Volumes) == 0 && f.zeroEnds()
	return c
}

// partName is the kernel's name of a partition: sda1, nvme0n1p1.
func partName(disk string, number int) string {
	if n := len(disk); n > 0 && disk[n-1] >= '0' && disk[n-1] <= '9' {
		disk += "p"
	}
	return fmt.Sprint(disk, number)
}

func (f *File) zeroEnds() bool {
	p := make([]byte, min(blankBytes, f.capacity))
	for _, at := range []uint64{0, f.capacity - uint64(len(p))} {
		if readFull(f.file, f.name, p, at) != nil || !codec.IsZero(p) {
			return false
		}
	}
	return true
}
