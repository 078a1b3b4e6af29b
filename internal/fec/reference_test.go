package fec

// The reference: the code as its definition reads, slow and obvious. It shares
// Coefficient with the package, which the golden vectors pin, and nothing else.

// refMul multiplies in GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1, bit by bit.
func refMul(a, b byte) byte {
	var product byte
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		carry := a&0x80 != 0
		a <<= 1
		if carry {
			a ^= 0x1D
		}
	}
	return product
}

func refInv(a byte) byte {
	for b := 1; b < 256; b++ {
		if refMul(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	panic("0 has no inverse")
}

// refLine is the line of factors of a symbol over the K source symbols.
func refLine(id SymbolID, count int) []byte {
	line := make([]byte, count)
	if int(id) < count {
		line[id] = 1
		return line
	}
	for column := range line {
		line[column] = Coefficient(uint32(id)-uint32(count), column)
	}
	return line
}

// refSymbol encodes one symbol, source or repair.
func refSymbol(block []byte, symbolSize int, id SymbolID) []byte {
	line := refLine(id, (len(block)+symbolSize-1)/symbolSize)
	symbol := make([]byte, symbolSize)
	for i, b := range block {
		symbol[i%symbolSize] ^= refMul(line[i/symbolSize], b)
	}
	return symbol
}

// refDecode solves for all source symbols by Gaussian elimination of whole lines.
// It returns the rank of the symbols, and their concatenation if that is K.
func refDecode(count int, ids []SymbolID, symbols [][]byte) (rank int, block []byte) {
	lines := make([][]byte, len(ids))
	for i, id := range ids {
		lines[i] = append(refLine(id, count), symbols[i]...)
	}
	for column := range count {
		pivot := rank
		for pivot < len(lines) && lines[pivot][column] == 0 {
			pivot++
		}
		if pivot == len(lines) {
			continue
		}
		lines[rank], lines[pivot] = lines[pivot], lines[rank]
		inverse := refInv(lines[rank][column])
		for i := range lines[rank] {
			lines[rank][i] = refMul(inverse, lines[rank][i])
		}
		for other := range lines {
			if factor := lines[other][column]; other != rank && factor != 0 {
				for i := range lines[other] {
					lines[other][i] ^= refMul(factor, lines[rank][i])
				}
			}
		}
		rank++
	}
	if rank < count {
		return rank, nil
	}
	for _, line := range lines[:count] {
		block = append(block, line[count:]...)
	}
	return rank, block
}
