package codec

import "multiserver/internal/block"

// Encode appends the raw encoded block of plain, 1 to block.MaxBlockSize bytes, to dst.
func Encode(dst, plain []byte) []byte {
	return append(rawHeader(plain).AppendTo(dst), plain...)
}

// Geometry is that of the image.
func (m *Manifest) Geometry() block.Geometry { return m.geometry }
