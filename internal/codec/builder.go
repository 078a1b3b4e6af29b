package codec

import (
	"encoding/binary"
	"fmt"

	"multiserver/internal/block"
)

// ManifestBuilder gathers the digests of an image's blocks in any order. It takes
// 33 bytes a block, which become the Manifest's. It is for one goroutine.
type ManifestBuilder struct {
	geometry block.Geometry
	// b is a manifest in the making, with a digest for each block, zeros included.
	b       []byte
	known   block.Bits // the blocks that were set
	missing uint32     // count of the others
	zeros   zeroDigests
}

// NewManifestBuilder returns ErrShape if a size is out of its limits.
func NewManifestBuilder(g block.Geometry) (*ManifestBuilder, error) {
	if err := checkSizes(g); err != nil {
		return nil, err
	}
	n := g.BlockCount()
	b := make([]byte, MaxManifestSize(g))
	binary.BigEndian.PutUint32(b[0:], manifestMagic)
	b[4] = manifestVersion
	binary.BigEndian.PutUint64(b[8:], g.ImageSize)
	binary.BigEndian.PutUint32(b[16:], g.BlockSize)
	return &ManifestBuilder{
		geometry: g,
		b:        b,
		known:    block.NewBits(n),
		missing:  n,
		zeros:    newZeroDigests(g),
	}, nil
}

// Set takes the digest of block id's plain bytes; one of zeros need not be known as
// such. It returns ErrShape if there is no such block, and ErrDigest if the
// block had another digest before: the image has changed.
func (b *ManifestBuilder) Set(id block.ID, d Digest) error {
	if !b.geometry.Has(id) {
		return fmt.Errorf("block %d of %d: %w", id, b.geometry.BlockCount(), ErrShape)
	}
	slot := b.slot(id)
	if !b.known.Add(uint32(id)) {
		if was := Digest(slot); was != d {
			return fmt.Errorf("block %d had digest %v and has %v: %w", id, was, d, ErrDigest)
		}
		return nil
	}
	b.missing--
	copy(slot, d[:])
	if d == b.zeros.of(id) {
		b.b[manifestHeaderSize+uint64(id)/8] |= 1 << (id % 8)
	}
	return nil
}

// Has reports whether block id was set.
func (b *ManifestBuilder) Has(id block.ID) bool {
	return b.geometry.Has(id) && b.known.Has(uint32(id))
}

// SetZero is Set with the digest of a block of zeros.
func (b *ManifestBuilder) SetZero(id block.ID) error { return b.Set(id, b.zeros.of(id)) }

// Complete reports whether every block was set.
func (b *ManifestBuilder) Complete() bool { return b.missing == 0 }

// Manifest turns a complete builder, which is not needed afterwards, into the
// manifest.
func (b *ManifestBuilder) Manifest() *Manifest {
	if !b.Complete() {
		panic(fmt.Sprintf("codec: manifest lacks %d blocks", b.missing))
	}
	m := &Manifest{geometry: b.geometry, zeros: b.zeros}
	end := digestsAt(b.geometry)
	m.b = b.b
	for id := range block.ID(b.geometry.BlockCount()) {
		if !m.IsZeroBlock(id) {
			end += uint64(copy(b.b[end:], b.slot(id)))
		}
	}
	sum := manifestDigest(b.b[:end])
	m.b = append(b.b[:end], sum[:]...)
	b.b = nil
	m.buildRank()
	return m
}

// slot is where the digest of block id is kept until the manifest is made.
func (b *ManifestBuilder) slot(id block.ID) []byte {
	at := digestsAt(b.geometry) + uint64(id)*DigestSize
	return b.b[at : at+DigestSize]
}
