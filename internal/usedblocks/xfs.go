package usedblocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The reader of XFS, version 5: superblock, the head of the log, and in each allocation group the
// AGF and the leaves of the B+tree of free space by block number. XFS Algorithms & Data Structures,
// 3rd edition; fs/xfs/libxfs/xfs_format.h of Linux. Everything is big-endian but the checksums.
// It reads each block of those leaves once: a chain that loops goes on for maxSpans leaves at most.

const (
	xfsSuperSize = 512
	maxXFSGroups = 1 << 17 // 4 TiB of groups of 32 MiB
	maxXFSLevels = 9

	// Features, each bit by its name in Linux.
	xfsIncompat   = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80 // FTYPE to PARENT, without NEEDSREPAIR
	xfsMetaUUID   = 0x4
	xfsRoCompat   = 0x1 | 0x2 | 0x4 | 0x8 // FINOBT, RMAPBT, REFLINK, INOBTCNT
	xfsRepair     = 0x10
	xfsShortHead  = 56 // bytes before the records of a block of a tree within a group
	xfsAGFMagic   = "XAGF"
	xfsLeafMagic  = "AB3B"
	xfsNullBlock  = 1<<32 - 1
	xfsRecordSize = 8 // start and count of a leaf's record; a node's key is the same
)

type xfsFS struct {
	v                   *volume
	blockSize, sector   uint64
	blocks              uint64
	groupBlocks, groups uint64
	uuid                [16]byte
	leaves              int
}

func isXFS(head []byte) bool { return len(head) >= xfsSuperSize && string(head[:4]) == "XFSB" }

func readXFS(v *volume, _ *Part) error {
	x := &xfsFS{v: v}
	s, err := x.readSuper()
	if err != nil {
		return err
	}
	if err := x.checkLog(s); err != nil {
		return err
	}
	for g := range x.groups {
		if err := x.readGroup(g); err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
	}
	return nil
}

func be16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func be32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func be64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }

// xfsSum reports whether the checksum at an offset is that of b, made with its own field zero.
func xfsSum(b []byte, at int) bool {
	sum := crc32.Update(0, castagnoli, b[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, b[at+4:]) == le32(b, at)
}

// readSuper reads the superblock, and refuses what is not certain.
func (x *xfsFS) readSuper() ([]byte, error) {
	s, err := x.v.bytes(0, xfsSuperSize)
	if err != nil {
		return nil, err
	}
	if version := be16(s, 100) & 0xF; version != 5 {
		return nil, fmt.Errorf("version %d has no checksums", version)
	}
	x.blockSize, x.sector = uint64(be32(s, 4)), uint64(be16(s, 102))
	x.blocks, x.groupBlocks, x.groups = be64(s, 8), uint64(be32(s, 84)), uint64(be32(s, 88))
	if x.blockSize < 1024 || x.blockSize > 65536 || x.blockSize&(x.blockSize-1) != 0 || 1<<s[120] != x.blockSize ||
		x.sector < 512 || x.sector > x.blockSize || x.sector > 32768 || x.sector&(x.sector-1) != 0 {
		return nil, errors.New("its superblock contradicts itself")
	}
	if s, err = x.v.bytes(0, x.sector); err != nil {
		return nil, err
	}
	x.v.watch(0, s)
	switch compat, ro, incompat, log := be32(s, 208), be32(s, 212), be32(s, 216), be32(s, 220); {
	case !xfsSum(s, 224):
		return nil, errors.New("the checksum of its superblock is wrong")
	case s[126] != 0:
		return nil, errors.New("mkfs or a growth of it was interrupted")
	case incompat&xfsRepair != 0:
		return nil, errors.New("it is marked as having errors: check it with xfs_repair")
	case compat != 0 || ro&^xfsRoCompat != 0 || incompat&^xfsIncompat != 0:
		return nil, fmt.Errorf("features that are not known: compat %#x, ro_compat %#x, incompat %#x", compat, ro&^xfsRoCompat, incompat&^xfsIncompat)
	case log != 0:
		return nil, errors.New("it is mounted, or was not unmounted")
	case be64(s, 16) != 0:
		return nil, errors.New("it has a real-time section")
	case be64(s, 48) == 0:
		return nil, errors.New("its log is on another device")
	case x.groups == 0 || x.groups > maxXFSGroups || x.groupBlocks < 2 || x.groupBlocks > 1<<31 ||
		x.blocks > x.groups*x.groupBlocks || x.blocks <= (x.groups-1)*x.groupBlocks:
		return nil, errors.New("its superblock contradicts itself")
	case x.blocks > x.v.size/x.blockSize:
		return nil, fmt.Errorf("it has %d blocks of %d bytes, and the partition %d bytes", x.blocks, x.blockSize, x.v.size)
	}
	x.v.fileSystem = x.blocks * x.blockSize
	x.uuid = [16]byte(s[32:48])
	if be32(s, 216)&xfsMetaUUID != 0 {
		x.uuid = [16]byte(s[248:264])
	}
	return s, nil
}

// readGroup frees what group g says is free.
func (x *xfsFS) readGroup(g uint64) error {
	size := min(x.groupBlocks, x.blocks-g*x.groupBlocks)
	start := g * x.groupBlocks * x.blockSize
	agf, err := x.v.bytes(start+x.sector, x.sector)
	if err != nil {
		return err
	}
	x.v.watch(start+x.sector, agf)
	levels := be32(agf, 28)
	switch {
	case string(agf[:4]) != xfsAGFMagic || be32(agf, 4) != 1 || !xfsSum(agf, 216):
		return errors.New("the checksum of its AGF is wrong")
	case be32(agf, 8) != uint32(g) || uint64(be32(agf, 12)) != size || [16]byte(agf[64:80]) != x.uuid || levels == 0 || levels > maxXFSLevels:
		return errors.New("its AGF is that of another group or file system")
	}
	// Down at the left edge, then along the leaves.
	block, level := be32(agf, 16), levels-1
	left, free, last := uint32(xfsNullBlock), uint64(0), uint64(0)
	for block != xfsNullBlock {
		if x.leaves++; x.leaves > maxSpans {
			return errors.New("its trees of free space are too large")
		}
		b, err := x.treeBlock(g, block, level, size)
		if err != nil {
			return err
		}
		n := int(be16(b, 6))
		if level > 0 {
			most := int(x.blockSize-xfsShortHead) / (xfsRecordSize + 4)
			if n == 0 || n > most || be32(b, 8) != xfsNullBlock {
				return errors.New("its tree of free space is damaged")
			}
			block, level = be32(b, xfsShortHead+most*xfsRecordSize), level-1
			continue
		}
		if n > int(x.blockSize-xfsShortHead)/xfsRecordSize || be32(b, 8) != left {
			return errors.New("its tree of free space is damaged")
		}
		for i := range n {
			r := b[xfsShortHead+i*xfsRecordSize:]
			lo := uint64(be32(r, 0))
			hi := lo + uint64(be32(r, 4))
			if lo < last || hi <= lo || hi > size {
				return errOrder
			}
			last, free = hi, free+hi-lo
			if err := x.v.free(start+lo*x.blockSize, start+hi*x.blockSize); err != nil {
				return err
			}
		}
		left, block = block, be32(b, 12)
	}
	if counted := uint64(be32(agf, 52)); free != counted {
		return fmt.Errorf("it counts %d free blocks, and its tree has %d: check it with xfs_repair", counted, free)
	}
	return nil
}

// treeBlock reads a block of the tree of free space.
func (x *xfsFS) treeBlock(g uint64, block, level uint32, size uint64) ([]byte, error) {
	if uint64(block) >= size {
		return nil, errors.New("its tree of free space leaves the group")
	}
	at := (g*x.groupBlocks + uint64(block)) * x.blockSize
	b, err := x.v.bytes(at, x.blockSize)
	if err != nil {
		return nil, err
	}
	if string(b[:4]) != xfsLeafMagic || uint32(be16(b, 4)) != level || !xfsSum(b, 52) || be64(b, 16) != at/512 ||
		[16]byte(b[32:48]) != x.uuid || be32(b, 48) != uint32(g) {
		return nil, errors.New("its tree of free space is damaged")
	}
	return b, nil
}
