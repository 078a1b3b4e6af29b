package block

import "fmt"

// RawOverhead is the bytes in front of the body of an encoded block: a raw one is so much longer
// than its plain bytes.
const RawOverhead = 44

// Limits of symbols.
const (
	// MaxOverhead is how many bytes longer than its plain bytes an encoded block may
	// be: the codec's header of 44 bytes, and room for an authentication tag.
	MaxOverhead = 64
	// MaxK is what the 16 bits of a packet's K can tell.
	MaxK = 1<<16 - 1
	// MinSymbolSize: a smaller symbol would be mostly headers.
	MinSymbolSize = 64
	// MaxSymbolSize fills the greatest datagram over IPv4 (RFC 791 §3.1), behind the
	// headers of IPv4, UDP and the packet.
	MaxSymbolSize = 1<<16 - 1 - 20 - 8 - 28
	// MaxSymbolID is what a packet's 24 bits can tell: a block of 65535 source symbols
	// still has 16.7 million repair symbols, 24 GB of them at MTU 1500, before the
	// first goes out again.
	MaxSymbolID SymbolID = 1<<24 - 1
)

// SymbolID is the encoding symbol id of RFC 5052 §2: it numbers the symbols of one
// source block. In a block of K source symbols the ids 0 .. K-1 are these, in
// the order of the encoded block's bytes; from K on they are repair symbols, of
// which id K+r is made by row r of the code.
type SymbolID uint32

// IsSource reports whether id is one of k source symbols.
func (id SymbolID) IsSource(k int) bool { return uint64(id) < uint64(k) }

// Row is the row of the code that makes id, a repair symbol of a block of k source
// symbols.
func (id SymbolID) Row(k int) uint32 { return uint32(id) - uint32(k) }

// Cut is an encoded block cut into source symbols. The last may be short; the
// code takes it as filled up with zero bytes to SymbolSize. The methods other than
// Validate expect a valid Cut.
type Cut struct {
	EncodedSize uint32 // bytes of the encoded block, its header included
	SymbolSize  uint16 // bytes of each symbol but the last
}

// Validate says which field holds what it cannot hold.
func (c Cut) Validate() error {
	if c.SymbolSize < MinSymbolSize || c.SymbolSize > MaxSymbolSize {
		return fmt.Errorf("symbol size %d is not within %d to %d", c.SymbolSize, MinSymbolSize, MaxSymbolSize)
	}
	if c.EncodedSize == 0 || c.EncodedSize > MaxBlockSize+MaxOverhead {
		return fmt.Errorf("encoded size %d is not within 1 to %d", c.EncodedSize, MaxBlockSize+MaxOverhead)
	}
	if k := c.K(); k > MaxK {
		return fmt.Errorf("%d bytes are %d symbols of %d bytes, more than %d", c.EncodedSize, k, c.SymbolSize, MaxK)
	}
	return nil
}

// K is the count of source symbols.
func (c Cut) K() int {
	return (int(c.EncodedSize) + int(c.SymbolSize) - 1) / int(c.SymbolSize)
}

// proofGroupBytes is how long a group of source symbols is at most, unless one symbol is longer.
const proofGroupBytes = 16 << 10

// ProofGroup is how many source symbols are proven together, as one group: 11 at MTU 1500.
func ProofGroup(symbolSize uint16) int { return max(1, proofGroupBytes/int(symbolSize)) }

// ProofGroups is the count of groups of a block of k source symbols.
func ProofGroups(k int, symbolSize uint16) int {
	n := ProofGroup(symbolSize)
	return (k + n - 1) / n
}

// MaxProofGroups are those of the greatest block: a group that could hold another symbol is longer
// than half of proofGroupBytes.
const MaxProofGroups = 2*(MaxBlockSize+MaxOverhead)/proofGroupBytes + 2
