// Package signature finds what earlier uses left on a disk behind an image that is smaller than
// the disk: a backup GPT, RAID superblocks, LVM, ZFS and btrfs labels. Tools such as blkid and the
// start of a system take a disk for what they name. It looks where they live: at distances from
// the end, at fixed places, and in the partitions that an old backup GPT names.
//
// Find only reads. Clearing what it found is its caller's.
package signature

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"multiserver/internal/partition"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	zfsLabelBytes    = 256 * kib
	zfsUberblocksAt  = 128 * kib // in a label, up to its end
	zfsUberblockStep = 1 * kib
	btrfsMagicAt     = 0x40
	btrfsOwnOffsetAt = 0x30
	extMagicAt       = 1080
)

// Found is a signature.
type Found struct {
	Kind string
	Off  uint64 // of its magic on the disk, in bytes
	// Clear is what has to be zeroed so that nobody finds it any more.
	Clear partition.Span
}

func (f Found) String() string { return fmt.Sprintf("%s at offset %d", f.Kind, f.Off) }

// Find returns the signatures at and behind byte from of a disk of size bytes, each once. An error
// is that of reading; what was found before it is returned too.
func Find(disk io.ReaderAt, from, size uint64) ([]Found, error) {
	s := &search{disk: disk, from: from, size: size, seen: map[uint64]bool{}}
	s.backupGPT()
	s.region(partition.Span{Hi: size}, false)
	for _, sector := range []uint32{512, 4096} {
		for _, p := range partition.BackupPartitions(disk, size, sector) {
			s.region(p, true)
		}
	}
	return s.found, s.err
}

type search struct {
	disk       io.ReaderAt
	from, size uint64
	found      []Found
	seen       map[uint64]bool // Found.Off
	err        error           // the first
}

// read returns n bytes at off, and nil where they are not all behind the image.
func (s *search) read(off, n uint64) []byte {
	if off < s.from || off > s.size || n > s.size-off {
		return nil
	}
	p := make([]byte, n)
	if _, err := s.disk.ReadAt(p, int64(off)); err != nil {
		if s.err == nil {
			s.err = err
		}
		return nil
	}
	return p
}

func (s *search) add(kind string, off uint64, clear partition.Span) {
	if !s.seen[off] {
		s.seen[off] = true
		s.found = append(s.found, Found{kind, off, clear})
	}
}

// magic looks for bytes at off.
func (s *search) magic(kind string, off uint64, magic string) {
	if n := uint64(len(magic)); string(s.read(off, n)) == magic {
		s.add(kind, off, partition.Span{Lo: off, Hi: off + n})
	}
}

// backupGPT looks for the header of one in the last sector, of either size.
func (s *search) backupGPT() {
	for _, sector := range []uint64{512, 4096} {
		s.magic("a backup GPT", s.size-sector, "EFI PART") // a smaller disk wraps, and is not read
	}
}

// fromEnd are magics at distances from the end of a disk or partition.
var fromEnd = []struct {
	kind     string
	distance uint64
	magic    string
}{
	{"an Intel RAID (IMSM) superblock", 1024, "Intel Raid ISM Cfg Sig. "},
	{"a DDF RAID header", 512, "\xDE\x11\xDE\x11"},
	{"a DDF RAID header", 257 * 512, "\xDE\x11\xDE\x11"},
	{"an LSI RAID superblock", 512, "$XIDE$"},
	{"an NVIDIA RAID superblock", 1024, "NVIDIA  "},
	{"a HighPoint RAID superblock", 11 * 512, "\xF3\x16\x78\x5A"},
	{"a HighPoint RAID superblock", 11 * 512, "\xFD\x16\x78\x5A"},
	{"a Promise RAID superblock", 63 * 512, "Promise Technology, Inc."},
	{"a Promise RAID superblock", 255 * 512, "Promise Technology, Inc."},
	{"a DRBD superblock", 4096 - 60, "\x83\x74\x02\x6B"},
	{"a DRBD superblock", 4096 - 60, "\x83\x74\x02\x6D"},
}

// fromStart are magics at distances from the beginning of a partition.
var fromStart = []struct {
	kind  string
	at    uint64
	magic string
}{
	{"an XFS file system", 0, "XFSB"},
	{"a LUKS header", 0, "LUKS\xBA\xBE"},
	{"an NTFS file system", 3, "NTFS    "},
	{"an exFAT file system", 3, "EXFAT   "},
	{"a FAT file system", 82, "FAT32   "},
	{"a FAT file system", 54, "FAT16   "},
	{"an F2FS file system", 1024, "\x10\x20\xF5\xF2"},
	{"swap space", 4086, "SWAPSPACE2"},
	{"swap space", 65526, "SWAPSPACE2"},
	{"a bcache superblock", 4096 + 24, "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81"},
	{"an mdraid superblock", 0, mdMagic},
	{"an mdraid superblock", 4096, mdMagic},
}

// mdMagic is 0xA92B4EFC as little-endian machines write it; version 0.90 has the machine's order.
const mdMagic, mdMagicBig = "\xFC\x4E\x2B\xA9", "\xA9\x2B\x4E\xFC"

// region looks at a disk, or, if inner is set, at a partition.
func (s *search) region(r partition.Span, inner bool) {
	size := r.Hi - r.Lo
	for _, e := range fromEnd {
		if size >= e.distance {
			s.magic(e.kind, r.Hi-e.distance, e.magic)
		}
	}
	if end := size &^ (64*kib - 1); end > 0 { // version 0.90
		s.magic("an mdraid superblock", r.Lo+end-64*kib, mdMagic)
		s.magic("an mdraid superblock", r.Lo+end-64*kib, mdMagicBig)
	}
	if sectors := size / 512; sectors >= 24 { // version 1.0
		s.magic("an mdraid superblock", r.Lo+(sectors-16)&^7*512, mdMagic)
	}
	if end := size &^ (zfsLabelBytes - 1); end >= 4*zfsLabelBytes {
		for _, label := range []uint64{0, zfsLabelBytes, end - 2*zfsLabelBytes, end - zfsLabelBytes} {
			s.zfs(r.Lo + label)
		}
	}
	for _, at := range []uint64{64 * kib, 64 * mib, 256 << 30} {
		s.btrfs(r.Lo, at)
	}
	for at := uint64(0); at < 4*512; at += 512 {
		s.lvm(r.Lo + at)
	}
	if !inner {
		return
	}
	for _, e := range fromStart {
		s.magic(e.kind, r.Lo+e.at, e.magic)
	}
	s.ext(r.Lo)
}

// zfs looks for an uberblock of either byte order in the label at off. All of the label goes, as
// by zpool labelclear.
func (s *search) zfs(off uint64) {
	ring := s.read(off+zfsUberblocksAt, zfsLabelBytes-zfsUberblocksAt)
	for at := 0; at < len(ring); at += zfsUberblockStep {
		const magic = 0x00bab10c
		if u := ring[at:]; binary.LittleEndian.Uint64(u) == magic || binary.BigEndian.Uint64(u) == magic {
			s.add("a ZFS label", off+zfsUberblocksAt+uint64(at), partition.Span{Lo: max(off, s.from), Hi: off + zfsLabelBytes})
			return
		}
	}
}

// btrfs looks for the superblock of a file system that begins at start. It names its own place.
func (s *search) btrfs(start, at uint64) {
	p := s.read(start+at, btrfsMagicAt+8)
	if p != nil && string(p[btrfsMagicAt:]) == "_BHRfS_M" && binary.LittleEndian.Uint64(p[btrfsOwnOffsetAt:]) == at {
		off := start + at + btrfsMagicAt
		s.add("a btrfs superblock", off, partition.Span{Lo: off, Hi: off + 8})
	}
}

func (s *search) lvm(off uint64) {
	p := s.read(off, 32)
	if p != nil && string(p[:8]) == "LABELONE" && bytes.HasPrefix(p[24:], []byte("LVM2 001")) {
		s.add("an LVM physical volume", off, partition.Span{Lo: off, Hi: off + 32})
	}
}

// ext looks for ext2, 3 or 4: their magic is short, so that more must be right.
func (s *search) ext(start uint64) {
	p := s.read(start+1024, 64)
	if p == nil || p[56] != 0x53 || p[57] != 0xEF {
		return
	}
	if blocks, log := binary.LittleEndian.Uint32(p[4:]), binary.LittleEndian.Uint32(p[24:]); blocks != 0 && log <= 6 {
		off := start + extMagicAt
		s.add("an ext file system", off, partition.Span{Lo: off, Hi: off + 2})
	}
}
