package fec

// Encoder makes repair symbols. Its zero value is ready; it keeps nothing between
// calls but the memory that it works in. One goroutine at a time may use it.
type Encoder struct {
	coefficients []byte // tileRows rows of K
}

// Encode sets dst[i] to the repair symbol of row firstRow+i of block. The slices of
// dst are equally long, that length being the symbol size, and do not overlap each
// other or block. The last source symbol counts as padded with zeros. It returns
// ErrShape if the lengths differ or are out of bounds, and then writes nothing.
// Four rows in one call cost little more than one.
func (e *Encoder) Encode(dst [][]byte, block []byte, firstRow uint32) error {
	if len(dst) == 0 {
		return nil
	}
	symbolSize := len(dst[0])
	for _, symbol := range dst {
		if len(symbol) != symbolSize {
			return ErrShape
		}
	}
	count, err := sourceCount(len(block), symbolSize)
	if err != nil {
		return err
	}
	e.coefficients = resize(e.coefficients, tileRows*count)
	for len(dst) > 0 {
		rows := min(tileRows, len(dst))
		for i := range rows {
			clear(dst[i])
			fillRow(e.coefficients[i*count:][:count], firstRow+uint32(i))
		}
		mulAdd(dst[:rows], e.coefficients[:rows*count], block, symbolSize)
		dst = dst[rows:]
		firstRow += uint32(rows)
	}
	return nil
}
