package codec

import (
	"math/rand/v2"
	"testing"

	"multiserver/internal/block"
)

// TestGroupDigests: a block has one digest for each group of symbols, and each tells a wrong bit.
func TestGroupDigests(t *testing.T) {
	for _, size := range []uint16{64, 1424, 1444, 8192, 8193, 40000} {
		for _, k := range []int{1, 10, 11, 12, 23, 200} {
			encoded := make([]byte, k*int(size))
			rand.NewChaCha8([32]byte{3}).Read(encoded)
			digests := AppendGroupDigests(nil, encoded, size)
			if want := block.ProofGroups(k, size); len(digests) != want || want > block.MaxProofGroups {
				t.Fatalf("%d digests of %d symbols of %d bytes, want %d", len(digests), k, size, want)
			}
			at := rand.IntN(len(encoded))
			encoded[at] ^= 4
			bad := at / int(size) / block.ProofGroup(size)
			for i, d := range AppendGroupDigests(nil, encoded, size) {
				if right := d == digests[i]; right != (i != bad) {
					t.Errorf("group %d is right: %v, and byte %d is wrong", i, right, at)
				}
			}
		}
	}
}

// BenchmarkGroupDigests is what a proof takes a server, and a check of all groups a client.
func BenchmarkGroupDigests(b *testing.B) {
	const size = 1444
	encoded := make([]byte, 727*size)
	b.SetBytes(int64(len(encoded)))
	var digests []GroupDigest
	for b.Loop() {
		digests = AppendGroupDigests(digests[:0], encoded, size)
	}
}
