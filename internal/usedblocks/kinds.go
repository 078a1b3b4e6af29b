package usedblocks

import (
	"errors"
	"fmt"
	"strings"
)

// kind is a file system that can be read.
type kind struct {
	name string
	is   func(head []byte) bool // by the volume's first headSize bytes
	read func(v *volume, p *Part) error
}

// headSize is how much of a volume is looked at for what it holds.
const headSize = 68 << 10

var kinds = []kind{
	{"ext4", isExt, readExt},
	{"xfs", isXFS, readXFS},
	{"swap", isSwap, readSwap},
	{"vfat", isFAT, readFAT},
	{"exfat", isExFAT, readExFAT},
	{"ntfs", isNTFS, readNTFS},
	{"btrfs", isBtrfs, readBtrfs},
	{"LVM2", isLVM, readLVM},
}

// kindOf is what a volume holds; nil if that is nothing known.
func kindOf(v *volume) *kind {
	head, err := v.bytes(0, min(headSize, v.size))
	if err != nil {
		return nil
	}
	for i := range kinds {
		if kinds[i].is(head) {
			return &kinds[i]
		}
	}
	return nil
}

// strangers are signatures of what owns all of a volume, whatever else it begins with.
var strangers = []struct {
	name, magic string
	at          int
}{
	{"LUKS", "LUKS\xBA\xBE", 0},
	{"BitLocker", "-FVE-FS-", 3},
	{"mdraid", mdMagic, 0},
	{"mdraid", mdMagic, 4096},
	{"bcache", "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81", 4096 + 24},
	{"f2fs", "\x10\x20\xF5\xF2", 1024},
}

const mdMagic = "\xFC\x4E\x2B\xA9"

// foreign returns an error if a volume holds several things, or a member of an array: its file
// system is one of all members.
func foreign(v *volume) error {
	head, err := v.bytes(0, min(headSize, v.size))
	if err != nil {
		return err
	}
	var found []string
	for _, k := range kinds {
		if k.is(head) {
			found = append(found, k.name)
		}
	}
	for _, s := range strangers {
		if s.at+len(s.magic) <= len(head) && string(head[s.at:][:len(s.magic)]) == s.magic {
			found = append(found, s.name)
		}
	}
	if len(found) > 1 {
		return fmt.Errorf("it begins like several at once: %s", strings.Join(found, ", "))
	}
	// Superblocks at the end: version 0.90 is 64 KiB before it, at a multiple; 1.0 8 KiB or more.
	for _, at := range []uint64{v.size/(64<<10)*(64<<10) - 64<<10, v.size/4096*4096 - 8<<10} {
		if at >= v.size {
			continue
		}
		b := make([]byte, len(mdMagic))
		if err := v.readAt(b, at); err == nil && string(b) == mdMagic {
			return errors.New("it is a member of an mdraid array, or was one")
		}
	}
	return nil
}
