package block

import "fmt"

// Limits of an object and its blocks. Whatever arrives from the network is held
// against them by Validate before anything is allocated or computed from it.
const (
	// DefaultBlockSize: 2 MiB would save 0.6% of repair at ten thousand receivers
	// and halve the speed of decoding.
	DefaultBlockSize = 1 << 20
	// MinBlockSize is the sector of present disks, and so the unit of direct I/O.
	MinBlockSize = 4 << 10
	// MaxBlockSize keeps four blocks within a window of 64 MiB.
	MaxBlockSize = 16 << 20
	// MaxBlockCount is 64 TiB of image at the default size. At 64 bytes a block it
	// bounds what a forged description can make a receiver allocate at 4 GiB.
	MaxBlockCount = 1 << 26
	// SubblockSize is the bytes of a sub-block, the unit in which a block is compared with
	// what a target holds in its place: the page of file systems. The image's last may be
	// shorter.
	SubblockSize = 4 << 10
	// MaxImageSize is 1 PiB.
	MaxImageSize = MaxBlockCount * MaxBlockSize
)

// ID numbers the source blocks of an object from 0; the source block number of
// RFC 5052.
type ID uint32

// Geometry cuts an object, the image or its manifest, into source blocks of
// BlockSize bytes, of which the last may be shorter; none is empty. The methods
// other than Validate expect a valid Geometry and an ID below BlockCount.
type Geometry struct {
	ImageSize uint64 // bytes of the object: 1 .. MaxImageSize
	BlockSize uint32 // bytes: a power of two, MinBlockSize .. MaxBlockSize
}

// Validate says which field holds what it cannot hold.
func (g Geometry) Validate() error {
	// A power of two keeps blocks of different sessions aligned with each other and
	// with sectors, so that an old target serves a new block size.
	if g.BlockSize < MinBlockSize || g.BlockSize > MaxBlockSize || g.BlockSize&(g.BlockSize-1) != 0 {
		return fmt.Errorf("block size %d is no power of two from %d to %d", g.BlockSize, MinBlockSize, MaxBlockSize)
	}
	if g.ImageSize == 0 || g.ImageSize > MaxBlockCount*uint64(g.BlockSize) {
		return fmt.Errorf("image size %d is not within 1 to %d, the limit with blocks of %d bytes",
			g.ImageSize, MaxBlockCount*uint64(g.BlockSize), g.BlockSize)
	}
	return nil
}

// ValidateSymbolSize reports whether blocks of this Geometry can be cut into symbols
// of symbolSize bytes: MinSymbolSize .. MaxSymbolSize, and at most MaxK a block.
func (g Geometry) ValidateSymbolSize(symbolSize uint16) error {
	// Only the first block matters: no other is longer.
	return Cut{EncodedSize: uint32(g.Size(0)) + MaxOverhead, SymbolSize: symbolSize}.Validate()
}

// BlockCount is the count of source blocks, 1 .. MaxBlockCount.
func (g Geometry) BlockCount() uint32 {
	return uint32((g.ImageSize + uint64(g.BlockSize) - 1) / uint64(g.BlockSize))
}

// Has reports whether there is a block id.
func (g Geometry) Has(id ID) bool { return uint32(id) < g.BlockCount() }

// Offset is where block id begins in the object, in bytes.
func (g Geometry) Offset(id ID) uint64 { return uint64(id) * uint64(g.BlockSize) }

// Size is the count of plain bytes of block id: BlockSize, or what is left for the
// last.
func (g Geometry) Size(id ID) int {
	return int(min(uint64(g.BlockSize), g.ImageSize-g.Offset(id)))
}

// Find returns the block that holds the object's byte at offset, which is below
// ImageSize, and the byte's place in the block.
func (g Geometry) Find(offset uint64) (id ID, within int) {
	return ID(offset / uint64(g.BlockSize)), int(offset % uint64(g.BlockSize))
}

// MaxK is the greatest count of source symbols that block id can have, however it
// is encoded. A receiver holds the K of a packet against it before it makes room.
func (g Geometry) MaxK(id ID, symbolSize uint16) int {
	return Cut{EncodedSize: uint32(g.Size(id)) + MaxOverhead, SymbolSize: symbolSize}.K()
}

// RawK is the count of source symbols of block id where it is encoded as raw.
func (g Geometry) RawK(id ID, symbolSize uint16) int {
	return Cut{EncodedSize: uint32(g.Size(id)) + RawOverhead, SymbolSize: symbolSize}.K()
}
