package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"multiserver/internal/block"
)

const (
	manifestMagic      = 0x4D58424D // "MXBM"
	manifestVersion    = 1
	manifestHeaderSize = 4 + 4 + 8 + 4 // magic, version and reserved, the two sizes
)

// checkSizes returns ErrShape if a size is out of its limits. Unlike Geometry.Validate, it
// admits every block size up to the greatest: the format does not ask for a power of two.
func checkSizes(g block.Geometry) error {
	if g.BlockSize == 0 || g.BlockSize > block.MaxBlockSize ||
		g.ImageSize == 0 || g.ImageSize > block.MaxBlockCount*uint64(g.BlockSize) {
		return fmt.Errorf("image of %d bytes in blocks of %d: %w", g.ImageSize, g.BlockSize, ErrShape)
	}
	return nil
}

// MaxManifestSize is the size of the manifest of an image without zero blocks, in bytes:
// no manifest of this Geometry is larger.
func MaxManifestSize(g block.Geometry) uint64 {
	return MinManifestSize(g) + uint64(g.BlockCount())*DigestSize
}

// MinManifestSize is the size of the manifest of an image of zeros, in bytes.
func MinManifestSize(g block.Geometry) uint64 { return digestsAt(g) + DigestSize }

// digestsAt is where the digests begin in a manifest: behind the map of zeros.
func digestsAt(g block.Geometry) uint64 {
	return manifestHeaderSize + (uint64(g.BlockCount())+7)/8
}

// zeroDigests are the digests that blocks of an image have if they are zero.
type zeroDigests struct {
	full, last Digest
	lastID     block.ID
}

func newZeroDigests(g block.Geometry) (z zeroDigests) {
	z.lastID = block.ID(g.BlockCount() - 1)
	lastSize := uint32(g.Size(z.lastID))
	z.last = ZeroDigest(lastSize)
	if z.full = z.last; z.lastID > 0 && lastSize < g.BlockSize {
		z.full = ZeroDigest(g.BlockSize)
	}
	return z
}

func (z *zeroDigests) of(id block.ID) Digest {
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
	geometry block.Geometry
	b        []byte // the whole object
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
func ParseManifest(b []byte, g block.Geometry) (*Manifest, error) {
	if err := checkSizes(g); err != nil {
		return nil, err
	}
	if len(b) < 8 || binary.BigEndian.Uint32(b) != manifestMagic {
		return nil, fmt.Errorf("%d bytes without the magic of a manifest: %w", len(b), ErrShape)
	}
	if v := b[4]; v != manifestVersion {
		return nil, fmt.Errorf("manifest of version %d: %w", v, ErrVersion)
	}
	if uint64(len(b)) < MinManifestSize(g) {
		return nil, fmt.Errorf("manifest of %d bytes for %d blocks: %w", len(b), g.BlockCount(), ErrShape)
	}
	imageSize, blockSize := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])
	if imageSize != g.ImageSize || blockSize != g.BlockSize {
		return nil, fmt.Errorf("manifest of %d bytes in blocks of %d, not of %d in %d: %w",
			imageSize, blockSize, g.ImageSize, g.BlockSize, ErrShape)
	}
	n, at := g.BlockCount(), digestsAt(g)
	if n%8 != 0 && b[at-1]>>(n%8) != 0 {
		return nil, fmt.Errorf("manifest marks zeros behind its %d blocks: %w", n, ErrShape)
	}
	m := &Manifest{geometry: g, b: b}
	stored := n - m.buildRank()
	if want := at + uint64(stored)*DigestSize + DigestSize; uint64(len(b)) != want {
		return nil, fmt.Errorf("manifest of %d bytes instead of %d: %w", len(b), want, ErrShape)
	}
	end := len(b) - DigestSize
	if sum := manifestDigest(b[:end]); sum != Digest(b[end:]) {
		return nil, fmt.Errorf("manifest has digest %v instead of %v: %w", sum, Digest(b[end:]), ErrDigest)
	}
	m.zeros = newZeroDigests(g)
	for id := range block.ID(n) {
		if !m.IsZeroBlock(id) && m.Digest(id) == m.zeros.of(id) {
			return nil, fmt.Errorf("manifest does not mark block %d as zero: %w", id, ErrShape)
		}
	}
	return m, nil
}

// buildRank fills rank and returns the count of zero blocks.
func (m *Manifest) buildRank() (zeros uint32) {
	n := m.geometry.BlockCount()
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

// IsZeroBlock reports whether all bytes of block id, which is below the count of
// blocks, are zero.
func (m *Manifest) IsZeroBlock(id block.ID) bool {
	return m.b[manifestHeaderSize+uint64(id)/8]>>(id%8)&1 != 0
}

// Digest is the digest of the plain bytes of block id, which is below the count of
// blocks.
func (m *Manifest) Digest(id block.ID) Digest {
	if m.IsZeroBlock(id) {
		return m.zeros.of(id)
	}
	n := uint32(id)
	zerosBefore := m.rank[n/rankStride]
	for lo := n / rankStride * rankStride; lo < n; lo += 64 {
		zerosBefore += uint32(bits.OnesCount64(m.word(lo) & (^uint64(0) >> (64 - min(64, n-lo)))))
	}
	return Digest(m.b[digestsAt(m.geometry)+uint64(n-zerosBefore)*DigestSize:])
}

// ImageDigest hashes the digests of all blocks: the caller keeps it.
func (m *Manifest) ImageDigest() Digest { return imageDigest(m.geometry, m.Digest) }

// Geometry is that of the image.
func (m *Manifest) Geometry() block.Geometry { return m.geometry }

// Bytes is the encoded manifest itself, to be read only.
func (m *Manifest) Bytes() []byte { return m.b }
