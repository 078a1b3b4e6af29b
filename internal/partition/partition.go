// Package partition looks at the partition table that a disk image begins with.
//
// A table counts in the sectors of the disk that it was written for, and names no
// size: GPT stands in the second sector, wherever that is, and an MBR's numbers are
// of sectors. On a disk with sectors of another size nobody finds the partitions.
package partition

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	// HeadSize is how many bytes of an image SectorSize looks at: two sectors of 4096.
	HeadSize = 8192

	minGPTHeader = 92 // bytes, UEFI 2.10 §5.3.2
	mbrEntriesAt = 446
	mbrEntrySize = 16
	mbrSize      = 512
	protective   = 0xEE // type of the one partition that stands for a GPT
)

// SectorSize tells from an image's first HeadSize bytes, or all if it has fewer, for
// which sectors its partition table is written: 512 or 4096. It is 0 if there is no
// table, if that is not certain, and if there is one for each: images that are to
// start from any medium have several.
func SectorSize(head []byte) uint32 {
	small, large := isGPT(head, 512), isGPT(head, 4096)
	switch {
	case small && large:
		return 0
	case large:
		return 4096
	case small, isMBR(head):
		return 512
	}
	return 0
}

// isGPT reports whether the second sector is a table's header: UEFI 2.10 §5.3.2.
func isGPT(head []byte, sector int) bool {
	if len(head) < sector+minGPTHeader {
		return false
	}
	h := head[sector:min(len(head), 2*sector)]
	size := binary.LittleEndian.Uint32(h[12:])
	if string(h[:8]) != "EFI PART" || size < minGPTHeader || uint64(size) > uint64(len(h)) {
		return false
	}
	if binary.LittleEndian.Uint64(h[24:]) != 1 { // the sector that it stands in
		return false
	}
	// The checksum is made with its own field zero.
	sum := crc32.ChecksumIEEE(h[:16])
	sum = crc32.Update(sum, crc32.IEEETable, make([]byte, 4))
	sum = crc32.Update(sum, crc32.IEEETable, h[20:size])
	return sum == binary.LittleEndian.Uint32(h[16:])
}

// isMBR reports whether the first sector is a table of at least one partition, and
// neither that of a GPT nor the boot sector of a file system, which ends alike.
func isMBR(head []byte) bool {
	if len(head) < mbrSize || head[510] != 0x55 || head[511] != 0xAA || isBootSector(head) {
		return false
	}
	var found, active int
	var ends [4][2]uint64 // first sector, and the one behind the last
	for i := range ends {
		e := head[mbrEntriesAt+i*mbrEntrySize:][:mbrEntrySize]
		first, count := uint64(binary.LittleEndian.Uint32(e[8:])), uint64(binary.LittleEndian.Uint32(e[12:]))
		switch e[0] {
		case 0x80:
			active++
		case 0:
		default:
			return false
		}
		switch {
		case e[4] == protective:
			return false
		case e[4] == 0:
			if first != 0 || count != 0 {
				return false
			}
			continue
		case first == 0 || count == 0 || first+count > 1<<32:
			return false
		}
		for _, other := range ends[:found] {
			if first < other[1] && other[0] < first+count {
				return false
			}
		}
		ends[found] = [2]uint64{first, first + count}
		found++
	}
	return found > 0 && active <= 1
}

// isBootSector reports whether head begins with the parameters of FAT, NTFS or exFAT.
// The bytes where an MBR has its entries are the file system's code there.
func isBootSector(head []byte) bool {
	if jump := head[0] == 0xEB && head[2] == 0x90 || head[0] == 0xE9; !jump {
		return false
	}
	switch string(head[3:11]) {
	case "NTFS    ", "EXFAT   ":
		return true
	}
	sector, cluster := binary.LittleEndian.Uint16(head[11:]), head[13]
	return sector >= 512 && sector <= 4096 && sector&(sector-1) == 0 && cluster != 0 && cluster&(cluster-1) == 0
}
