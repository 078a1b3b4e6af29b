package fec

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodeRejectsShapes(t *testing.T) {
	symbols := func(sizes ...int) (dst [][]byte) {
		for _, size := range sizes {
			dst = append(dst, make([]byte, size))
		}
		return dst
	}
	tests := []struct {
		name      string
		dst       [][]byte
		blockSize int
		want      error
	}{
		{"no rows", nil, 0, nil},
		{"one byte", symbols(1), 1, nil},
		{"largest K", symbols(2), 2*MaxSourceSymbols - 1, nil},
		{"empty block", symbols(4), 0, ErrShape},
		{"empty symbol", symbols(0), 10, ErrShape},
		{"unequal symbols", symbols(4, 3), 10, ErrShape},
		{"K too large", symbols(2), 2*MaxSourceSymbols + 1, ErrShape},
	}
	for _, test := range tests {
		var encoder Encoder
		if err := encoder.Encode(test.dst, make([]byte, test.blockSize), 0); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestDecoderRejectsShapes(t *testing.T) {
	var decoder Decoder
	if useful, err := decoder.Add(0, []byte{1}); useful || err != nil || decoder.Solve() != nil {
		t.Error("the zero decoder is not a complete block")
	}
	for _, shape := range [][2]int{{0, 1}, {1, 0}, {1, -1}, {MaxSourceSymbols + 1, 1}} {
		if err := decoder.Reset(make([]byte, shape[0]), shape[1]); err != ErrShape {
			t.Errorf("block of %d, symbol of %d: %v", shape[0], shape[1], err)
		}
	}
	if err := decoder.Reset(make([]byte, 10), 4); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id   SymbolID
		size int
		want error
	}{
		{0, 3, ErrShape},
		{1, 5, ErrShape},
		{2, 0, ErrShape},
		{2, 3, ErrShape}, // its place has 2 bytes
		{3, 3, ErrShape},
		{4, 0, ErrShape},
		{2, 1, nil},
		{0, 4, nil},
		{3, 4, nil},
	}
	for _, test := range tests {
		useful, err := decoder.Add(test.id, make([]byte, test.size))
		if err != test.want || useful != (err == nil) {
			t.Errorf("symbol %d of %d bytes: %t, %v", test.id, test.size, useful, err)
		}
	}
	if err := decoder.Solve(); err != nil || decoder.Missing() != 0 {
		t.Errorf("solve: %v, %d missing", err, decoder.Missing())
	}
}

// TestUnknownLength: the receiver does not know that the last symbol is short.
func TestUnknownLength(t *testing.T) {
	source := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	want := append(slices.Clone(source), 0, 0)
	for lost := range SymbolID(3) {
		block := bytes.Repeat([]byte{0xEE}, 12)
		var decoder Decoder
		if err := decoder.Reset(block, 4); err != nil {
			t.Fatal(err)
		}
		for id := range SymbolID(4) {
			data := refSymbol(source, 4, id)
			if id == 2 {
				data = source[8:]
			}
			if id != lost {
				decoder.Add(id, data)
			}
		}
		if err := decoder.Solve(); err != nil || !bytes.Equal(block, want) {
			t.Errorf("symbol %d lost: %v, %v", lost, err, block)
		}
	}
}

// TestSingular: row 0 and a row with equal factors in both missing columns are
// dependent. The decoder says so, forgets the row for good, and is content with any
// other one, or with either source symbol.
func TestSingular(t *testing.T) {
	const symbolSize, count, a, b = 70, 9, 2, 8
	twin := uint32(1)
	for Coefficient(twin, a) != Coefficient(twin, b) {
		twin++
	}
	source := randomBytes(rand.New(rand.NewPCG(3, 4)), symbolSize*count-5)
	for _, remedy := range []SymbolID{a, b, count + SymbolID(twin) + 1} {
		block := make([]byte, len(source))
		var decoder Decoder
		if err := decoder.Reset(block, symbolSize); err != nil {
			t.Fatal(err)
		}
		add := func(id SymbolID, wantUseful bool) {
			t.Helper()
			data := refSymbol(source, symbolSize, id)
			if id == count-1 {
				data = data[:symbolSize-5]
			}
			if useful, err := decoder.Add(id, data); useful != wantUseful || err != nil {
				t.Fatalf("symbol %d: %t, %v", id, useful, err)
			}
		}
		for id := range SymbolID(count) {
			if id != a && id != b {
				add(id, true)
			}
		}
		add(count, true)
		if err := decoder.Solve(); err != ErrTooFew {
			t.Fatalf("with one row: %v", err)
		}
		add(count+SymbolID(twin), true)
		for range 2 {
			if decoder.Needed() != 0 {
				break
			}
			if err := decoder.Solve(); err != ErrSingular {
				t.Fatalf("with dependent rows: %v", err)
			}
			if decoder.Needed() != 1 || decoder.Missing() != 2 {
				t.Fatalf("%d needed, %d missing", decoder.Needed(), decoder.Missing())
			}
			add(count+SymbolID(twin), false)
		}
		add(remedy, true)
		if err := decoder.Solve(); err != nil || !bytes.Equal(block, source) {
			t.Fatalf("after symbol %d: %v", remedy, err)
		}
	}
}

// TestLargest: the largest K, with rows far out, and symbols as large as no packet's.
func TestLargest(t *testing.T) {
	for _, test := range []struct{ symbolSize, count int }{{3, MaxSourceSymbols}, {100_003, 30}} {
		testLargest(t, test.symbolSize, test.count)
	}
}

func testLargest(t *testing.T, symbolSize, count int) {
	const lost, firstRow = 20, 1<<24 - 10
	source := randomBytes(rand.New(rand.NewPCG(5, 6)), symbolSize*count-1)
	repair := make([][]byte, lost+1)
	for i := range repair {
		repair[i] = make([]byte, symbolSize)
	}
	var encoder Encoder
	if err := encoder.Encode(repair, source, firstRow); err != nil {
		t.Fatal(err)
	}
	block := slices.Clone(source)
	var decoder Decoder
	if err := decoder.Reset(block, symbolSize); err != nil {
		t.Fatal(err)
	}
	step := (count - 1) / lost
	for index := range count {
		place := decoder.place(index)
		if index%step == 0 && index/step < lost || index == count-1 {
			clear(place)
			continue
		}
		if useful, err := decoder.Add(SymbolID(index), place); !useful || err != nil {
			t.Fatalf("source %d: %t, %v", index, useful, err)
		}
	}
	for i, data := range repair {
		decoder.Add(SymbolID(count+firstRow+i), data)
	}
	if decoder.Missing() != lost+1 {
		t.Fatalf("%d missing", decoder.Missing())
	}
	if err := decoder.Solve(); err != nil || !bytes.Equal(block, source) {
		t.Errorf("%d symbols of %d bytes: wrong block, or %v", count, symbolSize, err)
	}
}

// TestWork: what Solve works in is what the missing columns need, as the package
// comment counts it, and nothing where none is missing.
func TestWork(t *testing.T) {
	const symbolSize, count = 70, 500
	source := randomBytes(rand.New(rand.NewPCG(11, 12)), symbolSize*count)
	repair := make([][]byte, 40)
	for i := range repair {
		repair[i] = make([]byte, symbolSize)
	}
	var encoder Encoder
	if err := encoder.Encode(repair, source, 0); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []int{0, 1, 7, 40} {
		var decoder Decoder
		block := make([]byte, len(source))
		if err := decodeBlock(&decoder, block, source, symbolSize, lost, repair[:lost]); err != nil || !bytes.Equal(block, source) {
			t.Fatalf("%d lost: wrong block, or %v", lost, err)
		}
		system, factors := 2*lost*lost, 4*count
		if lost == 0 {
			factors = 0
		}
		if len(decoder.system) != system || len(decoder.columns) != lost || cap(decoder.coefficients) != factors {
			t.Errorf("%d lost: a system of %d bytes, %d columns, %d factors, want %d, %d and %d",
				lost, len(decoder.system), len(decoder.columns), cap(decoder.coefficients), system, lost, factors)
		}
		if lost == 0 && cap(decoder.repair) != 0 {
			t.Error("nothing is missing, and repair symbols are held")
		}
	}
	// Once complete, no symbol is of use.
	var decoder Decoder
	if err := decodeBlock(&decoder, make([]byte, len(source)), source, symbolSize, 0, repair); err != nil || cap(decoder.repair) != 0 {
		t.Errorf("a complete block holds %d bytes of repair, %v", cap(decoder.repair), err)
	}
}

// TestBounded: repair symbols beyond the missing ones and a few are not kept, nor
// more than MaxErasures of them.
func TestBounded(t *testing.T) {
	for _, test := range []struct{ count, sources, want int }{
		{10, 7, 3 + spareRows},
		{10, 0, 10 + spareRows},
		{3 * MaxErasures, 0, MaxErasures + spareRows},
	} {
		var decoder Decoder
		if err := decoder.Reset(make([]byte, test.count), 1); err != nil {
			t.Fatal(err)
		}
		for id := range test.sources {
			decoder.Add(SymbolID(id), []byte{0})
		}
		kept := 0
		for row := range test.want + 50 {
			if useful, _ := decoder.Add(SymbolID(test.count+row), []byte{0}); useful {
				kept++
			}
		}
		if kept != test.want {
			t.Errorf("%v: kept %d", test, kept)
		}
	}
}

// TestRoundTrip: any block, any loss, any order, with duplicates and with source
// symbols that come late. After every symbol the decoder's figures are right, and
// it solves if and only if the reference's rank is K.
func TestRoundTrip(t *testing.T) {
	var ( // used over and over, as they are in the field
		encoder Encoder
		decoder Decoder
	)
	for _, level := range simdLevels {
		t.Run(level, func(t *testing.T) {
			setSIMD(t, level)
			rapid.Check(t, func(t *rapid.T) { testRoundTrip(t, &encoder, &decoder) })
		})
	}
}

func testRoundTrip(t *rapid.T, encoder *Encoder, decoder *Decoder) {
	count := rapid.OneOf(rapid.IntRange(1, 6), rapid.IntRange(1, 60)).Draw(t, "K")
	symbolSize := rapid.OneOf(rapid.IntRange(1, 200), rapid.IntRange(1, 3000)).Draw(t, "symbolSize")
	short := rapid.IntRange(0, symbolSize-1).Draw(t, "short")
	firstRow := rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32Range(0, 1<<24)).Draw(t, "firstRow")
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	source := randomBytes(rng, count*symbolSize-short)

	symbols := make(map[SymbolID][]byte)
	var order []SymbolID
	for index := range count {
		start := index * symbolSize
		symbols[SymbolID(index)] = source[start:min(start+symbolSize, len(source))]
		if !rapid.Bool().Draw(t, "lost") {
			order = append(order, SymbolID(index))
		}
	}
	repair := make([][]byte, count+3)
	for i := range repair {
		repair[i] = make([]byte, symbolSize)
		id := SymbolID(uint32(count) + firstRow + uint32(i))
		symbols[id] = repair[i]
		order = append(order, id)
	}
	if err := encoder.Encode(repair, source, firstRow); err != nil {
		t.Fatal(err)
	}
	order = append(order, order...)
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })

	block := randomBytes(rng, len(source))
	if err := decoder.Reset(block, symbolSize); err != nil {
		t.Fatal(err)
	}
	added := make(map[SymbolID]bool)
	var ids []SymbolID // of those that were of use
	for _, id := range order {
		needed := decoder.Needed()
		useful, err := decoder.Add(id, symbols[id])
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case useful && added[id]:
			t.Fatalf("symbol %d was of use twice", id)
		case !useful && !added[id] && needed > 0:
			t.Fatalf("symbol %d was of no use, though %d are needed", id, needed)
		case !useful && decoder.Needed() != needed:
			t.Fatalf("a symbol of no use changed what is needed from %d to %d", needed, decoder.Needed())
		}
		added[id] = true
		if useful {
			ids = append(ids, id)
		}
		if decoder.Needed() > 0 {
			if err := decoder.Solve(); err != ErrTooFew {
				t.Fatalf("%d needed, and Solve: %v", decoder.Needed(), err)
			}
			continue
		}
		rank, _ := refDecode(count, ids, make([][]byte, len(ids)))
		err = decoder.Solve()
		if rank < count {
			if err != ErrSingular || decoder.Needed() != count-rank {
				t.Fatalf("rank %d of %d: %v, %d needed", rank, count, err, decoder.Needed())
			}
			continue
		}
		if err != nil || decoder.Missing() != 0 || decoder.Needed() != 0 {
			t.Fatalf("rank is K: %v, %d missing", err, decoder.Missing())
		}
		break
	}
	if decoder.Missing() != 0 {
		t.Fatalf("%d missing after %d rows", decoder.Missing(), len(repair))
	}
	if !bytes.Equal(block, source) {
		t.Fatal("wrong block")
	}
}

// FuzzDecode holds the decoder against the reference: the bytes of steps are symbol
// ids, taken in turn. Small shapes make singular sets frequent.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(4), uint8(5), []byte("twelve bytes and a few"), []byte{0, 5, 4, 4, 9, 1, 6})
	f.Add(uint8(1), uint8(1), []byte{7}, []byte{1})
	f.Add(uint8(12), uint8(70), []byte("abc"), []byte{12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 0, 23})
	f.Fuzz(func(t *testing.T, k, size uint8, data, steps []byte) {
		count, symbolSize := int(k%20)+1, int(size)+1
		source := make([]byte, count*symbolSize)
		copy(source, data)
		var (
			decoder Decoder
			ids     []SymbolID
			symbols [][]byte
		)
		block := bytes.Repeat([]byte{0xA5}, len(source))
		if err := decoder.Reset(block, symbolSize); err != nil {
			t.Fatal(err)
		}
		for _, step := range steps[:min(len(steps), 60)] {
			id := SymbolID(step)
			symbol := refSymbol(source, symbolSize, id)
			useful, err := decoder.Add(id, symbol)
			if err != nil {
				t.Fatal(err)
			}
			if useful {
				ids = append(ids, id)
				symbols = append(symbols, symbol)
			}
			if decoder.Needed() > 0 {
				continue
			}
			rank, want := refDecode(count, ids, symbols)
			switch err := decoder.Solve(); {
			case rank < count && (err != ErrSingular || decoder.Needed() != count-rank):
				t.Fatalf("rank %d of %d: %v, %d needed", rank, count, err, decoder.Needed())
			case rank == count && (err != nil || !bytes.Equal(block, want)):
				t.Fatalf("rank is K: wrong block, or %v", err)
			case rank == count:
				return
			}
		}
	})
}

// TestAllocations: with warm memory neither side allocates, whatever the loss and the
// instructions.
func TestAllocations(t *testing.T) {
	for _, level := range simdLevels {
		for _, lost := range []int{0, 1, 7, 50} {
			t.Run(fmt.Sprintf("%s/%d", level, lost), func(t *testing.T) {
				setSIMD(t, level)
				testAllocations(t, lost)
			})
		}
	}
}

func testAllocations(t *testing.T, lost int) {
	const symbolSize, count = 1444, 100
	source := randomBytes(rand.New(rand.NewPCG(7, 8)), symbolSize*count-1)
	repair := make([][]byte, lost+1)
	for i := range repair {
		repair[i] = make([]byte, symbolSize)
	}
	block := make([]byte, len(source))
	var (
		encoder Encoder
		decoder Decoder
	)
	pass := func() {
		if err := encoder.Encode(repair, source, 0); err != nil {
			t.Fatal(err)
		}
		if err := decodeBlock(&decoder, block, source, symbolSize, lost, repair); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	if n := testing.AllocsPerRun(10, pass); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !bytes.Equal(block, source) {
		t.Error("wrong block")
	}
}

// decodeBlock passes source through the decoder, but for lost symbols spread over
// it, for which it passes repair, from row 0 on.
func decodeBlock(decoder *Decoder, block, source []byte, symbolSize, lost int, repair [][]byte) error {
	if err := decoder.Reset(block, symbolSize); err != nil {
		return err
	}
	count := len(decoder.present)
	for index := range count {
		if lost > 0 && index%(count/lost) == 0 && index/(count/lost) < lost {
			continue
		}
		start := index * symbolSize
		if _, err := decoder.Add(SymbolID(index), source[start:min(start+symbolSize, len(source))]); err != nil {
			return err
		}
	}
	for row, data := range repair {
		if _, err := decoder.Add(SymbolID(count+row), data); err != nil {
			return err
		}
	}
	return decoder.Solve()
}

// The benchmarks count source bytes, at the block sizes of DESIGN and 1444-byte
// symbols. go test -bench . -cpu 1 ./internal/fec

func BenchmarkEncode(b *testing.B) {
	benchmark(b, []share{single, 1, 5, 10}, func(b *testing.B, source []byte, repair [][]byte) {
		var encoder Encoder
		for b.Loop() {
			if err := encoder.Encode(repair, source, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDecode includes the copy of every source symbol into the block.
func BenchmarkDecode(b *testing.B) {
	benchmark(b, []share{none, single, 1, 5, 10}, func(b *testing.B, source []byte, repair [][]byte) {
		lost := len(repair)
		if lost > 0 {
			var encoder Encoder
			if err := encoder.Encode(repair, source, 0); err != nil {
				b.Fatal(err)
			}
		}
		block := make([]byte, len(source))
		var decoder Decoder
		for b.Loop() {
			if err := decodeBlock(&decoder, block, source, benchmarkSymbolSize, lost, repair); err != nil {
				b.Fatal(err)
			}
		}
		if !bytes.Equal(block, source) {
			b.Fatal("wrong block")
		}
	})
}

const benchmarkSymbolSize = 1444

// share is the count of repair symbols: a percentage of K, rounded up, or one of these.
type share int

const (
	none   share = -1
	single share = -2
)

func (s share) String() string {
	switch s {
	case none:
		return "none"
	case single:
		return "single"
	}
	return fmt.Sprintf("%d%%", int(s))
}

func (s share) of(count int) int {
	switch s {
	case none:
		return 0
	case single:
		return 1
	}
	return (count*int(s) + 99) / 100
}

// benchmark runs f for each level, K and share.
func benchmark(b *testing.B, shares []share, f func(b *testing.B, source []byte, repair [][]byte)) {
	for _, level := range simdLevels {
		for _, count := range []int{727, 1454} {
			source := randomBytes(rand.New(rand.NewPCG(9, 10)), count*benchmarkSymbolSize)
			for _, share := range shares {
				repair := make([][]byte, share.of(count))
				for i := range repair {
					repair[i] = make([]byte, benchmarkSymbolSize)
				}
				b.Run(fmt.Sprintf("%s/K=%d/repair=%v", level, count, share), func(b *testing.B) {
					setSIMD(b, level)
					b.SetBytes(int64(len(source)))
					b.ReportAllocs()
					f(b, source, repair)
				})
			}
		}
	}
}
