package codec

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/zeebo/blake3"

	"multiserver/internal/block"
)

// DigestSize is the bytes of a Digest.
const DigestSize = 32

// Digest is BLAKE3 of something.
type Digest [DigestSize]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// The contexts keep an image's digest, a manifest's and a block's from ever being
// mistaken for each other, whatever bytes the image holds.
const (
	imageContext    = "multiserver 2026 image digest v1"
	manifestContext = "multiserver 2026 manifest v1"
)

// Sum is the digest of a block's plain bytes.
func Sum(plain []byte) Digest { return blake3.Sum256(plain) }

// ZeroDigest is the digest of a block of size zero bytes, computed anew.
func ZeroDigest(size uint32) (d Digest) {
	var zeros [16 << 10]byte
	h := blake3.New()
	for size > 0 {
		n, _ := h.Write(zeros[:min(size, uint32(len(zeros)))])
		size -= uint32(n)
	}
	h.Sum(d[:0])
	return d
}

// imageDigest is the image's digest over those of its blocks.
func imageDigest(g block.Geometry, digestOf func(id block.ID) Digest) (sum Digest) {
	h := blake3.NewDeriveKey(imageContext)
	var head [12]byte
	binary.BigEndian.PutUint64(head[0:], g.ImageSize)
	binary.BigEndian.PutUint32(head[8:], g.BlockSize)
	h.Write(head[:])
	for id := range block.ID(g.BlockCount()) {
		d := digestOf(id)
		h.Write(d[:])
	}
	h.Sum(sum[:0])
	return sum
}

// manifestDigest is the digest of a manifest's bytes in front of its digest.
func manifestDigest(b []byte) (sum Digest) {
	h := blake3.NewDeriveKey(manifestContext)
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}

// ParseDigest reads what String writes.
func ParseDigest(s string) (d Digest, err error) {
	if len(s) != hex.EncodedLen(DigestSize) || strings.ToLower(s) != s {
		return d, fmt.Errorf("a digest has %d hexadecimal digits in lower case", hex.EncodedLen(DigestSize))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("a digest: %w", err)
	}
	return d, nil
}
