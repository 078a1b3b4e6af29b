package codec

import (
	"github.com/zeebo/blake3"

	"multiserver/internal/block"
)

// GroupDigest is the first 16 bytes of BLAKE3 of a group of source symbols, as a block's proof has
// it. A sender tells it to one receiver alone: it needs no more.
type GroupDigest [16]byte

// SumGroup is the digest of a group of source symbols.
func SumGroup(symbols []byte) GroupDigest {
	sum := blake3.Sum256(symbols)
	return GroupDigest(sum[:16])
}

// AppendGroupDigests appends to dst the digest of each group of an encoded block, which is a whole
// number of symbols.
func AppendGroupDigests(dst []GroupDigest, encoded []byte, symbolSize uint16) []GroupDigest {
	n := block.ProofGroup(symbolSize) * int(symbolSize)
	for len(encoded) > 0 {
		group := encoded[:min(n, len(encoded))]
		dst = append(dst, SumGroup(group))
		encoded = encoded[len(group):]
	}
	return dst
}
