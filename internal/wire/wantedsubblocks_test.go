package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestWantedSubblocks(t *testing.T) {
	w := WantedSubblocks{
		Session: 0x0123456789abcdef, Receiver: 0xfedcba9876543210, Highest: 100000,
		Blocks: List[Range]{}.Append(Range{First: 7, Count: 1}).Append(Range{First: 9, Count: 3}),
	}
	checkVector(t, "wanted sub-blocks", w, ParseWantedSubblocks)
	checkCommon(t, "wanted sub-blocks", ParseWantedSubblocks)
	checkRefused(t, "wanted sub-blocks", ParseWantedSubblocks, []refused{
		{"sequence", set64(24, uint64(MaxSequence)+1), ErrBounds},
		{"more ranges than bytes", set16(2, 3), ErrLength},
		{"more ranges than fit", set16(2, MaxSubblockRanges+1), ErrBounds},
		{"empty range", set32(wantedSubblocksSize+4, 0), ErrBounds},
		{"overlap", set32(wantedSubblocksSize+4, 3), ErrBounds},
		{"of the manifest", set32(wantedSubblocksSize+8, 1<<31), ErrBounds},
		{"too many blocks", set32(wantedSubblocksSize+12, MaxSubblockBlocks), ErrBounds},
		{"past the last block", set32(wantedSubblocksSize+12, block.MaxBlockCount), ErrBounds},
	})
	w.Blocks = w.Blocks.Append(Range{Object: Manifest, Count: 1})
	if !panics(func() { w.AppendTo(nil) }) {
		t.Error("sub-blocks of the manifest are asked for")
	}
}

func FuzzWantedSubblocks(f *testing.F) { fuzz(f, ParseWantedSubblocks) }
