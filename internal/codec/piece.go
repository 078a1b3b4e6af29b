package codec

import (
	"encoding/binary"

	"github.com/zeebo/blake3"
)

// PieceSize is the bytes of a piece, as in package block.
const PieceSize = 4 << 10

// PieceDigest is the first 8 bytes of BLAKE3 of a piece of a block's plain bytes, as a
// big-endian number. It only says which bytes of a target are worth trying: the block's
// Digest decides.
type PieceDigest uint64

// AppendPieceDigests appends to dst the digest of each PieceSize bytes of plain, the
// last of which may be fewer.
func AppendPieceDigests(dst []PieceDigest, plain []byte) []PieceDigest {
	for len(plain) > 0 {
		n := min(PieceSize, len(plain))
		sum := blake3.Sum256(plain[:n])
		dst = append(dst, PieceDigest(binary.BigEndian.Uint64(sum[:])))
		plain = plain[n:]
	}
	return dst
}
