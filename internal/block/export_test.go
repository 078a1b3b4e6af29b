package block

// Symbol returns where source symbol id, which is below K, begins in the encoded
// block, and its bytes there: SymbolSize, or what is left for the last.
func (c Cut) Symbol(id SymbolID) (offset, size int) {
	offset = int(id) * int(c.SymbolSize)
	return offset, min(int(c.SymbolSize), int(c.EncodedSize)-offset)
}
