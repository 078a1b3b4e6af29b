package usedblocks

import (
	"cmp"
	"slices"
)

// A group whose bitmap was never written (BLOCK_UNINIT) uses what mkfs put there: copies of the
// superblock and the descriptors, and bitmaps and inode tables, with FLEX_BG also other groups'.

// extMetadata are the bitmaps and inode tables of all groups, in rising order.
type extMetadata struct{ spans []extSpan }

type extSpan struct{ at, n uint64 } // blocks

func (e *extFS) gatherMetadata() {
	m := &extMetadata{make([]extSpan, 0, 3*len(e.descs))}
	for _, d := range e.descs {
		m.spans = append(m.spans, extSpan{d.bitmap, 1}, extSpan{d.inodeBitmap, 1}, extSpan{d.inodeTable, e.inodeTable})
	}
	slices.SortFunc(m.spans, func(a, b extSpan) int { return cmp.Compare(a.at, b.at) })
	e.metadata = m
}

// initialBitmap is the bitmap of a group that has never been used.
func (e *extFS) initialBitmap(g uint64) []byte {
	if e.metadata == nil {
		e.gatherMetadata()
	}
	bitmap := make([]byte, e.perGroup/e.ratio/8)
	start, end := e.groupStart(g), e.groupStart(g)+e.groupBlocks(g)
	use := func(at, n uint64) {
		for b := max(at, start); b < min(at+n, end); b++ {
			c := (b - start) / e.ratio
			bitmap[c/8] |= 1 << (c % 8)
		}
	}
	use(start, e.copies(g))
	// A table that begins before the group may reach into it.
	first, _ := slices.BinarySearchFunc(e.metadata.spans, start, func(s extSpan, at uint64) int {
		if s.at+e.inodeTable <= at {
			return -1
		}
		return 1
	})
	for _, s := range e.metadata.spans[first:] {
		if s.at >= end {
			break
		}
		use(s.at, s.n)
	}
	return bitmap
}

// copies is how many blocks at a group's beginning are a superblock and descriptors.
func (e *extFS) copies(g uint64) (n uint64) {
	if e.hasSuper(g) {
		n++
		if g == 0 && e.first == 0 && e.blockSize == 1024 {
			n++
		}
	}
	meta := g / e.descsInBlock()
	if meta < e.firstMeta || e.incompat&extMetaBG == 0 {
		if e.hasSuper(g) {
			n += e.firstMeta + e.reserved
		}
		return n
	}
	if in := g % e.descsInBlock(); in == 0 || in == 1 || in == e.descsInBlock()-1 {
		n++
	}
	return n
}

// extKind tells the three apart as blkid does.
func extKind(compat, incompat, roCompat uint32) string {
	const beyond3, readBeyond3 = ^uint32(0x2 | extRecover | extMetaBG), ^uint32(0x1 | 0x2 | 0x4)
	switch {
	case incompat&beyond3 != 0 || roCompat&readBeyond3 != 0:
		return "ext4"
	case compat&extHasJournal != 0:
		return "ext3"
	}
	return "ext2"
}
