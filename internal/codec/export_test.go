package codec

// Encode appends the raw encoded block of plain, 1 to block.MaxBlockSize bytes, to dst.
func Encode(dst, plain []byte) []byte {
	return append(rawHeader(plain).AppendTo(dst), plain...)
}
