package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestWantedSymbols(t *testing.T) {
	var l List[SymbolRange]
	l = l.Append(SymbolRange{Block: 7, First: 0, Count: 200}).
		Append(SymbolRange{Block: 7, First: 300, Count: 1}).
		Append(SymbolRange{Block: 9, First: 46, Count: 45}).
		Append(SymbolRange{Object: Manifest, Block: 1, First: 65534, Count: 1})
	w := WantedSymbols{Session: 0x0123456789abcdef, Receiver: 0xfedcba9876543210, Highest: 100000, Ranges: l}
	checkVector(t, "wanted symbols", w, ParseWantedSymbols)
	checkCommon(t, "wanted symbols", ParseWantedSymbols)
	checkRefused(t, "wanted symbols", ParseWantedSymbols, []refused{
		{"sequence", set64(24, uint64(MaxSequence)+1), ErrBounds},
		{"more ranges than bytes", set16(2, 5), ErrLength},
		{"empty range", set16(wantedSymbolsSize+6, 0), ErrBounds},
		{"past the last symbol", set16(wantedSymbolsSize+30, 2), ErrBounds},
		{"overlap", set16(wantedSymbolsSize+6, 301), ErrBounds},
		{"blocks descending", set32(wantedSymbolsSize+16, 6), ErrBounds},
		{"manifest before image", set32(wantedSymbolsSize+8, 1<<31), ErrBounds},
		{"block over the limit", set32(wantedSymbolsSize+16, block.MaxBlockCount), ErrBounds},
	})
	w.Ranges = w.Ranges.Append(SymbolRange{Block: 7, First: 0, Count: 1})
	if !panics(func() { w.AppendTo(nil) }) {
		t.Error("ranges out of order are sent")
	}
}

func FuzzWantedSymbols(f *testing.F) { fuzz(f, ParseWantedSymbols) }
