package usedblocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The readers of ext2, ext3 and ext4: superblock, group descriptors and block bitmaps.
// Documentation/filesystems/ext4 of Linux. Time and reads are those of the bitmaps, and of at most
// maxExtGroups descriptors.

const (
	extSuperAt, extSuperSize = 1024, 1024
	maxExtGroups             = 1 << 20 // 4 TiB has 32768; with blocks of 1 KiB 524288
	extErrorMask             = 0x2
)

// The features that the bitmaps are understood with, each bit by its name in Linux without prefix.
const (
	extHasJournal, extSparseSuper2 = 0x4, 0x200
	extCompat                      = 0x1 | 0x2 | extHasJournal | 0x8 | 0x10 | 0x20 | extSparseSuper2 | 0x400 | 0x800 | 0x1000

	extRecover, extJournalDev, extMetaBG, ext64bit, extMMP, extCsumSeed = 0x4, 0x8, 0x10, 0x80, 0x100, 0x2000

	extIncompat = 0x2 | extMetaBG | 0x40 | ext64bit | extMMP | 0x200 | 0x400 | extCsumSeed | 0x4000 | 0x8000 | 0x10000 | 0x20000

	extSparseSuper, extGdtCsum, extBigalloc, extMetadataCsum, extOrphanPresent = 0x1, 0x10, 0x200, 0x400, 0x10000

	extRoCompat = extSparseSuper | 0x2 | 0x8 | extGdtCsum | 0x20 | 0x40 | 0x100 | extBigalloc | extMetadataCsum | 0x1000 | 0x2000 | 0x8000
)

// extFS is one of them, as its superblock has it. Blocks count from the volume's beginning.
type extFS struct {
	v                          *volume
	super                      []byte
	compat, incompat, roCompat uint32
	blockSize, blocks          uint64
	first                      uint64 // block of group 0
	perGroup, groups           uint64 // blocks in a group; groups
	ratio                      uint64 // blocks in a cluster
	inodeTable                 uint64 // blocks of a group's
	descSize                   uint64
	firstMeta                  uint64 // group of descriptor blocks with META_BG
	reserved                   uint64 // blocks for descriptors to come, behind each table
	seed                       uint32
	descs                      []extGroup
	metadata                   *extMetadata // nil before it is needed
}

// extGroup is what of a descriptor is needed.
type extGroup struct {
	bitmap, inodeBitmap, inodeTable uint64 // blocks
	free                            uint32 // clusters
	sum                             uint32 // of the bitmap
	uninit                          bool   // the bitmap on disk says nothing
}

func isExt(head []byte) bool {
	return len(head) >= extSuperAt+extSuperSize && le16(head, extSuperAt+0x38) == 0xEF53
}

func readExt(v *volume, p *Part) error {
	e := &extFS{v: v}
	if err := e.readSuper(p); err != nil {
		return err
	}
	if err := e.readGroups(); err != nil {
		return err
	}
	for g := range e.groups {
		if err := e.readBitmap(g); err != nil {
			return err
		}
	}
	return nil
}

// readSuper reads the superblock, and refuses what is not certain.
func (e *extFS) readSuper(p *Part) error {
	s, err := e.v.bytes(extSuperAt, extSuperSize)
	if err != nil {
		return err
	}
	e.v.watch(extSuperAt, s)
	e.super = s
	e.compat, e.incompat, e.roCompat = le32(s, 0x5C), le32(s, 0x60), le32(s, 0x64)
	if le32(s, 0x4C) == 0 { // the first revision has no features
		e.compat, e.incompat, e.roCompat = 0, 0, 0
	}
	p.Kind = extKind(e.compat, e.incompat, e.roCompat)
	switch state := le16(s, 0x3A); {
	case le32(s, 0x4C) > 1:
		return errors.New("a revision that is not known")
	case e.incompat&extJournalDev != 0:
		return errors.New("it is the journal of another file system")
	case e.incompat&extRecover != 0:
		return errors.New("its journal has to be replayed: it is mounted, or was not unmounted")
	case state&1 == 0 || state&4 != 0 || e.roCompat&extOrphanPresent != 0:
		return errors.New("it is mounted, or was not unmounted")
	case state&extErrorMask != 0:
		return errors.New("it is marked as having errors: check it with e2fsck")
	case e.incompat&^extIncompat != 0:
		return fmt.Errorf("features that are not known: incompat %#x", e.incompat&^extIncompat)
	case e.roCompat&^extRoCompat != 0:
		return fmt.Errorf("features that are not known: ro_compat %#x", e.roCompat&^extRoCompat)
	case e.compat&^extCompat != 0:
		return fmt.Errorf("features that are not known: compat %#x", e.compat&^extCompat)
	case e.metadataCsum() && (s[0x175] != 1 || rawCRC32C(^uint32(0), s[:0x3FC]) != le32(s, 0x3FC)):
		return errors.New("the checksum of its superblock is wrong")
	}
	if err := e.geometry(); err != nil {
		return err
	}
	return e.multiMount()
}

func (e *extFS) metadataCsum() bool { return e.roCompat&extMetadataCsum != 0 }

// geometry checks the superblock's numbers.
func (e *extFS) geometry() error {
	s := e.super
	errBad := errors.New("its superblock contradicts itself")
	log, logCluster := le32(s, 0x18), le32(s, 0x1C)
	if log > 6 {
		return errBad
	}
	e.blockSize = 1024 << log
	e.blocks, e.first, e.perGroup = uint64(le32(s, 0x4)), uint64(le32(s, 0x14)), uint64(le32(s, 0x20))
	e.descSize, e.ratio = 32, 1
	if e.incompat&ext64bit != 0 {
		e.blocks |= uint64(le32(s, 0x150)) << 32
		if e.descSize = uint64(le16(s, 0xFE)); e.descSize < 64 || e.descSize > e.blockSize || e.descSize&(e.descSize-1) != 0 {
			return errBad
		}
	}
	if e.roCompat&extBigalloc != 0 {
		if logCluster < log || logCluster-log > 16 {
			return errBad
		}
		e.ratio = 1 << (logCluster - log)
	}
	clusters := uint64(le32(s, 0x24))
	if e.ratio == 1 {
		clusters = e.perGroup
	}
	inodes, inodeSize := uint64(le32(s, 0x28)), uint64(le16(s, 0x58))
	if le32(s, 0x4C) == 0 {
		inodeSize = 128
	}
	if e.perGroup == 0 || e.perGroup%8 != 0 || e.perGroup != clusters*e.ratio || clusters%8 != 0 || clusters > 8*e.blockSize ||
		e.first > 1 || e.blocks <= e.first || inodes == 0 || inodes > 8*e.blockSize || inodeSize < 128 || inodeSize > e.blockSize {
		return errBad
	}
	if e.blocks > e.v.size/e.blockSize {
		return fmt.Errorf("it has %d blocks of %d bytes, and the partition %d bytes", e.blocks, e.blockSize, e.v.size)
	}
	e.v.fileSystem = e.blocks * e.blockSize
	e.groups = (e.blocks - e.first + e.perGroup - 1) / e.perGroup
	if e.groups > maxExtGroups {
		return fmt.Errorf("it has %d groups of blocks, more than are read", e.groups)
	}
	e.inodeTable = (inodes*inodeSize + e.blockSize - 1) / e.blockSize
	e.firstMeta, e.reserved = uint64(le32(s, 0x104)), uint64(le16(s, 0xCE))
	if e.incompat&extMetaBG == 0 {
		e.firstMeta = e.descBlocks()
	}
	if e.firstMeta > e.descBlocks() {
		return errBad
	}
	e.seed = rawCRC32C(^uint32(0), s[0x68:0x78])
	if e.incompat&extCsumSeed != 0 {
		e.seed = le32(s, 0x270)
	}
	return nil
}

// multiMount asks the block by which several machines keep each other from mounting.
func (e *extFS) multiMount() error {
	if e.incompat&extMMP == 0 {
		return nil
	}
	at := le64(e.super, 0x168)
	if at >= e.blocks {
		return errors.New("its block against mounting twice lies outside")
	}
	b, err := e.v.bytes(at*e.blockSize, 1024)
	if err != nil {
		return err
	}
	e.v.watch(at*e.blockSize, b)
	if le32(b, 0) != 0x004D4D50 || le32(b, 4) != 0xFF4D4D50 {
		return errors.New("a machine may have it mounted: its block against mounting twice says so")
	}
	return nil
}

// descsInBlock and descBlocks are of the group descriptors.
func (e *extFS) descsInBlock() uint64 { return e.blockSize / e.descSize }
func (e *extFS) descBlocks() uint64 {
	return (e.groups + e.descsInBlock() - 1) / e.descsInBlock()
}

func (e *extFS) groupStart(g uint64) uint64 { return e.first + g*e.perGroup }

// groupBlocks is how many blocks a group has: the last one may have fewer.
func (e *extFS) groupBlocks(g uint64) uint64 { return min(e.perGroup, e.blocks-e.groupStart(g)) }

// hasSuper reports whether a group begins with a copy of the superblock.
func (e *extFS) hasSuper(g uint64) bool {
	switch {
	case g == 0:
		return true
	case e.compat&extSparseSuper2 != 0:
		return g == uint64(le32(e.super, 0x24C)) || g == uint64(le32(e.super, 0x250))
	case g == 1 || e.roCompat&extSparseSuper == 0:
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		n := base
		for n < g {
			n *= base
		}
		if n == g {
			return true
		}
	}
	return false
}

// descBlock is where block n of the descriptors is.
func (e *extFS) descBlock(n uint64) uint64 {
	if n < e.firstMeta {
		at := e.first + 1 + n
		if e.first == 0 && e.blockSize == 1024 { // the superblock is block 1
			at++
		}
		return at
	}
	g := n * e.descsInBlock()
	at := e.groupStart(g)
	if e.hasSuper(g) {
		at++
	}
	if e.first == 0 && e.blockSize == 1024 && g == 0 {
		at++
	}
	return at
}

// readGroups reads the descriptors.
func (e *extFS) readGroups() error {
	hasSums := e.roCompat&(extGdtCsum|extMetadataCsum) != 0
	for n := range e.descBlocks() {
		at := e.descBlock(n)
		if at >= e.blocks {
			return errors.New("a block of group descriptors lies outside")
		}
		b, err := e.v.bytes(at*e.blockSize, e.blockSize)
		if err != nil {
			return err
		}
		for i := n * e.descsInBlock(); i < min((n+1)*e.descsInBlock(), e.groups); i++ {
			d := b[(i%e.descsInBlock())*e.descSize:][:e.descSize]
			if hasSums && e.descSum(i, d) != le16(d, 0x1E) {
				return fmt.Errorf("the checksum of group descriptor %d is wrong", i)
			}
			g := extGroup{
				bitmap: uint64(le32(d, 0)), inodeBitmap: uint64(le32(d, 4)), inodeTable: uint64(le32(d, 8)),
				free: uint32(le16(d, 0xC)), sum: uint32(le16(d, 0x18)),
				uninit: hasSums && le16(d, 0x12)&2 != 0,
			}
			if e.descSize >= 64 {
				g.bitmap |= uint64(le32(d, 0x20)) << 32
				g.inodeBitmap |= uint64(le32(d, 0x24)) << 32
				g.inodeTable |= uint64(le32(d, 0x28)) << 32
				g.free |= uint32(le16(d, 0x2C)) << 16
				g.sum |= uint32(le16(d, 0x38)) << 16
			}
			if e.outside(g.bitmap, 1) || e.outside(g.inodeBitmap, 1) || e.outside(g.inodeTable, e.inodeTable) {
				return fmt.Errorf("group %d has its bitmaps or its inode table outside of the file system", i)
			}
			e.descs = append(e.descs, g)
		}
	}
	return nil
}

func (e *extFS) outside(at, n uint64) bool { return at < e.first || at >= e.blocks || n > e.blocks-at }

// descSum is the checksum of a group's descriptor.
func (e *extFS) descSum(g uint64, d []byte) uint16 {
	number := binary.LittleEndian.AppendUint32(nil, uint32(g))
	if e.metadataCsum() {
		sum := rawCRC32C(rawCRC32C(e.seed, number), d[:0x1E])
		return uint16(rawCRC32C(rawCRC32C(sum, []byte{0, 0}), d[0x20:]))
	}
	sum := crc16(crc16(crc16(0xFFFF, e.super[0x68:0x78]), number), d[:0x1E])
	return crc16(sum, d[0x20:])
}

// crc16 goes on with a CRC-16 of the polynomial 0x8005, bits reflected.
func crc16(crc uint16, b []byte) uint16 {
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// readBitmap frees what group g says is free.
func (e *extFS) readBitmap(g uint64) error {
	d := e.descs[g]
	clusters := (e.groupBlocks(g) + e.ratio - 1) / e.ratio
	var bitmap []byte
	if d.uninit {
		bitmap = e.initialBitmap(g)
	} else {
		var err error
		if bitmap, err = e.v.bytes(d.bitmap*e.blockSize, e.perGroup/e.ratio/8); err != nil {
			return err
		}
		if e.metadataCsum() {
			sum, want := rawCRC32C(e.seed, bitmap), d.sum
			if e.descSize < 64 {
				sum &= 0xFFFF
			}
			if sum != want {
				return fmt.Errorf("the checksum of group %d's bitmap is wrong", g)
			}
		}
	}
	free := uint64(0)
	start := e.groupStart(g)
	for i := uint64(0); i < clusters; {
		lo := nextBit(bitmap, i, clusters, false)
		hi := nextBit(bitmap, lo, clusters, true)
		if lo < hi {
			free += hi - lo
			from, to := start+lo*e.ratio, min(start+hi*e.ratio, e.blocks)
			if err := e.v.free(from*e.blockSize, to*e.blockSize); err != nil {
				return err
			}
		}
		i = hi
	}
	if free != uint64(d.free) {
		return fmt.Errorf("group %d counts %d free clusters, and its bitmap has %d: check it with e2fsck", g, d.free, free)
	}
	return nil
}

// nextBit is the first bit from i on that is set, or clear; n if none is before that.
func nextBit(bitmap []byte, i, n uint64, set bool) uint64 {
	skip := byte(0xFF) // bytes that have none
	if set {
		skip = 0
	}
	for i < n {
		b := bitmap[i/8]
		if i%8 == 0 && b == skip {
			i += 8
			continue
		}
		if !set {
			b = ^b
		}
		if b >>= i % 8; b != 0 {
			return min(i+uint64(bits.TrailingZeros8(b)), n)
		}
		i = i/8*8 + 8
	}
	return n
}
