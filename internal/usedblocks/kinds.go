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

// strangers are signatures of what owns all of a volume, whatever else it begins with: what was
// there before may be left in places that they do not write.
var strangers = []struct {
	name, magic string
	at          int
}{
	{"LUKS", "LUKS\xBA\xBE", 0},
	{"BitLocker", "-FVE-FS-", 3},
	{"mdraid", mdMagic, 0},
	{"mdraid", mdMagic, 4096},
	{"bcache", "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81", 4096 + 24},
	{"bcachefs", "\xC6\x85\x73\xF6\x66\xCE\x90\xA9\xD9\x6A\x60\xCF\x80\x3D\xF7\xEF", 4096 + 24},
	{"f2fs", "\x10\x20\xF5\xF2", 1024},
	{"erofs", "\xE2\xE1\xF5\xE0", 1024},
	{"squashfs", "hsqs", 0},
	{"reiserfs", "ReIsEr", 64<<10 + 52},
	{"jfs", "JFS1", 32 << 10},
	{"apfs", "NXSB", 32},
	{"dm-integrity", "integrt\x00", 0},
	{"dm-verity", verityMagic, 0},
}

const (
	mdMagic = "\xFC\x4E\x2B\xA9"
	// verityMagic begins the hashes of a read-only volume, androidVerity Android's.
	verityMagic   = "verity\x00\x00"
	androidVerity = "\x01\xB0\x01\xB0"

	zfsUberblocksAt, zfsUberblocks, zfsUberblockSize = 128 << 10, 128, 1024
	zfsEnough                                        = 4 // uberblocks, as blkid counts
)

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
		if hasMagic(head, s.magic, s.at) {
			found = append(found, s.name)
		}
	}
	if isZFS(v) {
		found = append(found, "ZFS")
	}
	if len(found) > 1 {
		return fmt.Errorf("it begins like several at once: %s", strings.Join(found, ", "))
	}
	// Superblocks at the end: version 0.90 is 64 KiB before it, at a multiple; 1.0 8 KiB or more.
	for _, at := range []uint64{v.size/(64<<10)*(64<<10) - 64<<10, v.size/4096*4096 - 8<<10} {
		b := make([]byte, len(mdMagic))
		if at < v.size && v.readAt(b, at) == nil && string(b) == mdMagic {
			return errors.New("it is a member of an mdraid array, or was one")
		}
	}
	return nil
}

func hasMagic(b []byte, magic string, at int) bool {
	return at+len(magic) <= len(b) && string(b[at:][:len(magic)]) == magic
}

// isZFS looks for uberblocks: ZFS leaves the first 8 KiB as they were.
func isZFS(v *volume) bool {
	b, err := v.bytes(zfsUberblocksAt, zfsUberblocks*zfsUberblockSize)
	if err != nil {
		return false // it is too small
	}
	found := 0
	for i := range zfsUberblocks {
		u := b[i*zfsUberblockSize:]
		if hasMagic(u, "\x0C\xB1\xBA\x00\x00\x00\x00\x00", 0) || hasMagic(u, "\x00\x00\x00\x00\x00\xBA\xB1\x0C", 0) {
			found++
		}
	}
	return found >= zfsEnough
}

// hashed returns an error if what follows the file system in its volume are hashes of all of it:
// they would be wrong of a volume with other unused blocks.
func hashed(v *volume) error {
	if v.fileSystem >= v.size {
		return nil
	}
	b, err := v.bytes(v.fileSystem, min(uint64(len(verityMagic)), v.size-v.fileSystem))
	if err != nil {
		return err
	}
	if hasMagic(b, verityMagic, 0) || hasMagic(b, androidVerity, 0) {
		return errors.New("hashes of all its blocks follow it (dm-verity)")
	}
	return nil
}

// isVerity reports whether a volume holds the hashes of another one.
func isVerity(v *volume) bool {
	b, err := v.bytes(0, uint64(len(verityMagic)))
	return err == nil && string(b) == verityMagic
}
