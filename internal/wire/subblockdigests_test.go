package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestSubblockDigests(t *testing.T) {
	p := SubblockDigests{
		Session: 0x0123456789abcdef, Block: 0xabcdef, K: 727, First: 254,
		Digests: List[SubblockDigest]{}.Append(0x1122334455667788).Append(0),
	}
	checkVector(t, "sub-block digests", p, ParseSubblockDigests)
	p.SentK = 251
	checkVector(t, "sub-block digests of a compressed block", p, ParseSubblockDigests)
	checkCommon(t, "sub-block digests of a compressed block", ParseSubblockDigests)
	checkRefused(t, "sub-block digests", ParseSubblockDigests, []refused{
		{"no digests", set16(2, 0), ErrBounds},
		{"more digests than bytes", set16(2, 3), ErrLength},
		{"more digests than fit", set16(2, MaxSubblocks+1), ErrBounds},
		{"of the manifest", set8(16, 0x80), ErrBounds},
		{"block over the limit", set32(16, block.MaxBlockCount), ErrBounds},
		{"no symbols", set16(20, 0), ErrBounds},
		{"past the last sub-block", set16(22, MaxSubblocksPerBlock-1), ErrBounds},
	})
	if !panics(func() { SubblockDigests{K: 1}.AppendTo(nil) }) {
		t.Error("no digests are sent")
	}
}

// TestPiecesFit: what MaxSubblocks says fits, and a block of 1 MiB takes two packets.
func TestSubblockDigestsFit(t *testing.T) {
	p := SubblockDigests{K: 1}
	for range MaxSubblocks {
		p.Digests = p.Digests.Append(1)
	}
	if n := len(p.AppendTo(nil)); n > MaxControlSize || n+subblockDigestSize <= MaxControlSize {
		t.Errorf("%d digests are %d bytes", MaxSubblocks, n)
	}
	if subblocks := block.DefaultBlockSize / block.SubblockSize; (subblocks+MaxSubblocks-1)/MaxSubblocks != 2 {
		t.Errorf("%d sub-blocks in packets of %d", subblocks, MaxSubblocks)
	}
}

func FuzzSubblockDigests(f *testing.F) { fuzz(f, ParseSubblockDigests) }
