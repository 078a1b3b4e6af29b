package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// errBothTables: one reader of the disk would find other partitions than the next.
var errBothTables = errors.New("its MBR names partitions beside the GPT")

// Exact is List for those who need to be certain of every byte. It returns an error that says why
// if the table is damaged, or if a partition overlaps another one or the table itself. table is ""
// if there is none. Partitions that reach behind the disk are cut.
func Exact(disk io.ReaderAt, size uint64) (table string, parts []Part, err error) {
	head := make([]byte, min(size, HeadSize))
	if _, err := disk.ReadAt(head, 0); err != nil && err != io.EOF {
		return "", nil, err
	}
	s := uint64(SectorSize(head))
	if s == 0 {
		if isGPT(head, 512) && isGPT(head, 4096) {
			return "GPT", nil, errors.New("it has a GPT for sectors of 512 and one for sectors of 4096 bytes")
		}
		return "", nil, nil
	}
	var taken []Span // in sectors: the table itself
	if isGPT(head, int(s)) {
		table, taken, err = "GPT", nil, nil
		if taken, err = exactGPT(disk, head, size, s); err != nil {
			return table, nil, err
		}
	} else {
		table = "MBR"
		if taken, err = exactMBR(disk, head, size); err != nil {
			return table, nil, err
		}
	}
	_, parts = List(disk, size, uint32(s))
	for _, p := range parts {
		taken = append(taken, Span{p.Lo / s, p.Hi / s})
	}
	slices.SortFunc(taken, func(a, b Span) int {
		switch {
		case a.Lo < b.Lo:
			return -1
		case a.Lo > b.Lo:
			return 1
		}
		return 0
	})
	for i := 1; i < len(taken); i++ {
		if taken[i].Lo < taken[i-1].Hi {
			return table, nil, fmt.Errorf("its table has entries that overlap at sector %d", taken[i].Lo)
		}
	}
	return table, parts, nil
}

// exactGPT returns what the GPT takes.
func exactGPT(disk io.ReaderAt, head []byte, size, s uint64) (taken []Span, err error) {
	if reaches, ok := protects(head); !ok || reaches == 0 {
		return nil, errors.New("its GPT has no protective MBR")
	}
	for _, p := range mbrPartitions(head) {
		if p.kind != protective {
			return nil, errBothTables
		}
	}
	t, err := readGPT(disk, 1, size, s)
	if err != nil {
		return nil, errors.New("its GPT is damaged")
	}
	taken = []Span{{0, 2}, {t.number(entriesAt), t.number(entriesAt) + t.sectors(s)}}
	// The backup need not be whole, or there: nobody reads it as long as the other one is.
	if backup := t.number(otherSectorAt); backup > t.sectors(s) && backup < size/s {
		taken = append(taken, Span{backup - t.sectors(s), backup + 1})
	}
	return taken, nil
}

// exactMBR returns the sectors of the boot records, of the disk and of its logical partitions.
func exactMBR(disk io.ReaderAt, head []byte, size uint64) (taken []Span, err error) {
	taken = []Span{{0, 1}}
	extended := false
	for _, p := range mbrPartitions(head) {
		if !isExtended(p.kind) {
			continue
		}
		if extended {
			return nil, errors.New("its MBR has two extended partitions")
		}
		extended = true
		// followLogicals checks the chain; here are the sectors that it reads.
		if _, end, ok := followLogicals(disk, size, p.Span); !ok || end > p.Hi {
			return nil, errors.New("its chain of logical partitions is broken")
		}
		for at := p.Lo; ; {
			record := make([]byte, mbrSize)
			if _, err := disk.ReadAt(record, int64(at*mbrSize)); err != nil {
				return nil, err
			}
			taken = append(taken, Span{at, at + 1})
			next := uint64(0)
			for i := range 4 {
				e := record[mbrEntriesAt+i*mbrEntrySize:][:mbrEntrySize]
				if isExtended(e[4]) && binary.LittleEndian.Uint32(e[mbrCountAt:]) != 0 {
					next = p.Lo + uint64(binary.LittleEndian.Uint32(e[mbrFirstAt:]))
				}
			}
			if next == 0 {
				break
			}
			at = next
		}
		for _, other := range mbrPartitions(head) { // outside of all others
			if other.slot != p.slot && other.Lo < p.Hi && p.Lo < other.Hi {
				return nil, errors.New("its extended partition overlaps another one")
			}
		}
	}
	return taken, nil
}
