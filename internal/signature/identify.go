package signature

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"

	"multiserver/internal/partition"
)

// identifyBytes is how much of a partition's beginning Identify looks at.
const identifyBytes = 68 * kib

// known are file systems and the like with their names, as blkid calls them, by a magic and the
// place of their labels. The first that matches counts.
var known = []struct {
	kind        string
	at          int
	magic       string
	label, size int // none if size is 0
}{
	{"LUKS", 0, "LUKS\xBA\xBE\x00\x02", 24, 48},
	{"LUKS", 0, "LUKS\xBA\xBE", 0, 0},
	{"BitLocker", 3, "-FVE-FS-", 0, 0},
	{"xfs", 0, "XFSB", 108, 12},
	{"ntfs", 3, "NTFS    ", 0, 0},
	{"exfat", 3, "EXFAT   ", 0, 0},
	{"vfat", 82, "FAT32   ", 71, 11},
	{"vfat", 54, "FAT16   ", 43, 11},
	{"vfat", 54, "FAT12   ", 43, 11},
	{"squashfs", 0, "hsqs", 0, 0},
	{"LVM", 512, "LABELONE", 0, 0},
	{"mdraid", 0, mdMagic, 32, 32},
	{"mdraid", 4096, mdMagic, 4096 + 32, 32},
	{"bcache", 4096 + 24, "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81", 0, 0},
	{"swap", 4086, "SWAPSPACE2", 1052, 16},
	{"swap", 65526, "SWAPSPACE2", 1052, 16},
	{"iso9660", 32769, "CD001", 32808, 32},
	{"btrfs", 65536 + 64, "_BHRfS_M", 65536 + 299, 256},
}

// Identify tells what a range of a disk holds by its first bytes, and its label if it has one,
// trimmed but otherwise as it is there. kind is "" if it is nothing known.
func Identify(disk io.ReaderAt, at partition.Span) (kind, label string) {
	head := make([]byte, min(identifyBytes, at.Hi-at.Lo))
	n, _ := disk.ReadAt(head, int64(at.Lo)) // what can be read is looked at
	head = append(head[:n], make([]byte, identifyBytes-n)...)
	if kind := extKind(head); kind != "" {
		return kind, text(head[1024+120:][:16])
	}
	if string(head[1024:1028]) == "\x10\x20\xF5\xF2" {
		return "f2fs", wideText(head[1024+0x7C:][:512])
	}
	for _, k := range known {
		if string(head[k.at:][:len(k.magic)]) == k.magic {
			return k.kind, text(head[k.label:][:k.size])
		}
	}
	return "", ""
}

// extKind tells ext2, 3 and 4 apart as blkid does: by the journal, and by features of ext4.
func extKind(head []byte) string {
	s := head[1024:]
	blocks, log := binary.LittleEndian.Uint32(s[4:]), binary.LittleEndian.Uint32(s[24:])
	if s[56] != 0x53 || s[57] != 0xEF || blocks == 0 || log > 6 {
		return ""
	}
	const journal, beyondExt3, readBeyondExt3 = 0x4, ^uint32(0x2 | 0x4 | 0x10), ^uint32(0x1 | 0x2 | 0x4)
	switch {
	case binary.LittleEndian.Uint32(s[96:])&beyondExt3 != 0 || binary.LittleEndian.Uint32(s[100:])&readBeyondExt3 != 0:
		return "ext4"
	case binary.LittleEndian.Uint32(s[92:])&journal != 0:
		return "ext3"
	}
	return "ext2"
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	if label := strings.TrimSpace(string(b)); label != "NO NAME" { // FAT without a label
		return label
	}
	return ""
}

func wideText(b []byte) string {
	var units []uint16
	for ; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimSpace(string(utf16.Decode(units)))
}
