package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestBlockProof(t *testing.T) {
	p := BlockProof{
		Session: 0x0123456789abcdef, Private: 0x99aabbccddeeff00, Object: Image, Block: 0xabcdef, K: 727, First: 65,
		Digests: List[SymbolGroup]{}.Append(SymbolGroup{0: 0xc0, 15: 1}).Append(SymbolGroup{0: 0xc1, 15: 2}),
	}
	checkVector(t, "block proof", p, ParseBlockProof)
	checkCommon(t, "block proof", ParseBlockProof)
	checkRefused(t, "block proof", ParseBlockProof, []refused{
		{"no digests", set16(2, 0), ErrBounds},
		{"more digests than bytes", set16(2, 3), ErrLength},
		{"more digests than fit", set16(2, MaxSymbolGroups+1), ErrBounds},
		{"block over the limit", set32(24, block.MaxBlockCount), ErrBounds},
		{"digests of zeros", set16(28, 0), ErrBounds},
		{"past the last group", set16(30, block.MaxProofGroups-1), ErrBounds},
	})
	if !panics(func() { BlockProof{K: 1}.AppendTo(nil) }) {
		t.Error("no digests are sent")
	}
	zeros := BlockProof{Session: 1, Private: 2, Block: 3}
	if got, err := ParseBlockProof(zeros.AppendTo(nil)); err != nil || got.K != 0 || got.Block != 3 {
		t.Errorf("a block of zeros: %+v, %v", got, err)
	}
	zeros.Object = Manifest
	if !panics(func() { zeros.AppendTo(nil) }) {
		t.Error("the manifest has a block of zeros")
	}
}

// TestBlockProofFits: what MaxSymbolGroups says fits, and a block of 1 MiB takes one packet.
func TestBlockProofFits(t *testing.T) {
	p := BlockProof{K: 1}
	for range MaxSymbolGroups {
		p.Digests = p.Digests.Append(SymbolGroup{})
	}
	if n := len(p.AppendTo(nil)); n > MaxControlSize || n+symbolGroupSize <= MaxControlSize {
		t.Errorf("%d digests are %d bytes", MaxSymbolGroups, n)
	}
	if groups := block.ProofGroups(727, 1444); groups > MaxSymbolGroups {
		t.Errorf("%d groups, and a packet holds %d", groups, MaxSymbolGroups)
	}
}

func FuzzBlockProof(f *testing.F) { fuzz(f, ParseBlockProof) }
