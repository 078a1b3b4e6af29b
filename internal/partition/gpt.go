package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A GPT has two copies: one behind the first sector of a disk, and a backup that ends with the
// disk. An image carries the backup at the image's own end, which is the wrong place on a larger
// disk. UEFI 2.10 §5.3.

const (
	// Offsets in a header.
	headerSizeAt, headerSumAt        = 12, 16
	ownSectorAt, otherSectorAt       = 24, 32
	firstUsableAt                    = 40
	lastUsableAt, diskIDAt           = 48, 56
	entriesAt                        = 72
	entryCountAt, entrySizeAt        = 80, 84
	entriesSumAt                     = 88
	firstSectorAt, lastSectorAt      = 32, 40 // in an entry
	minEntrySize, maxEntriesBytes    = 128, 1 << 20
	mbrFirstAt, mbrCountAt, mbrTotal = 8, 12, 1<<32 - 1
)

// ErrNoGPT: there is no GPT, or none that is whole.
var ErrNoGPT = errors.New("there is no GPT that is whole")

// Span is a range of bytes, Hi excluded.
type Span struct{ Lo, Hi uint64 }

// Write is bytes to put at an offset of a disk.
type Write struct {
	Off   uint64
	Bytes []byte
}

// Move is what has to be written to a disk so that its backup GPT is at its end. Backup goes
// first, and has to be on the disk before Primary is written: at any time one of the two copies
// is whole.
type Move struct {
	From            uint64 // where the backup's header is said to be, in bytes
	Backup, Primary []Write
}

func (m Move) writes() []Write { return slices.Concat(m.Backup, m.Primary) }

// Bytes is how many bytes it writes.
func (m Move) Bytes() (n uint64) {
	for _, w := range m.writes() {
		n += uint64(len(w.Bytes))
	}
	return n
}

// gpt is one copy of a table.
type gpt struct {
	header  []byte // a sector
	entries []byte
}

// HasGPT tells whether an image whose first HeadSize bytes are head begins with a GPT for sectors
// of that many bytes.
func HasGPT(head []byte, sector uint32) bool { return isGPT(head, int(sector)) }

// MoveBackup returns how the backup GPT of a disk of size bytes gets to its end, where the table was
// written for a smaller or a larger disk. It has nothing to write if it is there. It returns an
// error that wraps ErrNoGPT, or one that says that a partition lies where the backup would be.
func MoveBackup(disk io.ReaderAt, size uint64, sector uint32) (Move, error) {
	s := uint64(sector)
	t, err := readGPT(disk, 1, size, s)
	if err != nil {
		return Move{}, err
	}
	if size/s < 2*t.sectors(s)+4 {
		return Move{}, fmt.Errorf("a disk of %d bytes has no room for a GPT", size)
	}
	last := size/s - 1
	m := Move{From: t.number(otherSectorAt) * s}
	mbr := make([]byte, mbrSize)
	if _, err := disk.ReadAt(mbr, 0); err != nil {
		return Move{}, err
	}
	if backup, err := readGPT(disk, last, size, s); err == nil && t.number(otherSectorAt) == last &&
		t.number(lastUsableAt) == backup.number(lastUsableAt) && t.sameTable(&backup) {
		if reaches, ok := protects(mbr); ok && reaches != mbrTotal && protect(mbr, last) {
			m.Primary = []Write{{0, mbr}}
		}
		return m, nil
	}
	lastUsable := last - t.sectors(s) - 1
	for i, p := range t.partitions() {
		if p.Hi > lastUsable+1 {
			return Move{}, fmt.Errorf("partition %d reaches to sector %d, and the GPT's backup would begin at %d", i+1, p.Hi-1, lastUsable+1)
		}
	}

	primary := t.with(map[int]uint64{otherSectorAt: last, lastUsableAt: lastUsable})
	m.Backup = t.backup(s, last, lastUsable)
	if protect(mbr, last) {
		m.Primary = append(m.Primary, Write{0, mbr})
	}
	m.Primary = append(m.Primary, Write{s, primary})
	return m, nil
}

// backup is the copy of the table that ends with sector last.
func (t gpt) backup(s, last, lastUsable uint64) []Write {
	header := t.with(map[int]uint64{otherSectorAt: 1, lastUsableAt: lastUsable, ownSectorAt: last, entriesAt: last - t.sectors(s)})
	return []Write{{(last - t.sectors(s)) * s, t.entries}, {last * s, header}}
}

// sectors is how many sectors the entries take.
func (t gpt) sectors(s uint64) uint64 { return (uint64(len(t.entries)) + s - 1) / s }

// sameTable reports whether both are copies of one table.
func (t gpt) sameTable(other *gpt) bool {
	return bytes.Equal(t.header[diskIDAt:][:16], other.header[diskIDAt:][:16]) && bytes.Equal(t.entries, other.entries)
}

// protects is the number of sectors that a protective MBR covers; it is false of another MBR.
func protects(mbr []byte) (count uint32, ok bool) {
	e := mbr[mbrEntriesAt:][:mbrEntrySize]
	ok = mbr[510] == 0x55 && mbr[511] == 0xAA && e[4] == protective && binary.LittleEndian.Uint32(e[mbrFirstAt:]) == 1
	return binary.LittleEndian.Uint32(e[mbrCountAt:]), ok
}

// protect makes the one partition of a protective MBR reach to the last sector, and tells whether
// it changed.
func protect(mbr []byte, last uint64) bool {
	want := uint32(min(last, mbrTotal))
	if count, ok := protects(mbr); !ok || count == want {
		return false
	}
	binary.LittleEndian.PutUint32(mbr[mbrEntriesAt+mbrCountAt:], want)
	return true
}

// Unfit returns the bytes of an image of imageSize bytes where a disk of size bytes, whose GPT was
// fitted by MoveBackup after the image was written to it, holds others; also those behind the end
// of a smaller disk that are not zeros. Later ones count. What the disk does not tell is taken for
// what sgdisk writes, and the image's bytes under the backup on a smaller disk for zeros: whoever
// uses them must know the image's digests. fitted is what MoveBackup wrote. It returns false if
// MoveBackup would not make exactly this disk of them.
func Unfit(disk io.ReaderAt, size, imageSize uint64, sector uint32) (image []Write, fitted Move, ok bool) {
	s := uint64(sector)
	last, imageLast := size/s-1, imageSize/s-1
	t, err := readGPT(disk, 1, size, s)
	if err != nil || t.number(otherSectorAt) != last || last == imageLast || imageSize/s < 2*t.sectors(s)+4 {
		return nil, Move{}, false
	}
	lastUsable := imageLast - t.sectors(s) - 1
	if own, err := readGPT(disk, imageLast, min(size, imageSize), s); err == nil && own.sameTable(&t) {
		lastUsable = own.number(lastUsableAt)
	}
	if imageLast > last {
		at := (last - t.sectors(s)) * s
		image = append(image, Write{at, make([]byte, size-at)})
	}
	if last-t.sectors(s) <= imageLast { // behind the disk, or under the backup that was fitted
		image = append(image, t.backup(s, imageLast, lastUsable)...)
	}
	mbr := make([]byte, mbrSize)
	if _, err := disk.ReadAt(mbr, 0); err != nil {
		return nil, Move{}, false
	}
	if protect(mbr, imageLast) {
		image = append(image, Write{0, mbr})
	}
	image = append(image, Write{s, t.with(map[int]uint64{otherSectorAt: imageLast, lastUsableAt: lastUsable})})

	fitted, err = MoveBackup(&Overlay{disk, image}, size, sector)
	if err != nil {
		return nil, Move{}, false
	}
	for _, w := range fitted.writes() {
		there := make([]byte, len(w.Bytes))
		if _, err := disk.ReadAt(there, int64(w.Off)); err != nil || !bytes.Equal(there, w.Bytes) {
			return nil, Move{}, false
		}
	}
	return image, fitted, true
}

// Overlay reads a disk with other bytes in some places; later ones count.
type Overlay struct {
	Disk   io.ReaderAt
	Writes []Write
}

// ReadAt is io.ReaderAt's.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.Disk.ReadAt(p, off)
	for _, w := range o.Writes {
		w.CopyTo(p[:n], uint64(off))
	}
	return n, err
}

// CopyTo copies those of the bytes that p has, which begins at offset off.
func (w Write) CopyTo(p []byte, off uint64) {
	lo, hi := max(w.Off, off), min(w.Off+uint64(len(w.Bytes)), off+uint64(len(p)))
	if lo < hi {
		copy(p[lo-off:hi-off], w.Bytes[lo-w.Off:])
	}
}

// BackupInPlace tells whether the GPT that a disk begins with has its own backup at the end of the
// disk: of an image that was cut behind its last used byte, the backup is not an old one.
func BackupInPlace(disk io.ReaderAt, size uint64, sector uint32) bool {
	s := uint64(sector)
	primary, err := readGPT(disk, 1, size, s)
	if err != nil || primary.number(otherSectorAt) != size/s-1 {
		return false
	}
	backup, err := readGPT(disk, size/s-1, size, s)
	return err == nil && bytes.Equal(primary.header[diskIDAt:][:16], backup.header[diskIDAt:][:16])
}

// BackupPartitions are the partitions, in bytes, that a backup GPT at the end of a disk names;
// none if there is no backup that is whole.
func BackupPartitions(disk io.ReaderAt, size uint64, sector uint32) []Span {
	s := uint64(sector)
	if size < 2*s {
		return nil
	}
	t, err := readGPT(disk, size/s-1, size, s)
	if err != nil {
		return nil
	}
	var spans []Span
	for _, p := range t.partitions() {
		if p.Lo < p.Hi && p.Hi <= size/s {
			spans = append(spans, Span{p.Lo * s, p.Hi * s})
		}
	}
	return spans
}

// readGPT reads the copy whose header is in sector at.
func readGPT(disk io.ReaderAt, at, size, s uint64) (gpt, error) {
	t := gpt{header: make([]byte, s)}
	if _, err := disk.ReadAt(t.header, int64(at*s)); err != nil {
		return gpt{}, err
	}
	headerSize := uint64(binary.LittleEndian.Uint32(t.header[headerSizeAt:]))
	if string(t.header[:8]) != "EFI PART" || headerSize < minGPTHeader || headerSize > s ||
		t.sum() != binary.LittleEndian.Uint32(t.header[headerSumAt:]) || t.number(ownSectorAt) != at {
		return gpt{}, ErrNoGPT
	}
	count, each := uint64(binary.LittleEndian.Uint32(t.header[entryCountAt:])), uint64(binary.LittleEndian.Uint32(t.header[entrySizeAt:]))
	first := t.number(entriesAt)
	if each < minEntrySize || count == 0 || count*each > maxEntriesBytes || first > size/s || first*s+count*each > size {
		return gpt{}, ErrNoGPT
	}
	t.entries = make([]byte, count*each)
	if _, err := disk.ReadAt(t.entries, int64(first*s)); err != nil {
		return gpt{}, err
	}
	if crc32.ChecksumIEEE(t.entries) != binary.LittleEndian.Uint32(t.header[entriesSumAt:]) {
		return gpt{}, ErrNoGPT
	}
	return t, nil
}

func (t gpt) number(at int) uint64 { return binary.LittleEndian.Uint64(t.header[at:]) }

// sum is the header's checksum, which is made with its own field zero.
func (t gpt) sum() uint32 {
	h := bytes.Clone(t.header[:binary.LittleEndian.Uint32(t.header[headerSizeAt:])])
	clear(h[headerSumAt : headerSumAt+4])
	return crc32.ChecksumIEEE(h)
}

// with is the header with other numbers.
func (t gpt) with(numbers map[int]uint64) []byte {
	c := gpt{header: bytes.Clone(t.header)}
	for at, n := range numbers {
		binary.LittleEndian.PutUint64(c.header[at:], n)
	}
	binary.LittleEndian.PutUint32(c.header[headerSumAt:], c.sum())
	return c.header
}

// partitions are the entries by number, in sectors; those that are not in use are empty.
func (t gpt) partitions() []Span {
	each := int(binary.LittleEndian.Uint32(t.header[entrySizeAt:]))
	spans := make([]Span, len(t.entries)/each)
	for i := range spans {
		e := t.entries[i*each:][:each]
		if first, last := binary.LittleEndian.Uint64(e[firstSectorAt:]), binary.LittleEndian.Uint64(e[lastSectorAt:]); [16]byte(e) != [16]byte{} && last+1 > first {
			spans[i] = Span{first, last + 1}
		}
	}
	return spans
}
