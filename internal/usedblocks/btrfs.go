package usedblocks

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"multiserver/internal/partition"
)

// btrfs on one device: the superblock, the system chunks that it names, and the chunk tree. What
// no chunk takes is unused; chunks count as used in whole, so no log and no other tree matters.
// btrfs.readthedocs.io, On-disk format. It reads maxBtrfsNodes nodes at most.

const (
	btrfsSuperAt, btrfsSuperSize = 64 << 10, 4096
	btrfsReserved                = 1 << 20 // bytes at the beginning of a device
	btrfsMirrorSize              = 64 << 10
	maxBtrfsNodes                = 1 << 16
	maxBtrfsChunks               = 1 << 18

	btrfsIncompat = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x800 | 0x10000
	btrfsCompatRo = 0x1 | 0x2 | 0x4 | 0x8
	btrfsWritten  = 0x1 | 0x2 // the flags of a superblock that say nothing
	btrfsProfiles = 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400

	btrfsKeySize, btrfsItemSize, btrfsPointerSize = 17, 25, 33
	btrfsNodeHead, btrfsChunkHead, btrfsStripe    = 101, 48, 32
	btrfsChunkItem, btrfsChunkTreeID              = 228, 3
)

// btrfsMirrors are where copies of the superblock are, if the device is large enough.
var btrfsMirrors = []uint64{64 << 20, 256 << 30}

var errBtrfsDamaged = errors.New("its chunk tree is damaged")

type btrfsFS struct {
	v        *volume
	super    []byte
	size     uint64 // of the device, as it says
	device   uint64
	nodeSize uint64
	fsid     []byte // in its nodes
	system   []btrfsChunk
	used     []partition.Span // of the volume
	nodes    int
}

// btrfsChunk is a range of logical addresses and where its copies are.
type btrfsChunk struct {
	logical, length uint64
	copies          []uint64 // in the volume
}

func isBtrfs(head []byte) bool {
	return len(head) >= btrfsSuperAt+btrfsItemSize+64 && string(head[btrfsSuperAt+64:][:8]) == "_BHRfS_M"
}

func readBtrfs(v *volume, _ *Part) error {
	b := &btrfsFS{v: v}
	if err := b.readSuper(); err != nil {
		return err
	}
	if err := b.readSystem(); err != nil {
		return err
	}
	if err := b.readNode(le64(b.super, 88), b.super[199]); err != nil {
		return err
	}
	if len(b.used) == 0 {
		return errBtrfsDamaged
	}
	b.used = append(b.used, partition.Span{Lo: 0, Hi: btrfsReserved})
	for _, at := range btrfsMirrors {
		b.used = append(b.used, partition.Span{Lo: at, Hi: at + btrfsMirrorSize})
	}
	slices.SortFunc(b.used, func(a, c partition.Span) int { return cmp.Compare(a.Lo, c.Lo) })
	end := uint64(0)
	for _, u := range b.used {
		if lo := min(u.Lo, b.size); lo > end {
			if err := v.free(end, lo); err != nil {
				return err
			}
		}
		end = max(end, u.Hi)
	}
	if end < b.size {
		return v.free(end, b.size)
	}
	return nil
}

// readSuper reads the superblock, and refuses what is not certain.
func (b *btrfsFS) readSuper() error {
	s, err := b.v.bytes(btrfsSuperAt, btrfsSuperSize)
	if err != nil {
		return err
	}
	b.v.watch(btrfsSuperAt, s)
	b.super = s
	sum, err := b.sumIsRight(s)
	switch incompat, ro, compat := le64(s, 188), le64(s, 180), le64(s, 172); {
	case err != nil:
		return err
	case !sum || le64(s, 48) != btrfsSuperAt:
		return errors.New("the checksum of its superblock is wrong")
	case le64(s, 136) != 1:
		return fmt.Errorf("it has %d devices", le64(s, 136))
	case le64(s, 56)&^btrfsWritten != 0:
		return errors.New("it has errors, is a seed for other devices, or is being changed")
	case compat != 0 || ro&^btrfsCompatRo != 0 || incompat&^btrfsIncompat != 0:
		return fmt.Errorf("features that are not known: compat %#x, compat_ro %#x, incompat %#x", compat, ro&^btrfsCompatRo, incompat&^btrfsIncompat)
	}
	b.device, b.size, b.nodeSize, b.fsid = le64(s, 201), le64(s, 209), uint64(le32(s, 148)), s[32:48]
	if le64(s, 188)&0x400 != 0 { // METADATA_UUID
		b.fsid = s[571:587]
	}
	if b.nodeSize < 4096 || b.nodeSize > 64<<10 || b.nodeSize&(b.nodeSize-1) != 0 || b.size < btrfsReserved {
		return errors.New("its superblock contradicts itself")
	}
	b.v.fileSystem = b.size
	if b.size > b.v.size {
		return fmt.Errorf("it has %d bytes, and the partition %d", b.size, b.v.size)
	}
	return nil
}

// sumIsRight reports whether a superblock or node has its own checksum.
func (b *btrfsFS) sumIsRight(p []byte) (bool, error) {
	switch le16(b.super, 196) {
	case 0:
		return crc32.Checksum(p[32:], castagnoli) == le32(p, 0), nil
	case 2:
		sum := sha256.Sum256(p[32:])
		return bytes.Equal(sum[:], p[:32]), nil
	}
	return false, errors.New("its checksums are of a kind that is not known: xxhash or blake2")
}

// readSystem reads the chunks that the superblock names, which the chunk tree lies in.
func (b *btrfsFS) readSystem() error {
	const at, most = 811, 2048
	n := le32(b.super, 160)
	if n > most {
		return errBtrfsDamaged
	}
	for p := b.super[at : at+n]; len(p) > 0; {
		if len(p) < btrfsKeySize+btrfsChunkHead || p[8] != btrfsChunkItem {
			return errBtrfsDamaged
		}
		c, size, err := b.parseChunk(le64(p, 9), p[btrfsKeySize:])
		if err != nil {
			return err
		}
		b.system = append(b.system, c)
		p = p[btrfsKeySize+size:]
	}
	return nil
}

// parseChunk reads a chunk item of size bytes.
func (b *btrfsFS) parseChunk(logical uint64, p []byte) (c btrfsChunk, size int, err error) {
	if len(p) < btrfsChunkHead {
		return c, 0, errBtrfsDamaged
	}
	c.logical, c.length = logical, le64(p, 0)
	stripes := int(le16(p, 44))
	size = btrfsChunkHead + stripes*btrfsStripe
	if stripes == 0 || size > len(p) || c.length == 0 || c.length > b.size || c.logical > 1<<62 {
		return c, 0, errBtrfsDamaged
	}
	if le64(p, 24)&btrfsProfiles != 0 {
		return c, 0, errors.New("it has chunks of RAID")
	}
	for i := range stripes {
		s := p[btrfsChunkHead+i*btrfsStripe:]
		if le64(s, 0) != b.device || le64(s, 8) > b.size-c.length {
			return c, 0, errBtrfsDamaged
		}
		c.copies = append(c.copies, le64(s, 8))
	}
	return c, size, nil
}

// readNode gathers the chunks of a node of the chunk tree and of those below it.
func (b *btrfsFS) readNode(logical uint64, level byte) error {
	if b.nodes++; b.nodes > maxBtrfsNodes {
		return errors.New("its chunk tree is too large")
	}
	at, err := b.find(logical)
	if err != nil {
		return err
	}
	p, err := b.v.bytes(at, b.nodeSize)
	if err != nil {
		return err
	}
	sum, err := b.sumIsRight(p)
	n := uint64(le32(p, 96))
	each := uint64(btrfsItemSize)
	if level > 0 {
		each = btrfsPointerSize
	}
	if err != nil || !sum || !bytes.Equal(p[32:48], b.fsid) || le64(p, 48) != logical || le64(p, 88) != btrfsChunkTreeID || p[100] != level ||
		level > 7 || n > (b.nodeSize-btrfsNodeHead)/each || level > 0 && n == 0 {
		return errBtrfsDamaged
	}
	for i := range n {
		k := p[btrfsNodeHead+i*each:]
		if level > 0 {
			if err := b.readNode(le64(k, btrfsKeySize), level-1); err != nil {
				return err
			}
			continue
		}
		off, size := uint64(le32(k, btrfsKeySize)), uint64(le32(k, btrfsKeySize+4))
		if off+size > b.nodeSize-btrfsNodeHead {
			return errBtrfsDamaged
		}
		if k[8] != btrfsChunkItem {
			continue
		}
		c, _, err := b.parseChunk(le64(k, 9), p[btrfsNodeHead+off:][:size])
		if err != nil {
			return err
		}
		for _, at := range c.copies {
			b.used = append(b.used, partition.Span{Lo: at, Hi: at + c.length})
		}
		if len(b.used) > maxBtrfsChunks {
			return errors.New("its chunk tree is too large")
		}
	}
	return nil
}

// find is where a node of the chunk tree is in the volume.
func (b *btrfsFS) find(logical uint64) (uint64, error) {
	for _, c := range b.system {
		if logical >= c.logical && logical-c.logical < c.length {
			if logical-c.logical > c.length-min(b.nodeSize, c.length) {
				return 0, errBtrfsDamaged
			}
			return c.copies[0] + logical - c.logical, nil
		}
	}
	return 0, errBtrfsDamaged
}
