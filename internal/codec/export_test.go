package codec

// Encode appends the raw encoded block of plain, 1 to MaxPlainSize bytes, to dst.
func Encode(dst, plain []byte) []byte {
	return append(rawHeader(plain).AppendTo(dst), plain...)
}

// Sizes are those of the image.
func (m *Manifest) Sizes() Sizes { return m.sizes }
