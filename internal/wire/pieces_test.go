package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestPieces(t *testing.T) {
	p := Pieces{
		Session: 0x0123456789abcdef, Block: 0xabcdef, K: 727, First: 254,
		Digests: List[PieceDigest]{}.Append(0x1122334455667788).Append(0),
	}
	checkVector(t, "pieces", p, ParsePieces)
	checkCommon(t, "pieces", ParsePieces)
	checkRefused(t, "pieces", ParsePieces, []refused{
		{"no digests", set16(2, 0), ErrBounds},
		{"more digests than bytes", set16(2, 3), ErrLength},
		{"more digests than fit", set16(2, MaxPieces+1), ErrBounds},
		{"of the manifest", set8(16, 0x80), ErrBounds},
		{"block over the limit", set32(16, block.MaxBlockCount), ErrBounds},
		{"no symbols", set16(20, 0), ErrBounds},
		{"past the last piece", set16(22, MaxPiecesPerBlock-1), ErrBounds},
	})
	if !panics(func() { Pieces{K: 1}.AppendTo(nil) }) {
		t.Error("no digests are sent")
	}
}

// TestPiecesFit: what MaxPieces says fits, and a block of 1 MiB takes two packets.
func TestPiecesFit(t *testing.T) {
	p := Pieces{K: 1}
	for range MaxPieces {
		p.Digests = p.Digests.Append(1)
	}
	if n := len(p.AppendTo(nil)); n > MaxControlSize || n+pieceDigestSize <= MaxControlSize {
		t.Errorf("%d digests are %d bytes", MaxPieces, n)
	}
	if pieces := block.DefaultBlockSize / block.PieceSize; (pieces+MaxPieces-1)/MaxPieces != 2 {
		t.Errorf("%d pieces in packets of %d", pieces, MaxPieces)
	}
}

func FuzzPieces(f *testing.F) { fuzz(f, ParsePieces) }
