package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"multiserver/internal/block"
)

// Level says how much time an Encoder takes for how few bytes. One level of one version of the
// library makes the same frame of the same bytes each time, whatever the encoder did before.
type Level uint8

// The levels. What each makes of an image, and how fast, multiserver pack says.
const (
	Fastest Level = 1
	Default Level = 2
	Better  Level = 3
	Best    Level = 4
)

var levels = map[Level]struct {
	name    string
	library zstd.EncoderLevel
}{
	Fastest: {"fastest", zstd.SpeedFastest},
	Default: {"default", zstd.SpeedDefault},
	Better:  {"better", zstd.SpeedBetterCompression},
	Best:    {"best", zstd.SpeedBestCompression},
}

func (l Level) String() string {
	if known, ok := levels[l]; ok {
		return known.name
	}
	return fmt.Sprintf("level %d", uint8(l))
}

// ParseLevel is the Level of a name.
func ParseLevel(name string) (Level, error) {
	for l, known := range levels {
		if known.name == name {
			return l, nil
		}
	}
	return 0, fmt.Errorf("want fastest, default, better or best")
}

// ZstdEncoder makes zstd frames (RFC 8878). It is for one goroutine.
type ZstdEncoder struct{ library *zstd.Encoder }

// NewZstdEncoder returns an encoder of one of the levels. With checksums, each frame ends with
// the four bytes by which a zstd program verifies it.
func NewZstdEncoder(l Level, checksums bool) *ZstdEncoder {
	known, ok := levels[l]
	if !ok {
		panic(fmt.Sprintf("codec: %v", l))
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(known.library), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(checksums), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return &ZstdEncoder{e}
}

// Append appends one frame that holds plain and its size, without a window of its own.
func (e *ZstdEncoder) Append(dst, plain []byte) []byte { return e.library.EncodeAll(plain, dst) }

// ZstdDecoder decodes single frames of a size that is known. It is for one goroutine.
type ZstdDecoder struct{ library *zstd.Decoder }

// NewZstdDecoder returns a decoder. With checksums it verifies a frame's own checksum if there
// is one; a caller that knows the digest does not need it.
func NewZstdDecoder(checksums bool) *ZstdDecoder {
	// All limits but that of the bytes which come out are checkZstd's: the library would
	// tell the size from a skippable frame, and take frame after frame.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(block.MaxBlockSize), zstd.WithDecoderMaxWindow(block.MaxBlockSize), zstd.IgnoreChecksum(!checksums))
	if err != nil {
		panic(err) // the options are constants
	}
	return &ZstdDecoder{d}
}

// Decode decodes frame, which must be exactly one zstd frame of exactly plainSize bytes, 1 to
// block.MaxBlockSize, that needs no dictionary, with nothing behind it. The result begins at the
// start of dst if that has room. It returns ErrShape if the frame is another, and ErrDigest
// if its contents are damaged.
func (d *ZstdDecoder) Decode(dst, frame []byte, plainSize int) ([]byte, error) {
	if err := checkZstd(frame, plainSize); err != nil {
		return nil, err
	}
	if cap(dst) < plainSize {
		dst = make([]byte, 0, plainSize)
	}
	plain, err := d.library.DecodeAll(frame, dst[:0:plainSize])
	if err != nil {
		return nil, fmt.Errorf("zstd frame: %w: %w", err, ErrDigest)
	}
	if len(plain) != plainSize {
		return nil, fmt.Errorf("zstd frame holds %d bytes instead of %d: %w", len(plain), plainSize, ErrDigest)
	}
	return plain, nil
}

// A zstd frame's header and its blocks' (RFC 8878 §3.1.1).
const (
	zstdMagic         = 0xFD2FB528
	zstdMinHeader     = 4 + 1 + 1 // magic, descriptor, and window or content size
	zstdSingleSegment = 1 << 5    // bits of the frame header descriptor
	zstdReserved      = 1 << 3
	zstdChecksum      = 1 << 2
	zstdDictionary    = 3
	zstdMaxBlock      = 128 << 10
	zstdRLE           = 1 // types of blocks; 0 is raw
	zstdCompressed    = 2
	zstdReservedType  = 3
)

// checkZstd reports whether b is one frame of plainSize bytes, by its headers. It allocates
// nothing.
func checkZstd(b []byte, plainSize int) error {
	malformed := func(what string) error { return fmt.Errorf("zstd frame: %s: %w", what, ErrShape) }
	if plainSize < 1 || plainSize > block.MaxBlockSize || len(b) < zstdMinHeader || binary.LittleEndian.Uint32(b) != zstdMagic {
		return malformed("there is none")
	}
	descriptor, b := b[4], b[5:]
	if descriptor&zstdReserved != 0 {
		return malformed("a reserved bit is set")
	}
	if descriptor&zstdDictionary != 0 {
		return malformed("it needs a dictionary")
	}
	single := descriptor&zstdSingleSegment != 0
	if !single {
		exponent, mantissa := b[0]>>3, uint64(b[0]&7)
		if base := uint64(1) << (10 + exponent); base+base/8*mantissa > block.MaxBlockSize {
			return malformed("its window is too large")
		}
		b = b[1:]
	}
	var contents uint64
	switch flag := descriptor >> 6; {
	case flag == 0 && single && len(b) >= 1:
		contents, b = uint64(b[0]), b[1:]
	case flag == 1 && len(b) >= 2:
		contents, b = uint64(binary.LittleEndian.Uint16(b))+256, b[2:]
	case flag == 2 && len(b) >= 4:
		contents, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
	case flag == 3 && len(b) >= 8:
		contents, b = binary.LittleEndian.Uint64(b), b[8:]
	default:
		return malformed("it does not tell its size")
	}
	if contents != uint64(plainSize) {
		return fmt.Errorf("zstd frame of %d bytes instead of %d: %w", contents, plainSize, ErrShape)
	}
	var held uint64 // at least
	for last := false; !last; {
		if len(b) < 3 {
			return malformed("it is cut")
		}
		head := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		last = head&1 != 0
		kind, size := head>>1&3, int(head>>3)
		if kind == zstdReservedType || size > zstdMaxBlock {
			return malformed("a block is of no known kind or too long")
		}
		plain := uint64(size)
		if kind == zstdRLE {
			size = 1
		}
		if len(b)-3 < size {
			return malformed("it is cut")
		}
		if kind == zstdCompressed {
			plain = literals(b[3 : 3+size])
		}
		if held += plain; held > contents {
			return malformed("it holds more than it tells")
		}
		b = b[3+size:]
	}
	behind := len(b)
	if descriptor&zstdChecksum != 0 {
		behind -= 4
	}
	if behind != 0 {
		return malformed("something follows it, or it is cut")
	}
	return nil
}

// literals is the count of literal bytes of a compressed block, of which its matches are more, or
// 0 if it is too short to be one (RFC 8878 §3.1.1.3.1.1). The library appends them before it looks
// at the room for them.
func literals(b []byte) uint64 {
	var head [4]byte
	copy(head[:], b)
	n := uint64(binary.LittleEndian.Uint32(head[:]))
	switch format := n >> 2 & 3; {
	case n&3 < 2 && format&1 == 0: // as they are, or one byte again and again
		return n >> 3 & 0x1F
	case n&3 < 2 && format == 1, n&3 >= 2 && format < 2:
		if n&3 >= 2 {
			return n >> 4 & 0x3FF
		}
		return n >> 4 & 0xFFF
	case n&3 < 2:
		return n >> 4 & 0xFFFFF
	case format == 2:
		return n >> 4 & 0x3FFF
	}
	return n >> 4 & 0x3FFFF
}

// zeroWindow is the window of a frame of zeros: 128 KiB, the least in which each block may have
// the greatest size.
const zeroWindow = 7 << 3

// MaxZeroFrame is how many zeros one frame of AppendZeroFrame holds at most.
const MaxZeroFrame = 2 << 30

// ZeroFrameSize is the bytes of the frame that AppendZeroFrame makes.
func ZeroFrameSize(size uint64) uint64 { return 10 + 4*((size+zstdMaxBlock-1)/zstdMaxBlock) }

// AppendZeroFrame appends a zstd frame of size zero bytes, 1 to MaxZeroFrame: four bytes for each
// 128 KiB. There is one such frame for each size. Any decoder takes it: its window is small.
func AppendZeroFrame(dst []byte, size uint64) []byte {
	if size == 0 || size > MaxZeroFrame {
		panic(fmt.Sprintf("codec: frame of %d zeros", size))
	}
	dst = binary.LittleEndian.AppendUint32(dst, zstdMagic)
	dst = append(dst, 2<<6, zeroWindow) // the content size has four bytes
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	for size > 0 {
		n := min(size, zstdMaxBlock)
		size -= n
		head := uint32(n)<<3 | zstdRLE<<1
		if size == 0 {
			head |= 1
		}
		dst = append(dst, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return dst
}
