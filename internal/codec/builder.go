package codec

import (
	"encoding/binary"
	"fmt"
)

// ManifestBuilder gathers the digests of an image's blocks in any order. It takes
// 33 bytes a block, which become the Manifest's. It is for one goroutine.
type ManifestBuilder struct {
	sizes Sizes
	// b is a manifest in the making, with a digest for each block, zeros included.
	b       []byte
	known   []uint64 // a bit for each block that was set
	missing uint32   // blocks that were not
	zeros   zeroDigests
}

// NewManifestBuilder returns ErrShape if a size is out of its limits.
func NewManifestBuilder(sizes Sizes) (*ManifestBuilder, error) {
	if err := sizes.Validate(); err != nil {
		return nil, err
	}
	n := sizes.BlockCount()
	b := make([]byte, sizes.MaxManifestSize())
	binary.BigEndian.PutUint32(b[0:], manifestMagic)
	b[4] = manifestVersion
	binary.BigEndian.PutUint64(b[8:], sizes.ImageSize)
	binary.BigEndian.PutUint32(b[16:], sizes.BlockSize)
	return &ManifestBuilder{
		sizes:   sizes,
		b:       b,
		known:   make([]uint64, (uint64(n)+63)/64),
		missing: n,
		zeros:   newZeroDigests(sizes),
	}, nil
}

// Set takes the digest of block id's plain bytes; one of zeros need not be known as
// such. It returns ErrShape if there is no such block, and ErrDigest if the
// block had another digest before: the image has changed.
func (b *ManifestBuilder) Set(id uint32, d Digest) error {
	if n := b.sizes.BlockCount(); id >= n {
		return fmt.Errorf("block %d of %d: %w", id, n, ErrShape)
	}
	slot, bit := b.slot(id), uint64(1)<<(id%64)
	if b.known[id/64]&bit != 0 {
		if was := Digest(slot); was != d {
			return fmt.Errorf("block %d had digest %v and has %v: %w", id, was, d, ErrDigest)
		}
		return nil
	}
	b.known[id/64] |= bit
	b.missing--
	copy(slot, d[:])
	if d == b.zeros.of(id) {
		b.b[manifestHeaderSize+uint64(id)/8] |= 1 << (id % 8)
	}
	return nil
}

// Has tells whether block id was set.
func (b *ManifestBuilder) Has(id uint32) bool {
	return id < b.sizes.BlockCount() && b.known[id/64]&(1<<(id%64)) != 0
}

// SetZero is Set with the digest of a block of zeros.
func (b *ManifestBuilder) SetZero(id uint32) error { return b.Set(id, b.zeros.of(id)) }

// Complete tells whether every block was set.
func (b *ManifestBuilder) Complete() bool { return b.missing == 0 }

// Manifest turns a complete builder, which is of no use afterwards, into the
// manifest.
func (b *ManifestBuilder) Manifest() *Manifest {
	if !b.Complete() {
		panic(fmt.Sprintf("codec: manifest lacks %d blocks", b.missing))
	}
	m := &Manifest{sizes: b.sizes, zeros: b.zeros}
	end := b.sizes.digestsAt()
	m.b = b.b
	for id := range b.sizes.BlockCount() {
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
func (b *ManifestBuilder) slot(id uint32) []byte {
	at := b.sizes.digestsAt() + uint64(id)*DigestSize
	return b.b[at : at+DigestSize]
}
