package wire

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"multiserver/internal/block"
)

func blockID(i int) block.ID { return block.ID(i) }

// parseSymbol is ParseSymbol in the form of the other parsers.
func parseSymbol(b []byte) (s Symbol, err error) {
	err = ParseSymbol(b, &s)
	return s, err
}

// parseIntact is what a receiver does with a symbol that it wants.
func parseIntact(b []byte) (Symbol, error) {
	s, err := parseSymbol(b)
	if err == nil && !Intact(b) {
		err = ErrChecksum
	}
	return s, err
}

func TestSymbol(t *testing.T) {
	checkVector(t, "symbol", Symbol{
		Session:  0x0123456789abcdef,
		Sequence: 0x0102030405,
		Block:    0x00abcdef,
		Symbol:   730, // the fourth repair symbol
		K:        727,
		Data:     []byte("the symbol's bytes"),
	}, parseIntact)
	checkVector(t, "manifest symbol", Symbol{
		Session:  0x0123456789abcdef,
		Sequence: UnicastSequence + 1,
		Object:   Manifest,
		Block:    2,
		Symbol:   block.MaxSymbolID,
		K:        block.MaxK,
		Data:     []byte{0},
	}, parseIntact)
	checkVector(t, "twin symbol", Symbol{
		Session:  0x0123456789abcdef,
		Sequence: 77,
		Object:   Twin,
		Block:    0x00abcdef,
		Symbol:   5,
		K:        727,
		Data:     []byte("plain bytes"),
	}, parseIntact)
	checkRefused(t, "symbol", parseSymbol, []refused{
		{"empty", func(b []byte) []byte { return nil }, ErrMagic},
		{"MXB 1", func(b []byte) []byte { return append([]byte("MXBP"), b[4:]...) }, ErrMagic},
		{"version", set8(0, 0xb2), VersionError(2)},
		{"type", set8(1, 2), ErrType},
		{"no bytes", func(b []byte) []byte { return b[:SymbolHeaderSize] }, ErrLength},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, MaxPacketSize)...) }, ErrLength},
		{"K 0", set16(2, 0), ErrBounds},
		{"block over the limit", set32(24, 2*block.MaxBlockCount), ErrBounds},
		{"a twin of the manifest", set32(24, 1<<31|block.MaxBlockCount), ErrBounds},
	})
}

// TestSymbolRefused: what is refused leaves the struct alone, which may still hold
// the packet before.
func TestSymbolRefused(t *testing.T) {
	s, _ := parseSymbol(vectors["symbol"])
	for _, b := range [][]byte{nil, vectors["repair advertisement"], set16(2, 0)(bytes.Clone(vectors["manifest symbol"]))} {
		before := s
		if err := ParseSymbol(b, &s); err == nil || !reflect.DeepEqual(s, before) {
			t.Errorf("%x: %v, %+v", b, err, s)
		}
	}
}

// TestSymbolIntact turns every bit of a packet: ParseSymbol or Intact refuses it.
func TestSymbolIntact(t *testing.T) {
	for i := range vectors["symbol"] {
		for bit := range 8 {
			b := bytes.Clone(vectors["symbol"])
			b[i] ^= 1 << bit
			if _, err := parseIntact(b); err == nil {
				t.Errorf("bit %d of byte %d is turned, and the packet intact", bit, i)
			}
		}
	}
}

func TestSymbolSizeFor(t *testing.T) {
	tests := []struct {
		packetSize int
		want       uint16 // 0: an error
	}{
		{1500 - 28, 1444},
		{1500 - 48, 1424},
		{9000 - 28, 8944},
		{MaxPacketSize, block.MaxSymbolSize},
		{65536 - 28, block.MaxSymbolSize}, // a loopback's: no IPv4 packet is that long
		{math.MaxInt, block.MaxSymbolSize},
		{SymbolHeaderSize + block.MinSymbolSize, block.MinSymbolSize},
		{SymbolHeaderSize + block.MinSymbolSize - 1, 0},
		{0, 0},
		{math.MinInt, 0},
	}
	for _, test := range tests {
		got, err := SymbolSizeFor(test.packetSize)
		if got != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("packets of %d bytes: symbols of %d, %v, want %d", test.packetSize, got, err, test.want)
		}
		if got > 0 && test.packetSize <= MaxPacketSize {
			if n := len(Symbol{K: 1, Data: make([]byte, got)}.AppendTo(nil)); n != test.packetSize {
				t.Errorf("%d bytes of symbol are %d of packet, want %d", got, n, test.packetSize)
			}
		}
	}
}

func TestSymbolToBeSent(t *testing.T) {
	good := Symbol{Sequence: MaxSequence, Object: Manifest, Block: block.MaxBlockCount - 1, Symbol: block.MaxSymbolID, K: 1,
		Data: make([]byte, block.MaxSymbolSize)}
	if got, err := parseSymbol(good.AppendTo(nil)); err != nil || got.Sequence != MaxSequence || got.Block != good.Block {
		t.Errorf("the limits: %v", err)
	}
	for name, change := range map[string]func(*Symbol){
		"sequence": func(s *Symbol) { s.Sequence++ },
		"object":   func(s *Symbol) { s.Object = Twin + 1 },
		"block":    func(s *Symbol) { s.Block++ },
		"symbol":   func(s *Symbol) { s.Symbol++ },
		"K":        func(s *Symbol) { s.K-- },
		"no data":  func(s *Symbol) { s.Data = nil },
		"data":     func(s *Symbol) { s.Data = make([]byte, block.MaxSymbolSize+1) },
	} {
		s := good
		change(&s)
		if !panics(func() { s.AppendTo(nil) }) {
			t.Errorf("%s: sent", name)
		}
	}
}

// TestPutHeader: the header is the same whether the bytes are there already or not,
// and no byte of an earlier packet in the buffer shines through.
func TestPutHeader(t *testing.T) {
	s, _ := parseSymbol(vectors["symbol"])
	packet := bytes.Repeat([]byte{0xff}, SymbolHeaderSize)
	packet = append(packet, s.Data...)
	if n := testing.AllocsPerRun(100, func() { s.PutHeader(packet) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !bytes.Equal(packet, vectors["symbol"]) {
		t.Errorf("%x", packet)
	}
}

// FuzzSymbol does not make checksums a condition, as ParseSymbol does not.
func FuzzSymbol(f *testing.F) { fuzz(f, parseSymbol) }

func benchmarkPacket() []byte {
	return Symbol{Session: 1, Sequence: 2, Block: 3, Symbol: 4, K: 727, Data: make([]byte, 1444)}.AppendTo(nil)
}

func BenchmarkParseSymbol(b *testing.B) {
	p := benchmarkPacket()
	var s Symbol
	for b.Loop() {
		if err := ParseSymbol(p, &s); err != nil {
			b.Fatal(err)
		}
		sink += uint64(s.Symbol)
	}
}

func BenchmarkIntact(b *testing.B) {
	p := benchmarkPacket()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if !Intact(p) {
			b.Fatal("not intact")
		}
	}
}

func BenchmarkPutHeader(b *testing.B) {
	p := benchmarkPacket()
	s, _ := parseSymbol(p)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		s.PutHeader(p)
	}
}
