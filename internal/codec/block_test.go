package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/block"
)

// pattern is n bytes that repeat after 251: no period of a block or a symbol.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestBlockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := make([]byte, rapid.IntRange(1, 20_000).Draw(t, "size"))
		rng := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
		rng.Read(plain)

		buf := make([]byte, HeaderSize, HeaderSize+len(plain))
		buf = append(buf, plain...)
		sum := EncodeHeaderInto(buf[:HeaderSize], buf[HeaderSize:])
		if want := Encode([]byte("kept"), plain); !bytes.Equal(want[4:], buf) || string(want[:4]) != "kept" {
			t.Fatal("Encode and EncodeHeaderInto differ")
		}

		padded := append(buf, make([]byte, rapid.IntRange(0, 2000).Draw(t, "padding"))...)
		got, gotSum, err := new(Decoder).Decode(nil, padded, len(plain))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, plain) || gotSum != sum || sum != Sum(plain) {
			t.Fatal("another block comes back")
		}
		if &got[0] != &padded[HeaderSize] {
			t.Fatal("a raw block was copied")
		}
		if cap(got) != len(got) {
			t.Fatal("appending to the plain bytes would reach the padding")
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	plain := pattern(1000)
	good := Encode(nil, plain)
	tests := []struct {
		name      string
		plainSize int
		edit      func(b []byte) []byte
		want      error
	}{
		{"nothing", 1000, func(b []byte) []byte { return nil }, ErrShape},
		{"half a header", 1000, func(b []byte) []byte { return b[:HeaderSize-1] }, ErrShape},
		{"no body", 1000, func(b []byte) []byte { return b[:HeaderSize] }, ErrShape},
		{"one byte short", 1000, func(b []byte) []byte { return b[:len(b)-1] }, ErrShape},
		{"another block's size", 999, func(b []byte) []byte { return b }, ErrShape},
		{"negative size", -1, func(b []byte) []byte { return b }, ErrShape},
		{"zero plain size", 0, func(b []byte) []byte { clear(b[4:12]); return b }, ErrShape},
		{"greatest plain size", 1<<31 - 1, func(b []byte) []byte { copy(b[4:], bytes.Repeat([]byte{255}, 8)); return b }, ErrShape},
		{"plain size over the limit", block.MaxBlockSize + 1, func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[4:], block.MaxBlockSize+1)
			binary.BigEndian.PutUint32(b[8:], block.MaxBlockSize+1)
			return b
		}, ErrShape},
		{"body size differs", 1000, func(b []byte) []byte { b[11]--; return b }, ErrShape},
		{"zstd that is none", 1000, func(b []byte) []byte { b[0] = 1; return b }, ErrShape},
		{"no body at all", 1000, func(b []byte) []byte { b[0] = 1; clear(b[8:12]); return b }, ErrShape},
		{"body too long", 1000, func(b []byte) []byte {
			b[0] = 1
			binary.BigEndian.PutUint32(b[8:], 1021)
			return append(b, make([]byte, 100)...)
		}, ErrShape},
		{"s2", 1000, func(b []byte) []byte { b[0] = 2; return b }, ErrCodec},
		{"encrypted", 1000, func(b []byte) []byte { b[0] = 3; return b }, ErrCodec},
		{"no codec of ours", 1000, func(b []byte) []byte { b[0] = 255; return b }, ErrCodec},
		{"digest", 1000, func(b []byte) []byte { b[12] ^= 1; return b }, ErrDigest},
		{"first byte", 1000, func(b []byte) []byte { b[HeaderSize] ^= 1; return b }, ErrDigest},
		{"last byte", 1000, func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b }, ErrDigest},
		{"reserved bytes", 1000, func(b []byte) []byte { b[1], b[2], b[3] = 1, 2, 3; return b }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, sum, err := new(Decoder).Decode(nil, tt.edit(bytes.Clone(good)), tt.plainSize)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if tt.want != nil && (got != nil || sum != Digest{}) {
				t.Error("bytes or a digest come with an error")
			}
			if tt.want == nil && !bytes.Equal(got, plain) {
				t.Error("another block comes back")
			}
		})
	}
}

// TestEncodePanics: a block that no geometry makes is a fault of the caller.
func TestEncodePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"empty":        func() { Encode(nil, nil) },
		"too long":     func() { Encode(nil, make([]byte, block.MaxBlockSize+1)) },
		"short header": func() { EncodeHeaderInto(make([]byte, HeaderSize-1), []byte{1}) },
		"long header":  func() { EncodeHeaderInto(make([]byte, HeaderSize+1), []byte{1}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestIsZero(t *testing.T) {
	if !IsZero(nil) {
		t.Error("no bytes are not zero")
	}
	for size := 1; size < 200; size++ {
		b := make([]byte, size+1)
		b[size] = 1 // just outside
		b = b[:size]
		if !IsZero(b) {
			t.Fatalf("%d zeros are not", size)
		}
		for i := range b {
			b[i] = 0x80
			if IsZero(b) {
				t.Fatalf("byte %d of %d is not seen", i, size)
			}
			b[i] = 0
		}
		for i := range b {
			b[i] = 7
		}
		if IsZero(b) {
			t.Fatalf("%d equal bytes count as zeros", size)
		}
	}
}

func TestBlockAllocates(t *testing.T) {
	buf := Encode(nil, pattern(100_000))
	header := make([]byte, HeaderSize)
	zeros := make([]byte, 100_000)
	for name, f := range map[string]func(){
		"EncodeHeaderInto": func() { EncodeHeaderInto(header, buf[HeaderSize:]) },
		"Decode": func() {
			if _, _, err := new(Decoder).Decode(nil, buf, 100_000); err != nil {
				t.Error(err)
			}
		},
		"IsZero": func() {
			if !IsZero(zeros) {
				t.Error("zeros are not")
			}
		},
	} {
		if n := testing.AllocsPerRun(20, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// FuzzDecode: whatever decodes has the digest that it says, and encoding it
// yields the same bytes but for the reserved ones.
func FuzzDecode(f *testing.F) {
	f.Add(Encode(nil, []byte("a")), 1)
	f.Add(Encode(nil, pattern(300)), 300)
	f.Add(append(Encode(nil, pattern(300)), 0, 0, 0), 300)
	f.Add(Header{Codec: 1, PlainSize: 9, BodySize: 4}.AppendTo(nil), 9)
	f.Fuzz(func(t *testing.T, b []byte, plainSize int) {
		plain, sum, err := new(Decoder).Decode(nil, b, plainSize)
		if err != nil {
			if !errors.Is(err, ErrShape) && !errors.Is(err, ErrDigest) && !errors.Is(err, ErrCodec) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(plain) != plainSize || sum != Sum(plain) {
			t.Fatalf("%d bytes of %d with digest %v", len(plain), plainSize, sum)
		}
		again := Encode(nil, plain)
		copy(again[1:4], b[1:4])
		if !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x encodes as %x", b, again)
		}
	})
}

func BenchmarkEncodeHeaderInto(b *testing.B) {
	buf := make([]byte, HeaderSize+1<<20)
	copy(buf[HeaderSize:], pattern(1<<20))
	b.SetBytes(1 << 20)
	for b.Loop() {
		EncodeHeaderInto(buf[:HeaderSize], buf[HeaderSize:])
	}
}

func BenchmarkDecode(b *testing.B) {
	buf := Encode(nil, pattern(1<<20))
	b.SetBytes(1 << 20)
	for b.Loop() {
		if _, _, err := new(Decoder).Decode(nil, buf, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIsZero holds IsZero against the two other ways that the library offers.
func BenchmarkIsZero(b *testing.B) {
	page := make([]byte, 4096)
	zeros := make([]byte, 1<<20)
	for _, way := range []struct {
		name string
		f    func(b []byte) bool
	}{
		{"IsZero", IsZero},
		{"page", func(b []byte) bool {
			for ; len(b) >= len(page); b = b[len(page):] {
				if !bytes.Equal(b[:len(page)], page) {
					return false
				}
			}
			return bytes.Equal(b, page[:len(b)])
		}},
		{"words", func(b []byte) bool {
			for ; len(b) >= 32; b = b[32:] {
				if binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|
					binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]) != 0 {
					return false
				}
			}
			for _, c := range b {
				if c != 0 {
					return false
				}
			}
			return true
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(int64(len(zeros)))
			for b.Loop() {
				if !way.f(zeros) {
					b.Fatal("zeros are not")
				}
			}
		})
	}
}

// encodeZstd is the encoded block of plain whose body is frame.
func encodeZstd(plain, frame []byte) []byte {
	h := Header{Codec: Zstd, PlainSize: uint32(len(plain)), BodySize: uint32(len(frame)), Digest: Sum(plain)}
	return append(h.AppendTo(nil), frame...)
}

// TestZstdBlock: a body that is exactly one frame of the plain bytes is decoded into the memory that
// is there, and no other body is.
func TestZstdBlock(t *testing.T) {
	plain := mixed(7, 100_000)
	frame := NewZstdEncoder(Fastest, false).Append(nil, plain)
	other := NewZstdEncoder(Fastest, false).Append(nil, mixed(8, 100_000))
	dst := make([]byte, 0, 100_000)
	d := new(Decoder)
	for _, tt := range []struct {
		name string
		body []byte
		want error
	}{
		{"the frame", frame, nil},
		{"with zstd's checksum", NewZstdEncoder(Fastest, true).Append(nil, plain), nil},
		{"of another block", other, ErrDigest},
		{"twice", append(bytes.Clone(frame), frame...), ErrShape},
		{"with a byte behind it", append(bytes.Clone(frame), 0), ErrShape},
		{"cut", frame[:len(frame)-1], ErrShape},
		{"a skippable frame before it", append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, frame...), ErrShape},
	} {
		padded := append(encodeZstd(plain, tt.body), make([]byte, 333)...)
		got, sum, err := d.Decode(dst, padded, len(plain))
		if !errors.Is(err, tt.want) || err == nil && tt.want != nil {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if tt.want != nil {
			if got != nil {
				t.Errorf("%s: bytes come with the error", tt.name)
			}
			continue
		}
		if !bytes.Equal(got, plain) || sum != Sum(plain) || &got[0] != &dst[:1][0] {
			t.Errorf("%s: another block comes back, or elsewhere", tt.name)
		}
	}
}

func TestSaves(t *testing.T) {
	for _, tt := range []struct {
		body, plain int
		want        bool
	}{{64, 64, false}, {63, 64, true}, {64, 65, false}, {1 << 20, 1 << 20, false}, {1<<20 - 1<<14, 1 << 20, true}, {1<<20 - 1<<14 + 1, 1 << 20, false}, {1, 1, false}} {
		if got := Saves(tt.body, tt.plain); got != tt.want {
			t.Errorf("a body of %d bytes for %d: %v", tt.body, tt.plain, got)
		}
	}
}
