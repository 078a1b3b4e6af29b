package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxBlockCount is the greatest count of blocks of an image, as in package block.
const MaxBlockCount = 1 << 26

const (
	manifestMagic      = 0x4D58424D // "MXBM"
	manifestVersion    = 1
	manifestHeaderSize = 4 + 4 + 8 + 4 // magic, version and reserved, the two sizes
)

// Sizes is an image's size and that of its blocks, of which the last may be short.
// A block.Geometry converts to it.
type Sizes struct {
	ImageSize uint64 // bytes: 1 .. MaxBlockCount × BlockSize
	BlockSize uint32 // bytes: 1 .. MaxPlainSize
}

// Validate returns ErrShape if a size is out of its limits.
func (s Sizes) Validate() error {
	if s.BlockSize == 0 || s.BlockSize > MaxPlainSize ||
		s.ImageSize == 0 || s.ImageSize > MaxBlockCount*uint64(s.BlockSize) {
		return fmt.Errorf("image of %d bytes in blocks of %d: %w", s.ImageSize, s.BlockSize, ErrShape)
	}
	return nil
}

// BlockCount is the count of blocks of valid Sizes.
func (s Sizes) BlockCount() uint32 {
	return uint32((s.ImageSize + uint64(s.BlockSize) - 1) / uint64(s.BlockSize))
}

// MaxManifestSize is the most bytes that the manifest of valid Sizes can have.
func (s Sizes) MaxManifestSize() uint64 {
	return s.digestsAt() + uint64(s.BlockCount())*DigestSize + DigestSize
}

// MinManifestSize is the fewest bytes: those of an image of zeros.
func (s Sizes) MinManifestSize() uint64 { return s.digestsAt() + DigestSize }

// digestsAt is where the digests begin in a manifest: behind the map of zeros.
func (s Sizes) digestsAt() uint64 {
	return manifestHeaderSize + (uint64(s.BlockCount())+7)/8
}

// zeroDigests are the digests that blocks of an image have if they are zero.
type zeroDigests struct {
	full, last Digest
	lastID     uint32
}

func newZeroDigests(s Sizes) (z zeroDigests) {
	z.lastID = s.BlockCount() - 1
	lastSize := uint32(s.ImageSize - uint64(z.lastID)*uint64(s.BlockSize))
	z.last = ZeroDigest(lastSize)
	if z.full = z.last; z.lastID > 0 && lastSize < s.BlockSize {
		z.full = ZeroDigest(s.BlockSize)
	}
	return z
}

func (z *zeroDigests) of(id uint32) Digest {
	if id == z.lastID {
		return z.last
	}
	return z.full
}

// Manifest tells the digest of each block of an image, and which blocks are zero.
// It lives in the very bytes that are sent, so that it takes 33 bytes a block at
// most however many ways it is used. It does not change, and may be read by any
// number of goroutines.
type Manifest struct {
	sizes Sizes
	b     []byte // the whole object
	// rank holds, for each rankStride blocks, the count of zero blocks before them.
	rank  []uint32
	zeros zeroDigests
}

// rankStride costs 4 bytes in 512 blocks and eight words to look at.
const rankStride = 512

// ParseManifest reads the manifest of an image of the given sizes and keeps b,
// which must not change afterwards. It returns ErrShape if b is no manifest, or
// one of other sizes, ErrVersion if it is of a later version, and ErrDigest if it
// was damaged. Beside b it takes 1/16 of len(b) of memory at most.
func ParseManifest(b []byte, sizes Sizes) (*Manifest, error) {
	if err := sizes.Validate(); err != nil {
		return nil, err
	}
	if len(b) < 8 || binary.BigEndian.Uint32(b) != manifestMagic {
		return nil, fmt.Errorf("%d bytes without the magic of a manifest: %w", len(b), ErrShape)
	}
	if v := b[4]; v != manifestVersion {
		return nil, fmt.Errorf("manifest of version %d: %w", v, ErrVersion)
	}
	if uint64(len(b)) < sizes.MinManifestSize() {
		return nil, fmt.Errorf("manifest of %d bytes for %d blocks: %w", len(b), sizes.BlockCount(), ErrShape)
	}
	if got := (Sizes{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])}); got != sizes {
		return nil, fmt.Errorf("manifest of %d bytes in blocks of %d, not of %d in %d: %w",
			got.ImageSize, got.BlockSize, sizes.ImageSize, sizes.BlockSize, ErrShape)
	}
	n, at := sizes.BlockCount(), sizes.digestsAt()
	if n%8 != 0 && b[at-1]>>(n%8) != 0 {
		return nil, fmt.Errorf("manifest marks zeros behind its %d blocks: %w", n, ErrShape)
	}
	m := &Manifest{sizes: sizes, b: b}
	stored := n - m.buildRank()
	if want := at + uint64(stored)*DigestSize + DigestSize; uint64(len(b)) != want {
		return nil, fmt.Errorf("manifest of %d bytes instead of %d: %w", len(b), want, ErrShape)
	}
	end := len(b) - DigestSize
	if sum := manifestDigest(b[:end]); sum != Digest(b[end:]) {
		return nil, fmt.Errorf("manifest has digest %v instead of %v: %w", sum, Digest(b[end:]), ErrDigest)
	}
	m.zeros = newZeroDigests(sizes)
	for id := range n {
		if !m.IsZeroBlock(id) && m.Digest(id) == m.zeros.of(id) {
			return nil, fmt.Errorf("manifest does not mark block %d as zero: %w", id, ErrShape)
		}
	}
	return m, nil
}

// buildRank fills rank and returns the count of zero blocks.
func (m *Manifest) buildRank() (zeros uint32) {
	n := m.sizes.BlockCount()
	m.rank = make([]uint32, 0, n/rankStride+1)
	for lo := uint32(0); lo < n; lo += 64 {
		if lo%rankStride == 0 {
			m.rank = append(m.rank, zeros)
		}
		zeros += uint32(bits.OnesCount64(m.word(lo) & (^uint64(0) >> (64 - min(64, n-lo)))))
	}
	return zeros
}

// word is the map of zeros of the 64 blocks from lo on, block lo in the lowest bit.
// What it holds beyond the last block is undefined, but always there: the
// manifest's own digest follows.
func (m *Manifest) word(lo uint32) uint64 {
	return binary.LittleEndian.Uint64(m.b[manifestHeaderSize+uint64(lo)/8:])
}

// IsZeroBlock tells whether all bytes of block id, which is below the count of
// blocks, are zero.
func (m *Manifest) IsZeroBlock(id uint32) bool {
	return m.b[manifestHeaderSize+uint64(id)/8]>>(id%8)&1 != 0
}

// Digest is the digest of the plain bytes of block id, which is below the count of
// blocks.
func (m *Manifest) Digest(id uint32) Digest {
	if m.IsZeroBlock(id) {
		return m.zeros.of(id)
	}
	zerosBefore := m.rank[id/rankStride]
	for lo := id / rankStride * rankStride; lo < id; lo += 64 {
		zerosBefore += uint32(bits.OnesCount64(m.word(lo) & (^uint64(0) >> (64 - min(64, id-lo)))))
	}
	return Digest(m.b[m.sizes.digestsAt()+uint64(id-zerosBefore)*DigestSize:])
}

// ImageDigest hashes the digests of all blocks: the caller keeps it.
func (m *Manifest) ImageDigest() Digest { return imageDigest(m.sizes, m.Digest) }

// Bytes is the encoded manifest itself, to be read only.
func (m *Manifest) Bytes() []byte { return m.b }
