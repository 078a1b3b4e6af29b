package partition

import (
	"encoding/binary"
	"io"
)

// maxLogical bounds the chain of logical partitions: Linux numbers 60 at most, others more.
const maxLogical = 256

// LeastDisk is how many bytes a disk must have to hold every partition of an image of size bytes,
// whose table is written for sectors of that many bytes; of a GPT also the backup behind them. It
// is 0 if there is no table, if it is not whole, and if a partition ends behind the image: then all
// of the image may be in use.
func LeastDisk(image io.ReaderAt, size uint64, sector uint32) uint64 {
	s := uint64(sector)
	if s == 0 || size < 2*s {
		return 0
	}
	head := make([]byte, min(size, HeadSize))
	if _, err := image.ReadAt(head, 0); err != nil {
		return 0
	}
	var end uint64 // the sector behind the last one in use
	switch {
	case isGPT(head, int(sector)):
		t, err := readGPT(image, 1, size, s)
		if err != nil || head[510] != 0x55 || head[511] != 0xAA {
			return 0
		}
		end = max(t.number(entriesAt)+t.sectors(s), t.number(firstUsableAt))
		for _, p := range t.partitions() {
			end = max(end, p.Hi)
		}
		for _, p := range mbrPartitions(head) { // of a hybrid table
			if p.kind != protective {
				end = max(end, p.Hi)
			}
		}
		end += t.sectors(s) + 1 // the backup
	case s == mbrSize && isMBR(head):
		for _, p := range mbrPartitions(head) {
			last, ok := p.Hi, true
			if isExtended(p.kind) {
				_, last, ok = followLogicals(image, size, p.Span)
			}
			if !ok {
				return 0
			}
			end = max(end, last)
		}
	}
	if end > size/s {
		return 0
	}
	return end * s
}

// entry is one of an MBR's, in sectors.
type entry struct {
	Span
	kind byte
	slot int
}

// mbrPartitions are the entries of a boot record that are in use.
func mbrPartitions(record []byte) (used []entry) {
	for i := range 4 {
		e := record[mbrEntriesAt+i*mbrEntrySize:][:mbrEntrySize]
		first, count := uint64(binary.LittleEndian.Uint32(e[mbrFirstAt:])), uint64(binary.LittleEndian.Uint32(e[mbrCountAt:]))
		if e[4] != 0 && count != 0 {
			used = append(used, entry{Span{first, first + count}, e[4], i})
		}
	}
	return used
}

func isExtended(kind byte) bool { return kind == 0x05 || kind == 0x0F || kind == 0x85 }

// followLogicals follows the chain of boot records in an extended partition, each with a logical
// partition and a link to the next record. It returns the logical partitions, and the sector behind
// all of them and the extended one. It is false if the chain is broken.
func followLogicals(image io.ReaderAt, size uint64, extended Span) (logicals []Span, end uint64, ok bool) {
	end = extended.Hi
	for at, n := extended.Lo, 0; ; n++ {
		record := make([]byte, mbrSize)
		if n == maxLogical || at >= size/mbrSize {
			return logicals, end, false
		}
		if _, err := image.ReadAt(record, int64(at*mbrSize)); err != nil || record[510] != 0x55 || record[511] != 0xAA {
			return logicals, end, false
		}
		next := uint64(0)
		for _, p := range mbrPartitions(record) {
			if isExtended(p.kind) { // counts from the extended partition, others from this record
				next = extended.Lo + p.Lo
				end = max(end, extended.Lo+p.Hi)
			} else {
				logicals = append(logicals, Span{at + p.Lo, at + p.Hi})
				end = max(end, at+p.Hi)
			}
		}
		if next == 0 {
			return logicals, end, true
		}
		at = next
	}
}
