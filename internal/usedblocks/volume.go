package usedblocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"multiserver/internal/partition"
)

const (
	// pageSize is the unit of the map: what storage and file systems commonly write at once.
	pageSize = 4096
	// maxSpans bounds a map to 16 MiB. If there are more, short ones count as used.
	maxSpans = 1 << 20
	// maxWitness bounds what is read again to see whether an image changed.
	maxWitness = 64 << 10
)

// errOrder: a reader that frees bytes twice was told so by its file system.
var errOrder = errors.New("its lists of free blocks contradict each other")

// spanList gathers unused spans, maxSpans at most.
type spanList struct {
	spans []partition.Span
	least uint64 // shorter ones are left out; 0: none
}

func (l *spanList) add(s partition.Span) {
	if s.Hi-s.Lo < l.least {
		return
	}
	l.spans = append(l.spans, s)
	for len(l.spans) >= maxSpans {
		l.least = max(2*l.least, 2*pageSize)
		kept := l.spans[:0]
		for _, s := range l.spans {
			if s.Hi-s.Lo >= l.least {
				kept = append(kept, s)
			}
		}
		l.spans = kept
	}
}

// volume is a partition to its reader: it begins at offset 0.
type volume struct {
	disk     io.ReaderAt
	at, size uint64 // in the disk
	unused   spanList
	run      partition.Span // free bytes of the volume, that may go on
	// fileSystem is how many bytes the file system has of it.
	fileSystem uint64
	pieces     []piece // volumes in this one, to be looked into
	witnesses  []witness
	witnessed  int
}

// readAt reads len(p) bytes at an offset, or fails.
func (v *volume) readAt(p []byte, off uint64) error {
	if off > v.size || uint64(len(p)) > v.size-off {
		return fmt.Errorf("it reaches to byte %d, and the partition has %d", off+uint64(len(p)), v.size)
	}
	if n, err := v.disk.ReadAt(p, int64(v.at+off)); n < len(p) {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	return nil
}

// bytes is readAt into memory of its own. The caller bounds n.
func (v *volume) bytes(off, n uint64) ([]byte, error) {
	p := make([]byte, n)
	return p, v.readAt(p, off)
}

// watch notes bytes by which a change of the file system shows.
func (v *volume) watch(off uint64, b []byte) {
	if v.witnessed+len(b) <= maxWitness {
		v.witnessed += len(b)
		v.witnesses = append(v.witnesses, witness{v.at + off, b})
	}
}

// free says that nobody uses the bytes from lo to hi. Calls come in rising order.
func (v *volume) free(lo, hi uint64) error {
	if lo < v.run.Hi || hi < lo || hi > v.size {
		return errOrder
	}
	if lo > v.run.Hi {
		v.flush()
		v.run.Lo = lo
	}
	v.run.Hi = hi
	return nil
}

// flush adds the run to the map, as whole pages of the disk.
func (v *volume) flush() {
	lo, hi := (v.at+v.run.Lo+pageSize-1)/pageSize*pageSize, (v.at+v.run.Hi)/pageSize*pageSize
	if lo < hi {
		v.unused.add(partition.Span{Lo: lo, Hi: hi})
	}
}

func le16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func le32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func le64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rawCRC32C goes on with a CRC-32C that is complemented neither at its beginning nor at its end.
func rawCRC32C(crc uint32, b []byte) uint32 { return ^crc32.Update(^crc, castagnoli, b) }
