package partition

import (
	"encoding/binary"
	"io"
	"unicode/utf16"
)

const (
	nameAt, nameBytes = 56, 72 // in an entry of a GPT, UTF-16
	firstLogical      = 5      // as Linux numbers them
)

// Part is a partition on a disk, in bytes.
type Part struct {
	Span
	Number int
	Name   string // of a GPT's entry; as it is on the disk
}

// List returns the partitions of a disk of size bytes as Linux numbers them, and the kind of their
// table: "GPT", "MBR", or "" if there is none. Those that reach behind the disk are cut.
func List(disk io.ReaderAt, size uint64, sector uint32) (table string, parts []Part) {
	s := uint64(sector)
	if s < mbrSize || size < 2*s {
		return "", nil
	}
	add := func(number int, p Span, name string) {
		if p.Lo < p.Hi && p.Lo < size/s {
			parts = append(parts, Part{Span{p.Lo * s, min(p.Hi, size/s) * s}, number, name})
		}
	}
	for _, at := range []uint64{1, size/s - 1} { // the backup, if the first sectors were overwritten
		t, err := readGPT(disk, at, size, s)
		if err != nil {
			continue
		}
		for i, p := range t.partitions() {
			each := len(t.entries) / len(t.partitions())
			add(i+1, p, entryName(t.entries[i*each:][:each]))
		}
		return "GPT", parts
	}
	record := make([]byte, mbrSize)
	if _, err := disk.ReadAt(record, 0); err != nil || !isMBR(record) {
		return "", nil
	}
	for _, p := range mbrPartitions(record) {
		if !isExtended(p.kind) {
			add(p.slot+1, p.Span, "")
		}
	}
	for _, p := range mbrPartitions(record) {
		if isExtended(p.kind) {
			logicals, _, _ := followLogicals(disk, size, p.Span)
			for i, l := range logicals {
				add(firstLogical+i, l, "")
			}
			break
		}
	}
	return "MBR", parts
}

func entryName(e []byte) string {
	var units []uint16
	for at := nameAt; at < min(nameAt+nameBytes, len(e)-1); at += 2 {
		u := binary.LittleEndian.Uint16(e[at:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
