package codec

import (
	"encoding/binary"
	"fmt"

	"multiserver/internal/block"
)

// HeaderSize is the bytes in front of an encoded block's body: codec 1, reserved 3, plain
// size 4, body size 4, and the digest.
const HeaderSize = block.RawOverhead

// Codec says how a body holds the plain bytes.
type Codec uint8

// The codecs. The numbers 2 (s2) and 3 (encrypted) are reserved.
const (
	Raw  Codec = 0 // the plain bytes
	Zstd Codec = 1 // one zstd frame
)

// Decodable are the codecs that a Decoder knows, a bit each.
const Decodable = 1<<Raw | 1<<Zstd

// maxGrowth is how many bytes a body may be longer than the plain bytes.
const maxGrowth = block.MaxOverhead - HeaderSize

// leastSaving: a body that does not save one byte in so many is not worth decoding.
const leastSaving = 64

// Saves reports whether a body of bodySize bytes is worth its decoding: it saves 1/64 of the plain
// bytes at least. A sender sends other blocks raw.
func Saves(bodySize, plainSize int) bool { return (plainSize-bodySize)*leastSaving >= plainSize }

func (c Codec) String() string {
	switch c {
	case Raw:
		return "raw"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// Header is what stands in front of an encoded block's body.
type Header struct {
	Codec     Codec
	PlainSize uint32 // bytes: 1 .. block.MaxBlockSize
	BodySize  uint32 // bytes; PlainSize if raw, PlainSize + 20 at most
	Digest    Digest // of the plain bytes
}

// EncodedSize is the bytes of header and body.
func (h Header) EncodedSize() uint32 { return HeaderSize + h.BodySize }

// AppendTo appends the header's HeaderSize bytes to dst.
func (h Header) AppendTo(dst []byte) []byte {
	dst = append(dst, byte(h.Codec), 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, h.PlainSize)
	dst = binary.BigEndian.AppendUint32(dst, h.BodySize)
	return append(dst, h.Digest[:]...)
}

// ParseHeader reads the header at the start of an encoded block, of which the body
// need not be there yet. It returns ErrShape if b is too short or a size is out
// of its limits, and ErrCodec if the codec is one that this version does not know.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("block header of %d bytes: %w", len(b), ErrShape)
	}
	h := Header{
		Codec:     Codec(b[0]),
		PlainSize: binary.BigEndian.Uint32(b[4:]),
		BodySize:  binary.BigEndian.Uint32(b[8:]),
		Digest:    Digest(b[12:HeaderSize]),
	}
	if h.Codec != Raw && h.Codec != Zstd {
		return Header{}, fmt.Errorf("block encoded as %v: %w", h.Codec, ErrCodec)
	}
	if h.PlainSize == 0 || h.PlainSize > block.MaxBlockSize || h.BodySize == 0 || h.BodySize > h.PlainSize+maxGrowth ||
		h.Codec == Raw && h.BodySize != h.PlainSize {
		return Header{}, fmt.Errorf("%v block of %d plain bytes in %d: %w", h.Codec, h.PlainSize, h.BodySize, ErrShape)
	}
	return h, nil
}

// EncodeHeaderInto makes a raw encoded block of plain, which stands right behind hdr and
// has 1 to block.MaxBlockSize bytes. It fills hdr, whose length is HeaderSize, and returns
// the digest. Nothing is copied.
func EncodeHeaderInto(hdr, plain []byte) Digest {
	if len(hdr) != HeaderSize {
		panic(fmt.Sprintf("codec: room for a header of %d bytes", len(hdr)))
	}
	h := rawHeader(plain)
	h.AppendTo(hdr[:0])
	return h.Digest
}

func rawHeader(plain []byte) Header {
	if len(plain) == 0 || len(plain) > block.MaxBlockSize {
		panic(fmt.Sprintf("codec: block of %d bytes", len(plain)))
	}
	return Header{Codec: Raw, PlainSize: uint32(len(plain)), BodySize: uint32(len(plain)), Digest: Sum(plain)}
}

// Decoder decodes encoded blocks of all codecs. It is for one goroutine. Its zero value is ready.
type Decoder struct{ zstd *ZstdDecoder }

// Decode returns the plain bytes of an encoded block and their digest, which it
// has verified. encoded may go on behind the body: the last symbol's padding. The
// plain bytes of a raw block are a part of encoded. Those of other blocks begin at the start of
// dst, if that has room for plainSize bytes. Decode returns ErrShape if the sizes are not those
// of a block of plainSize bytes, or if a body is not exactly one zstd frame of these; ErrCodec if
// it does not know the codec; and ErrDigest if the bytes are wrong.
func (d *Decoder) Decode(dst, encoded []byte, plainSize int) (plain []byte, digest Digest, err error) {
	h, err := ParseHeader(encoded)
	if err != nil {
		return nil, Digest{}, err
	}
	if int(h.PlainSize) != plainSize {
		return nil, Digest{}, fmt.Errorf("block of %d plain bytes instead of %d: %w", h.PlainSize, plainSize, ErrShape)
	}
	if len(encoded) < int(h.EncodedSize()) {
		return nil, Digest{}, fmt.Errorf("block of %d encoded bytes cut at %d: %w", h.EncodedSize(), len(encoded), ErrShape)
	}
	plain = encoded[HeaderSize:h.EncodedSize():h.EncodedSize()]
	if h.Codec == Zstd {
		if d.zstd == nil {
			d.zstd = NewZstdDecoder(false) // the digest decides
		}
		if plain, err = d.zstd.Decode(dst, plain, plainSize); err != nil {
			return nil, Digest{}, err
		}
	}
	if sum := Sum(plain); sum != h.Digest {
		return nil, Digest{}, fmt.Errorf("block has digest %v instead of %v: %w", sum, h.Digest, ErrDigest)
	}
	return plain, h.Digest, nil
}
