package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"multiserver/internal/block"
)

// mixed returns bytes of which about half compress well.
func mixed(seed uint64, size int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, size)
	for at := 0; at < size; {
		n := min(size-at, 1+rng.IntN(5000))
		if rng.IntN(2) == 0 {
			for i := range n {
				b[at+i] = byte(rng.Uint32())
			}
		} else {
			copy(b[at:at+n], bytes.Repeat([]byte("the same again, "), n/16+1))
		}
		at += n
	}
	return b
}

func TestZstdRoundTrip(t *testing.T) {
	d := NewZstdDecoder(true)
	for level := Fastest; level <= Best; level++ {
		for _, checksums := range []bool{false, true} {
			e := NewZstdEncoder(level, checksums)
			for _, size := range []int{1, 2, 255, 256, 257, 65791, 65792, 128<<10 + 1, 1 << 20, 1<<20 + 3} {
				for seed, plain := range [][]byte{mixed(1, size), make([]byte, size), randomBytes(size)} {
					frame := e.Append(nil, plain)
					got, err := d.Decode(nil, frame, size)
					if err != nil || !bytes.Equal(got, plain) {
						t.Fatalf("%v, checksums %v, %d bytes, kind %d: %v", level, checksums, size, seed, err)
					}
				}
			}
		}
	}
	e := NewZstdEncoder(Fastest, false)
	large := mixed(2, block.MaxBlockSize)
	if got, err := d.Decode(nil, e.Append(nil, large), len(large)); err != nil || !bytes.Equal(got, large) {
		t.Errorf("the largest block: %v", err)
	}
}

func randomBytes(size int) []byte {
	b := make([]byte, size)
	chacha := rand.NewChaCha8([32]byte{byte(size)})
	chacha.Read(b)
	return b
}

// TestZstdEncodesAlike: a block that is encoded again, by an encoder with another history, has
// the same bytes. Receivers keep symbols of both.
func TestZstdEncodesAlike(t *testing.T) {
	const blocks, size = 60, 200_000
	for _, level := range []Level{Fastest, Default} {
		forth, back := NewZstdEncoder(level, true), NewZstdEncoder(level, true)
		var frames [blocks][]byte
		for i := range blocks {
			frames[i] = forth.Append(nil, mixed(uint64(i), size))
		}
		for i := blocks - 1; i >= 0; i-- {
			if !bytes.Equal(back.Append(nil, mixed(uint64(i), size)), frames[i]) {
				t.Fatalf("%v: block %d is encoded differently", level, i)
			}
		}
	}
}

func TestZstdRefuses(t *testing.T) {
	plain := mixed(3, 5000)
	frame := NewZstdEncoder(Fastest, true).Append(nil, plain)
	edit := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(frame)) }
	withWindow := func(options ...zstd.EOption) []byte {
		e, err := zstd.NewWriter(nil, options...)
		if err != nil {
			t.Fatal(err)
		}
		return e.EncodeAll(plain, nil)
	}
	dictionary := []byte("a dictionary of raw bytes, some of which are the same again, ")
	noSize := []byte{0x28, 0xB5, 0x2F, 0xFD, 0, 0x38, 1 | zstdRLE<<1, 0x40, 0x9C & 0xF8, 0} // a window, no content size
	tests := []struct {
		name  string
		frame []byte
		size  int
		want  error
	}{
		{"as it is", frame, 5000, nil},
		{"with a window", withWindow(zstd.WithWindowSize(1 << 20)), 5000, nil},
		{"a smaller size", frame, 4999, ErrShape},
		{"a larger size", frame, 5001, ErrShape},
		{"size 0", frame, 0, ErrShape},
		{"an impossible size", frame, block.MaxBlockSize + 1, ErrShape},
		{"nothing", nil, 5000, ErrShape},
		{"two frames", append(bytes.Clone(frame), frame...), 5000, ErrShape},
		{"a skippable frame before", append([]byte{0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0}, frame...), 5000, ErrShape},
		{"a skippable frame behind", append(bytes.Clone(frame), 0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0), 5000, ErrShape},
		{"a byte behind", append(bytes.Clone(frame), 0), 5000, ErrShape},
		{"a byte short", frame[:len(frame)-1], 5000, ErrShape},
		{"magic", edit(func(b []byte) []byte { b[0]++; return b }), 5000, ErrShape},
		{"a reserved bit", edit(func(b []byte) []byte { b[4] |= 8; return b }), 5000, ErrShape},
		{"a dictionary", withWindow(zstd.WithEncoderDictRaw(7, dictionary), zstd.WithSingleSegment(true)), 5000, ErrShape},
		{"a window of 1 GiB", func() []byte {
			b := withWindow(zstd.WithWindowSize(1 << 20))
			if b[4]&zstdSingleSegment != 0 {
				// Made one with a window: descriptor, window, and the size as it was.
				b = append(append(append([]byte{}, b[:4]...), b[4]&^zstdSingleSegment, 20<<3), b[5:]...)
			} else {
				b[5] = 20 << 3
			}
			return b
		}(), 5000, ErrShape},
		{"no content size", noSize, 5000, ErrShape},
		{"a checksum", edit(func(b []byte) []byte { b[len(b)-1]++; return b }), 5000, ErrDigest},
		{"a byte inside", edit(func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b }), 5000, ErrDigest},
	}
	d := NewZstdDecoder(true)
	for _, tt := range tests {
		if _, err := d.Decode(nil, tt.frame, tt.size); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for n := range len(frame) {
		if _, err := d.Decode(nil, frame[:n], 5000); err == nil {
			t.Errorf("cut at %d it decodes", n)
		}
	}
}

// bomb is a frame of about 1 KiB that claims size bytes and holds 16 MiB.
func bomb(size uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	b = append(b, 2<<6|zstdSingleSegment)
	b = binary.LittleEndian.AppendUint32(b, size)
	for i := range uint32(128) {
		head := uint32(zstdMaxBlock)<<3 | zstdRLE<<1
		if i == 127 {
			head |= 1
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 7)
	}
	return b
}

// literalBomb is a frame that claims size bytes, and holds 16 MiB in blocks of one literal byte
// again and again.
func literalBomb(size uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	b = append(b, 2<<6|zstdSingleSegment)
	b = binary.LittleEndian.AppendUint32(b, size)
	for i := range uint32(128) {
		const blockSize = 5 // three of the literals' header, the byte, and no sequences
		head := uint32(blockSize)<<3 | zstdCompressed<<1
		if i == 127 {
			head |= 1
		}
		literals := uint32(zstdMaxBlock)<<4 | 3<<2 | 1
		b = append(b, byte(head), byte(head>>8), byte(head>>16), byte(literals), byte(literals>>8), byte(literals>>16), 7, 0)
	}
	return b
}

// TestZstdBombs: a frame that holds more than it claims, or than it should, takes no more
// memory than the block that it should be.
func TestZstdBombs(t *testing.T) {
	const size = 1 << 20
	d := NewZstdDecoder(false)
	frame := NewZstdEncoder(Fastest, false).Append(nil, mixed(1, size))
	if _, err := d.Decode(nil, frame, size); err != nil { // what a decoder keeps for all blocks
		t.Fatal(err)
	}
	for _, claims := range []uint32{size, block.MaxBlockSize, 1 << 31} {
		for _, b := range [][]byte{bomb(claims), literalBomb(claims)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := d.Decode(nil, b, size)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("16 MiB in %d bytes that claim %d decode as a block of %d", len(b), claims, size)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > size+1<<20 {
				t.Errorf("16 MiB in %d bytes that claim %d take %d bytes of memory", len(b), claims, took)
			}
		}
	}
	// Right when a block of 16 MiB is expected.
	if plain, err := d.Decode(nil, bomb(block.MaxBlockSize), block.MaxBlockSize); err != nil || len(plain) != block.MaxBlockSize {
		t.Error(err)
	}
	if plain, err := d.Decode(nil, literalBomb(block.MaxBlockSize), block.MaxBlockSize); err != nil || len(plain) != block.MaxBlockSize {
		t.Error(err)
	}
}

// TestZeroFrame: the frames of zeros are those of their size, and the zstd program takes them.
func TestZeroFrame(t *testing.T) {
	d := NewZstdDecoder(true)
	for _, size := range []int{1, zstdMaxBlock - 1, zstdMaxBlock, zstdMaxBlock + 1, 5<<20 + 17} {
		frame := AppendZeroFrame(nil, uint64(size))
		if uint64(len(frame)) != ZeroFrameSize(uint64(size)) {
			t.Errorf("%d zeros in %d bytes, want %d", size, len(frame), ZeroFrameSize(uint64(size)))
		}
		plain, err := d.Decode(nil, frame, size)
		if err != nil || !bytes.Equal(plain, make([]byte, size)) {
			t.Errorf("%d zeros: %v", size, err)
		}
		if _, err := exec.LookPath("zstd"); err != nil {
			t.Skip("needs the zstd program: apt-get install zstd")
		}
		program := exec.Command("zstd", "-dc")
		program.Stdin = bytes.NewReader(frame)
		out, err := program.Output()
		if err != nil || !bytes.Equal(out, make([]byte, size)) {
			t.Errorf("zstd -dc makes %d bytes of %d zeros: %v", len(out), size, err)
		}
	}
}

// FuzzZstdDecode: whatever decodes is one frame of that size for the library too, and takes no
// more memory than the block.
func FuzzZstdDecode(f *testing.F) {
	plain := mixed(4, 3000)
	f.Add(NewZstdEncoder(Fastest, true).Append(nil, plain), uint16(3000))
	f.Add(NewZstdEncoder(Best, false).Append(nil, plain), uint16(3000))
	f.Add(AppendZeroFrame(nil, 4096), uint16(4096))
	f.Add(bomb(1000), uint16(1000))
	d := NewZstdDecoder(true)
	f.Fuzz(func(t *testing.T, frame []byte, size uint16) {
		got, err := d.Decode(nil, frame, int(size))
		if err != nil {
			if !errors.Is(err, ErrShape) && !errors.Is(err, ErrDigest) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(got) != int(size) || cap(got) > max(int(size), 64) {
			t.Fatalf("%d bytes with room for %d", len(got), cap(got))
		}
		library, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer library.Close()
		if want, err := library.DecodeAll(frame, nil); err != nil || !bytes.Equal(want, got) {
			t.Fatalf("the library decodes %d bytes otherwise: %v", size, err)
		}
	})
}

// BenchmarkZstd is one core's rate on bytes of which half compress; MB/s of plain bytes.
func BenchmarkZstd(b *testing.B) {
	plain := mixed(5, 1<<20)
	e, d := NewZstdEncoder(Fastest, false), NewZstdDecoder(false)
	frame := e.Append(nil, plain)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		for b.Loop() {
			frame = e.Append(frame[:0], plain)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		dst := make([]byte, 0, len(plain))
		for b.Loop() {
			if _, err := d.Decode(dst, frame, len(plain)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
