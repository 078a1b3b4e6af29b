package multiserver

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/codec"
)

// TestSymbolsHeld: every symbol that counts as held has the bytes of the image's, and
// those that lie within pieces that are alike do count.
func TestSymbolsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 70_000).Draw(t, "plain bytes")
		size := rapid.IntRange(50, 9000).Draw(t, "symbol bytes")
		image := make([]byte, n)
		for i := range image {
			image[i] = byte(i * 7)
		}
		there := bytes.Clone(image)
		flipped := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 4).Draw(t, "flipped")
		for _, at := range flipped {
			there[at] ^= 1
		}
		k := (codec.HeaderSize + n + size - 1) / size
		list := &pieceList{k: uint16(k), digests: codec.AppendPieceDigests(nil, image)}
		have := symbolsHeld(list, codec.AppendPieceDigests(nil, there), n, size)
		for i := range k {
			// By the bytes of the plain block that the symbol has.
			lo, hi := max(0, i*size-codec.HeaderSize), min(n, (i+1)*size-codec.HeaderSize)
			near := false // something was flipped in a piece that it touches
			for _, at := range flipped {
				p := at / codec.PieceSize
				near = near || hi > lo && p >= lo/codec.PieceSize && p <= (hi-1)/codec.PieceSize && there[at] != image[at]
			}
			if held := have[i/64]>>(i%64)&1 != 0; held == near {
				t.Fatalf("symbol %d of %d, bytes %d to %d: held %v", i, k, lo, hi, held)
			}
		}
		list.k++
		for _, w := range symbolsHeld(list, list.digests, n, size) {
			if w != 0 {
				t.Fatal("symbols of a block that goes encoded otherwise are held")
			}
		}
	})
}
