package usedblocks

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"multiserver/internal/partition"
)

// Map says what of an image is unused.
type Map struct {
	Size   uint64
	Unused []partition.Span // in bytes, of whole pages, in rising order, apart from each other
	Parts  []Part
	// Whole says why all of the image counts as used; nil if each part speaks for itself.
	Whole error

	witnesses []witness
}

// Part is a partition, a logical volume, or the image itself.
type Part struct {
	Number int    // of the partition as Linux counts; 0: the image is no partitioned disk
	Volume string // of LVM, in the partition; "" if it is none
	Kind   string // of file system as blkid calls it; "" if none is known
	Size   uint64
	Used   uint64 // bytes of it
	Why    error  // all of it counts as used; nil if it does not
}

// witness is what was read of the image by which a change shows.
type witness struct {
	at    uint64
	bytes []byte
}

// ErrUnknown is the Why of a part that holds no file system that this package reads.
var ErrUnknown = errors.New("no file system that can be read")

// Read reads the map of a disk of size bytes.
func Read(disk io.ReaderAt, size uint64) *Map {
	m := &Map{Size: size}
	table, parts, err := partition.Exact(disk, size)
	if err != nil {
		m.Whole = err
		return m
	}
	var unused spanList
	if table == "" {
		m.read(&volume{disk: disk, size: size}, Part{Size: size}, &unused, 0)
	} else {
		if kind := kindOf(&volume{disk: disk, size: size}); kind != nil {
			m.Whole = fmt.Errorf("it has a partition table and begins like a file system (%s)", kind.name)
			return m
		}
		for _, p := range parts {
			if isVerity(&volume{disk: disk, at: p.Lo, size: p.Hi - p.Lo}) {
				m.Whole = fmt.Errorf("partition %d has hashes of all blocks of another one (dm-verity)", p.Number)
				return m
			}
		}
		for _, p := range parts {
			m.read(&volume{disk: disk, at: p.Lo, size: p.Hi - p.Lo}, Part{Number: p.Number, Size: p.Hi - p.Lo}, &unused, 0)
		}
	}
	slices.SortFunc(unused.spans, func(a, b partition.Span) int { return cmp.Compare(a.Lo, b.Lo) })
	m.Unused = unused.spans
	return m
}

var errNested = errors.New("it is in a volume that is in a volume")

// read adds a volume to the map, and those within it. depth is how many it is in.
func (m *Map) read(v *volume, p Part, unused *spanList, depth int) {
	kind := kindOf(v)
	if kind == nil {
		p.Used, p.Why = p.Size, ErrUnknown
		m.Parts = append(m.Parts, p)
		return
	}
	p.Kind, v.fileSystem = kind.name, v.size
	err := foreign(v)
	if err == nil {
		err = kind.read(v, &p)
	}
	if err == nil {
		err = hashed(v)
	}
	v.flush()
	p.Used = p.Size
	if err != nil {
		p.Why = err
		m.Parts = append(m.Parts, p)
		return
	}
	for _, s := range v.unused.spans {
		unused.add(s)
		p.Used -= s.Hi - s.Lo
	}
	m.witnesses = append(m.witnesses, v.witnesses...)
	m.Parts = append(m.Parts, p)
	for _, inner := range v.pieces {
		q := Part{Number: p.Number, Volume: inner.name, Size: inner.size}
		if inner.why != nil || depth > 0 {
			q.Used, q.Why = q.Size, cmp.Or(inner.why, errNested)
			m.Parts = append(m.Parts, q)
			continue
		}
		m.read(&volume{disk: v.disk, at: v.at + inner.at, size: inner.size}, q, unused, depth+1)
	}
}

// UnusedBytes is how many bytes are unused.
func (m *Map) UnusedBytes() (n uint64) {
	for _, s := range m.Unused {
		n += s.Hi - s.Lo
	}
	return n
}

// Changed returns an error if what the map was made of reads differently now.
func (m *Map) Changed(disk io.ReaderAt) error {
	for _, w := range m.witnesses {
		now := make([]byte, len(w.bytes))
		if _, err := disk.ReadAt(now, int64(w.at)); err != nil {
			return err
		}
		if !bytes.Equal(now, w.bytes) {
			return fmt.Errorf("a file system was written to, at offset %d", w.at)
		}
	}
	return nil
}

// ID tells maps apart.
func (m *Map) ID() string {
	h := sha256.New()
	for _, s := range m.Unused {
		h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.Lo), s.Hi))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}
