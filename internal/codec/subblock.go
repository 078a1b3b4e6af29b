package codec

import (
	"encoding/binary"

	"github.com/zeebo/blake3"

	"multiserver/internal/block"
)

// SubblockDigest is the first 8 bytes of BLAKE3 of a sub-block of a block's plain bytes, as a
// big-endian number. It only says which bytes of a target are worth trying: the block's
// Digest decides.
type SubblockDigest uint64

// AppendSubblockDigests appends to dst the digest of each block.SubblockSize bytes of plain, the
// last of which may be fewer.
func AppendSubblockDigests(dst []SubblockDigest, plain []byte) []SubblockDigest {
	for len(plain) > 0 {
		n := min(block.SubblockSize, len(plain))
		sum := blake3.Sum256(plain[:n])
		dst = append(dst, SubblockDigest(binary.BigEndian.Uint64(sum[:])))
		plain = plain[n:]
	}
	return dst
}
