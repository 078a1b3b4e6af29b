// Package format names the format of an image by the bytes that it begins with: archives,
// compressed files, the disks of virtual machines. None of them is a disk as it is: written to
// one byte for byte, no machine starts from it.
//
// It decodes nothing. Call Of with the image's first HeadSize bytes. Of is meant for files; what
// a disk holds is a disk.
package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// HeadSize is how many bytes of an image Of looks at: the descriptors of an ISO 9660 file system
// begin at sector 16 of 2048 bytes.
const HeadSize = isoAt + 2048

const (
	isoAt         = 16 * 2048
	tarMagicAt    = 257
	mbrEntryAt    = 446
	mbrTypeAt     = mbrEntryAt + 4
	bootMagicAt   = 510
	vdiMagicAt    = 64
	maxXMLComment = 4096 // before the element of a bmap
)

// Format is what an image is; the number travels in MXB 2's description. Numbers from
// foreignFrom on are of formats that are no disk as they are, also those that only a later
// version knows.
type Format uint8

const foreignFrom = 0x80

// The formats. Raw is also what nobody knows.
const (
	Raw Format = 0
	// ISO is an ISO 9660 file system without a partition table before it. A disk may hold
	// one, but it is made for a CD.
	ISO Format = 1

	Gzip   Format = 0x80
	XZ     Format = 0x81
	Zstd   Format = 0x82
	Bzip2  Format = 0x83
	LZ4    Format = 0x84
	Zip    Format = 0x85
	Tar    Format = 0x86
	Lzip   Format = 0x87
	Lzop   Format = 0x88
	SevenZ Format = 0x89
	RAR    Format = 0x8A

	Qcow2     Format = 0x90
	VMDK      Format = 0x91
	VHD       Format = 0x92
	VHDX      Format = 0x93
	VDI       Format = 0x94
	Simg      Format = 0x95
	Bmap      Format = 0x96
	Partclone Format = 0x97
	WIM       Format = 0x98
)

// texts are each format's name and what makes a disk image of it.
var texts = map[Format]struct{ name, advice string }{
	ISO:       {"an ISO 9660 image without a partition table", "if machines are to start from the disk, take a hybrid image"},
	Gzip:      {"a gzip file", "unpack it with gunzip"},
	XZ:        {"an xz file", "unpack it with unxz"},
	Zstd:      {"a zstd file", "unpack it with unzstd"},
	Bzip2:     {"a bzip2 file", "unpack it with bunzip2"},
	LZ4:       {"an lz4 file", "unpack it with unlz4"},
	Zip:       {"a zip archive", "unpack it with unzip"},
	Tar:       {"a tar archive", "unpack it with tar -xf"},
	Lzip:      {"an lzip file", "unpack it with lzip -d"},
	Lzop:      {"an lzop file", "unpack it with lzop -d"},
	SevenZ:    {"a 7z archive", "unpack it with 7z x"},
	RAR:       {"a RAR archive", "unpack it with unrar x"},
	Qcow2:     {"a qcow2 disk", "convert it with qemu-img convert -O raw"},
	VMDK:      {"a VMDK disk", "convert it with qemu-img convert -O raw"},
	VHD:       {"a VHD disk", "convert it with qemu-img convert -O raw"},
	VHDX:      {"a VHDX disk", "convert it with qemu-img convert -O raw"},
	VDI:       {"a VDI disk", "convert it with qemu-img convert -O raw"},
	Simg:      {"an Android sparse image", "convert it with simg2img"},
	Bmap:      {"a bmap, which only describes an image", "serve the image itself"},
	Partclone: {"a partclone image", "restore it to a file with partclone.restore"},
	WIM:       {"a WIM archive", "apply it to a disk first"},
}

// Numbered is the format of a number from the network. Raw stands for one that no version uses
// and that does not say that the image is no disk.
func Numbered(n uint8) Format {
	f := Format(n)
	if _, known := texts[f]; known || f.Foreign() {
		return f
	}
	return Raw
}

// Foreign tells whether the image is no disk as it is.
func (f Format) Foreign() bool { return f >= foreignFrom }

// String is the format with its article; "" for Raw.
func (f Format) String() string {
	if t, known := texts[f]; known {
		return t.name
	}
	if f.Foreign() {
		return "a packed image of a format that this version does not know"
	}
	return ""
}

// Advice is what makes a disk image of it; "" for Raw.
func (f Format) Advice() string {
	if t, known := texts[f]; known {
		return t.advice
	}
	if f.Foreign() {
		return "serve the unpacked image"
	}
	return ""
}

// magics are what files begin with.
var magics = []struct {
	at     int
	bytes  string
	format Format
}{
	{0, "\x1F\x8B\x08", Gzip},
	{0, "\xFD7zXZ\x00", XZ},
	{0, "\x28\xB5\x2F\xFD", Zstd},
	{0, "\x04\x22\x4D\x18", LZ4},
	{0, "\x02\x21\x4C\x18", LZ4}, // of the first versions
	{0, "PK\x03\x04", Zip},
	{0, "PK\x05\x06", Zip}, // without a file in it
	{0, "LZIP\x01", Lzip},
	{0, "\x89LZO\x00\r\n\x1A\n", Lzop},
	{0, "7z\xBC\xAF\x27\x1C", SevenZ},
	{0, "Rar!\x1A\x07", RAR},
	{tarMagicAt, "ustar\x00", Tar}, // POSIX
	{tarMagicAt, "ustar  ", Tar},   // GNU
	{0, "QFI\xFB", Qcow2},
	{0, "KDMV", VMDK},
	{0, "COWD", VMDK},
	{0, "# Disk DescriptorFile", VMDK},
	{0, "conectix", VHD}, // dynamic; a fixed one is a disk with 512 bytes behind it
	{0, "vhdxfile", VHDX},
	{vdiMagicAt, "\x7F\x10\xDA\xBE", VDI},
	{0, "\x3A\xFF\x26\xED\x01\x00", Simg},
	{0, "partclone-image", Partclone},
	{0, "MSWIM\x00\x00\x00", WIM},
}

// Of names the format of an image by its first HeadSize bytes, or all if it has fewer.
func Of(head []byte) Format {
	for _, m := range magics {
		if hasAt(head, m.at, m.bytes) {
			return m.format
		}
	}
	switch {
	case isBzip2(head):
		return Bzip2
	case isSkippable(head):
		return Zstd
	case isBmap(head):
		return Bmap
	case hasAt(head, isoAt+1, "CD001") && !hasPartitions(head):
		return ISO
	}
	return Raw
}

func hasAt(head []byte, at int, magic string) bool {
	return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
}

// isBzip2: the magic, the block size, and what a block or the end begins with.
func isBzip2(head []byte) bool {
	return len(head) >= 10 && string(head[:3]) == "BZh" && head[3] >= '1' && head[3] <= '9' &&
		(hasAt(head, 4, "\x31\x41\x59\x26\x53\x59") || hasAt(head, 4, "\x17\x72\x45\x38\x50\x90"))
}

// isSkippable: zstd files may begin with a frame for others (RFC 8878 §3.1.2), behind which
// comes one of data or another for others. LZ4 has the same frames.
func isSkippable(head []byte) bool {
	const first, last = 0x184D2A50, 0x184D2A5F
	if len(head) < 8 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic >= first && magic <= last
}

// isBmap: XML whose element is bmap.
func isBmap(head []byte) bool {
	text := head[:min(len(head), maxXMLComment)]
	return bytes.HasPrefix(text, []byte("<?xml")) && bytes.Contains(text, []byte("<bmap "))
}

// hasPartitions tells whether the first sector has an MBR with a partition, as hybrid images
// have it. Its partitions may overlap there, and begin with the table itself.
func hasPartitions(head []byte) bool {
	return hasAt(head, bootMagicAt, "\x55\xAA") && head[mbrTypeAt] != 0
}

// sectorSize is the bytes that the size of each disk is a multiple of.
const sectorSize = 512

// Caution is what whoever serves or writes an image should know of it, as the rest of a sentence
// about it, and what to do: "" and "" if there is nothing.
func Caution(f Format, sizeBytes uint64) (text, advice string) {
	switch {
	case f.Foreign():
		return "is " + f.String() + " and is sent as it is: no machine starts from a disk that it is written to", f.Advice()
	case f != Raw:
		return "is " + f.String(), f.Advice()
	case sizeBytes%sectorSize != 0:
		return fmt.Sprintf("has %d bytes, no multiple of %d as a disk has", sizeBytes, sectorSize), "make sure that it was not cut short"
	}
	return "", ""
}
