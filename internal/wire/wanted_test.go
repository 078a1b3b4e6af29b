package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestWanted(t *testing.T) {
	var l List[Range]
	l = l.Append(Range{First: 10, Count: 5}).
		Append(Range{First: 15, Count: 1}).
		Append(Range{First: 4000, Count: 96}).
		Append(Range{Object: Manifest, First: 0, Count: 1})
	w := Wanted{
		Session:    0x0123456789abcdef,
		Receiver:   0xfedcba9876543210,
		Highest:    100000,
		Generation: 3,
		Page:       1,
		Pages:      2,
		Ranges:     l,
	}
	checkVector(t, "wanted", w, ParseWanted)
	checkCommon(t, "wanted", ParseWanted)
	checkRefused(t, "wanted", ParseWanted, []refused{
		{"sequence", set64(24, uint64(MaxSequence)+1), ErrBounds},
		{"page past the last", set16(36, 2), ErrBounds},
		{"no pages", set16(38, 0), ErrBounds},
		{"too many pages", set16(38, MaxPages+1), ErrBounds},
		{"more ranges than bytes", set16(2, 5), ErrLength},
		{"empty range", set32(wantedSize+4, 0), ErrBounds},
		{"overlap", set32(wantedSize+4, 6), ErrBounds},
		{"descending", set32(wantedSize+8, 9), ErrBounds},
		{"past the last block", set32(wantedSize+20, block.MaxBlockCount-3999), ErrBounds},
		{"sum over 32 bits", set32(wantedSize+20, 1<<32-1), ErrBounds},
		{"manifest before image", set32(wantedSize+16, 1<<31|1), ErrBounds},
	})
	if !panics(func() { Wanted{}.AppendTo(nil) }) {
		t.Error("a list of no pages is sent")
	}
	w.Ranges = w.Ranges.Append(Range{Object: Manifest, First: 0, Count: 1})
	if !panics(func() { w.AppendTo(nil) }) {
		t.Error("ranges that overlap are sent")
	}
}

func TestWantedNothing(t *testing.T) {
	w, err := ParseWanted(Wanted{Pages: 1}.AppendTo(nil))
	if err != nil || w.Ranges.Len() != 0 {
		t.Errorf("%d ranges, %v", w.Ranges.Len(), err)
	}
}

func FuzzWanted(f *testing.F) { fuzz(f, ParseWanted) }
