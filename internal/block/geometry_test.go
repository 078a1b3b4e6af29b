package block

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestGeometryValidate(t *testing.T) {
	tests := []struct {
		name string
		g    Geometry
		ok   bool
	}{
		{"one byte", Geometry{1, DefaultBlockSize}, true},
		{"least block", Geometry{1 << 30, MinBlockSize}, true},
		{"greatest image of the default", Geometry{MaxBlockCount * DefaultBlockSize, DefaultBlockSize}, true},
		{"greatest image", Geometry{MaxImageSize, MaxBlockSize}, true},
		{"zero value", Geometry{}, false},
		{"no bytes", Geometry{0, DefaultBlockSize}, false},
		{"block size zero", Geometry{1, 0}, false},
		{"block too small", Geometry{1 << 20, MinBlockSize / 2}, false},
		{"block too great", Geometry{1 << 20, MaxBlockSize * 2}, false},
		{"no power of two", Geometry{1 << 20, 3 << 12}, false},
		{"greatest numbers", Geometry{math.MaxUint64, math.MaxUint32}, false},
		{"one block too many", Geometry{MaxBlockCount*MinBlockSize + 1, MinBlockSize}, false},
		{"count that overflows", Geometry{math.MaxUint64, MaxBlockSize}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.g.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate = %v", err)
			}
		})
	}
}

func TestGeometry(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		g        Geometry
		count    uint32
		lastSize int
	}{
		{Geometry{1, mib}, 1, 1},
		{Geometry{mib - 1, mib}, 1, mib - 1},
		{Geometry{mib, mib}, 1, mib},
		{Geometry{mib + 1, mib}, 2, 1},
		{Geometry{10*mib + 77, mib}, 11, 77},
		{Geometry{MaxImageSize, MaxBlockSize}, MaxBlockCount, MaxBlockSize},
		{Geometry{MaxImageSize - 1, MaxBlockSize}, MaxBlockCount, MaxBlockSize - 1},
	}
	for _, tt := range tests {
		if n := tt.g.BlockCount(); n != tt.count {
			t.Errorf("%+v: BlockCount = %d, want %d", tt.g, n, tt.count)
		}
		last := ID(tt.count - 1)
		if size := tt.g.Size(last); size != tt.lastSize {
			t.Errorf("%+v: last Size = %d, want %d", tt.g, size, tt.lastSize)
		}
		if !tt.g.Has(last) || tt.g.Has(last+1) || tt.g.Has(math.MaxUint32) {
			t.Errorf("%+v: Has does not end at %d", tt.g, last)
		}
		if tt.count > 1 && tt.g.Size(0) != int(tt.g.BlockSize) {
			t.Errorf("%+v: Size(0) = %d", tt.g, tt.g.Size(0))
		}
	}
}

// TestExampleOfProtocol holds the figures that docs/protocol.md gives for an instance.
func TestExampleOfProtocol(t *testing.T) {
	const header, symbolSize = 44, 1444
	g := Geometry{ImageSize: 10<<20 + 77, BlockSize: 1 << 20}
	if n := g.BlockCount(); n != 11 {
		t.Errorf("%d blocks", n)
	}
	for _, tt := range []struct {
		id                       ID
		encodedSize, k, lastSize int
	}{{0, 1048620, 727, 276}, {9, 1048620, 727, 276}, {10, 121, 1, 121}} {
		c := Cut{EncodedSize: uint32(header + g.Size(tt.id)), SymbolSize: symbolSize}
		_, lastSize := c.Symbol(SymbolID(c.K() - 1))
		if int(c.EncodedSize) != tt.encodedSize || c.K() != tt.k || lastSize != tt.lastSize {
			t.Errorf("block %d: %+v, K = %d, last symbol of %d bytes", tt.id, c, c.K(), lastSize)
		}
	}
	id, within := g.Find(3_000_000)
	symbol, place := (header+within)/symbolSize, (header+within)%symbolSize
	if id != 2 || within != 902848 || symbol != 625 || place != 392 {
		t.Errorf("byte 3000000 is byte %d of block %d, byte %d of symbol %d", within, id, place, symbol)
	}
}

// drawGeometry yields valid geometries of all magnitudes.
func drawGeometry(t *rapid.T) Geometry {
	blockSize := uint32(MinBlockSize) << rapid.IntRange(0, 12).Draw(t, "blockSizeLog")
	limit := rapid.SampledFrom([]uint64{1, 3 * uint64(blockSize), MaxBlockCount * uint64(blockSize)}).Draw(t, "limit")
	g := Geometry{ImageSize: rapid.Uint64Range(1, limit).Draw(t, "imageSize"), BlockSize: blockSize}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestBlocksTile holds each block's end against the next one's start, around a
// random block and at both ends.
func TestBlocksTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		n := g.BlockCount()
		if g.Offset(0) != 0 {
			t.Fatalf("Offset(0) = %d", g.Offset(0))
		}
		if end := g.Offset(ID(n-1)) + uint64(g.Size(ID(n-1))); end != g.ImageSize {
			t.Fatalf("blocks end at %d of %d", end, g.ImageSize)
		}
		id := ID(rapid.Uint32Range(0, n-1).Draw(t, "id"))
		size := g.Size(id)
		if size < 1 || uint32(size) > g.BlockSize {
			t.Fatalf("Size(%d) = %d", id, size)
		}
		if uint32(id)+1 < n && g.Offset(id)+uint64(size) != g.Offset(id+1) {
			t.Fatalf("block %d ends at %d, the next begins at %d", id, g.Offset(id)+uint64(size), g.Offset(id+1))
		}
		within := rapid.IntRange(0, size-1).Draw(t, "within")
		if gotID, gotWithin := g.Find(g.Offset(id) + uint64(within)); gotID != id || gotWithin != within {
			t.Fatalf("Find(byte %d of block %d) = %d, %d", within, id, gotID, gotWithin)
		}
	})
}

// TestEveryByteInOneSymbol walks all symbols of all blocks of a small image, raw
// behind a header, and counts how often each byte of the image is met.
func TestEveryByteInOneSymbol(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Geometry{ImageSize: rapid.Uint64Range(1, 5*MinBlockSize).Draw(t, "imageSize"), BlockSize: MinBlockSize}
		symbolSize := uint16(rapid.IntRange(MinSymbolSize, 3000).Draw(t, "symbolSize"))
		header := rapid.IntRange(0, MaxOverhead).Draw(t, "header")
		if err := g.ValidateSymbolSize(symbolSize); err != nil {
			t.Fatal(err)
		}
		met := make([]int, g.ImageSize)
		for id := range ID(g.BlockCount()) {
			c := Cut{EncodedSize: uint32(header + g.Size(id)), SymbolSize: symbolSize}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			k := c.K()
			if limit := g.MaxK(id, symbolSize); k > limit {
				t.Fatalf("K = %d, MaxK = %d", k, limit)
			}
			for s := range SymbolID(k) {
				offset, size := c.Symbol(s)
				if size < 1 || size > int(symbolSize) || size < int(symbolSize) && int(s) != k-1 {
					t.Fatalf("symbol %d of %d has %d bytes of %d", s, k, size, symbolSize)
				}
				for i := offset; i < offset+size; i++ {
					if i >= header {
						met[g.Offset(id)+uint64(i-header)]++
					}
				}
			}
		}
		for i, n := range met {
			if n != 1 {
				t.Fatalf("byte %d is in %d symbols", i, n)
			}
		}
	})
}

func TestValidateSymbolSize(t *testing.T) {
	tests := []struct {
		blockSize  uint32
		symbolSize uint16
		ok         bool
	}{
		{DefaultBlockSize, 1444, true},
		{DefaultBlockSize, MinSymbolSize, true},
		{DefaultBlockSize, MaxSymbolSize, true},
		{DefaultBlockSize, MinSymbolSize - 1, false},
		{DefaultBlockSize, MaxSymbolSize + 1, false},
		{DefaultBlockSize, 0, false},
		{MaxBlockSize, 257, true},
		{MaxBlockSize, 256, false}, // 65537 symbols
	}
	for _, tt := range tests {
		g := Geometry{ImageSize: MaxBlockCount * uint64(tt.blockSize), BlockSize: tt.blockSize}
		if err := g.ValidateSymbolSize(tt.symbolSize); (err == nil) != tt.ok {
			t.Errorf("blocks of %d, symbols of %d: %v", tt.blockSize, tt.symbolSize, err)
		}
	}
	// The size of the blocks that there are counts, not the one they could have.
	if err := (Geometry{ImageSize: 1000, BlockSize: MaxBlockSize}).ValidateSymbolSize(MinSymbolSize); err != nil {
		t.Error(err)
	}
}
