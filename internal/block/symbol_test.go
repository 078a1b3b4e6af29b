package block

import (
	"math"
	"testing"
)

func TestCut(t *testing.T) {
	tests := []struct {
		c        Cut
		k        int
		lastSize int
	}{
		{Cut{44 + 1<<20, 1444}, 727, 276}, // a raw MiB at MTU 1500
		{Cut{44 + 2<<20, 1444}, 1453, 508},
		{Cut{1, 1444}, 1, 1},
		{Cut{1443, 1444}, 1, 1443},
		{Cut{1444, 1444}, 1, 1444},
		{Cut{1445, 1444}, 2, 1},
		{Cut{MaxK * 64, 64}, MaxK, 64},
		{Cut{MaxBlockSize + MaxOverhead, MaxSymbolSize}, 257, MaxBlockSize + MaxOverhead - 256*MaxSymbolSize},
	}
	for _, tt := range tests {
		if err := tt.c.Validate(); err != nil {
			t.Errorf("%+v: %v", tt.c, err)
		}
		if k := tt.c.K(); k != tt.k {
			t.Errorf("%+v: K = %d, want %d", tt.c, k, tt.k)
		}
		offset, size := tt.c.Symbol(SymbolID(tt.k - 1))
		if wantOffset := (tt.k - 1) * int(tt.c.SymbolSize); offset != wantOffset || size != tt.lastSize {
			t.Errorf("%+v: last symbol at %d, %d bytes; want %d, %d", tt.c, offset, size, wantOffset, tt.lastSize)
		}
	}
}

func TestCutValidateHostile(t *testing.T) {
	for _, c := range []Cut{
		{},
		{0, 1444},
		{1 << 20, 0},
		{1 << 20, MinSymbolSize - 1},
		{1 << 20, MaxSymbolSize + 1},
		{MaxK*64 + 1, 64},
		{MaxBlockSize + MaxOverhead + 1, 1444},
		{math.MaxUint32, math.MaxUint16},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v passes", c)
		}
	}
}

func TestSymbolID(t *testing.T) {
	tests := []struct {
		k   int
		row uint32
		id  SymbolID
	}{
		{1, 0, 1},
		{727, 0, 727},
		{727, 9, 736},
		{MaxK, uint32(MaxSymbolID) - MaxK, MaxSymbolID},
	}
	for _, tt := range tests {
		if tt.id.IsSource(tt.k) || tt.id.Row(tt.k) != tt.row {
			t.Errorf("%d of K = %d: source %v, row %d", tt.id, tt.k, tt.id.IsSource(tt.k), tt.id.Row(tt.k))
		}
	}
	if !SymbolID(726).IsSource(727) || SymbolID(727).IsSource(727) {
		t.Error("source symbols of K = 727 do not end at 726")
	}
}
