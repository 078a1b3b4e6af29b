package fec

import (
	"errors"
	"slices"

	"github.com/klauspost/reedsolomon"
)

var (
	// ErrTooFew reports that Solve was called while Needed was above 0.
	ErrTooFew = errors.New("fec: too few symbols")
	// ErrSingular reports that the symbols held are not independent. Needed tells
	// how many more it takes; nothing is lost.
	ErrSingular = errors.New("fec: the symbols are not independent")
)

// MaxErasures bounds the repair symbols that a decoder holds, and with them its
// memory and the time that Solve takes: 40 MB and seconds, against gigabytes and
// hours for the largest K. Of a block that misses more source symbols than that, further
// repair symbols are of no use until source symbols come.
const MaxErasures = 4096

// spareRows is the count of repair symbols that a decoder holds beyond those that
// it needs: with two more a set is singular once in 2^24 times.
const spareRows = 2

// SymbolID is an encoding symbol id (RFC 5052): below K the index of a source
// symbol, from K on K plus the row of a repair symbol.
type SymbolID uint32

// Decoder rebuilds one source block at a time from any sufficient set of its
// symbols. Its zero value is a complete block without bytes; Reset begins one.
// It keeps its memory from block to block, so that in the steady state nothing is
// allocated. One goroutine at a time may use it.
type Decoder struct {
	block      []byte // the caller's; source symbols stand in their places
	symbolSize int
	present    []bool // by source index
	missing    int    // count of false in present

	// Row rows[i] is held, as it came, in repair[i*symbolSize:][:symbolSize].
	rows   []uint32
	repair []byte
	// dropped are rows that depend on those held and on the source symbols
	// present. That stays so when source symbols come, so they are never needed.
	dropped []uint32

	coefficients []byte // tileRows rows of K
	columns      []int  // indices of the missing source symbols, ascending
	system       []byte // see eliminate
	pivots       []int  // see eliminate
	last         []byte // a whole symbol for a short place at the block's end
}

// Reset begins a block that will be rebuilt in block, which is the decoder's until
// the next Reset. Its length and symbolSize give K. Where the sender's last symbol
// may be short and the block's length is not known yet, K*symbolSize bytes do: the
// rest becomes zero. It returns ErrShape if K is not in 1 .. MaxSourceSymbols; the
// decoder then holds no block.
func (d *Decoder) Reset(block []byte, symbolSize int) error {
	d.block, d.symbolSize, d.missing = nil, 0, 0
	d.present, d.rows, d.dropped = d.present[:0], d.rows[:0], d.dropped[:0]
	count, err := sourceCount(len(block), symbolSize)
	if err != nil {
		return err
	}
	d.block, d.symbolSize, d.missing = block, symbolSize, count
	d.present = resize(d.present, count)
	clear(d.present)
	return nil
}

// Needed is the count of further symbols that Solve waits for: K less the rank, as
// far as the rank is known. Every distinct symbol counts until Solve finds some
// dependent; with exactly K symbols it does so about once in 250 times.
func (d *Decoder) Needed() int { return max(0, d.missing-len(d.rows)) }

// Add takes a symbol of symbolSize bytes, and reports whether it is of use: one that
// is here already, or that nothing needs, is not. Data is copied and not kept; that
// of a source symbol may already be in its place in the block. The data of source
// symbol K-1 may be short, down to one byte: zeros follow. It may not be longer than
// its place. Add returns ErrShape for any other length.
func (d *Decoder) Add(id SymbolID, data []byte) (useful bool, err error) {
	if d.missing == 0 {
		return false, nil
	}
	if count := len(d.present); int64(id) >= int64(count) {
		return d.addRepair(uint32(id)-uint32(count), data)
	}
	return d.addSource(int(id), data)
}

func (d *Decoder) addSource(index int, data []byte) (useful bool, err error) {
	place := d.place(index)
	if len(data) != len(place) {
		isLast := index == len(d.present)-1
		if !isLast || len(data) == 0 || len(data) > len(place) {
			return false, ErrShape
		}
	}
	if d.present[index] {
		return false, nil
	}
	clear(place[copy(place, data):])
	d.present[index] = true
	d.missing--
	return true, nil
}

func (d *Decoder) addRepair(row uint32, data []byte) (useful bool, err error) {
	if len(data) != d.symbolSize {
		return false, ErrShape
	}
	if len(d.rows) >= min(d.missing, MaxErasures)+spareRows {
		return false, nil
	}
	if slices.Contains(d.rows, row) || slices.Contains(d.dropped, row) {
		return false, nil
	}
	d.repair = append(d.repair[:len(d.rows)*d.symbolSize], data...)
	d.rows = append(d.rows, row)
	return true, nil
}

// Solve puts the missing source symbols in their places. It works on the missing
// columns only, and does nothing if there are none. It returns ErrTooFew if Needed
// is above 0, and ErrSingular if it turns out to be: then go on adding symbols,
// source or repair, and call again. The bytes of the block are not touched before
// the solution is sure.
func (d *Decoder) Solve() error {
	if d.missing == 0 {
		return nil
	}
	if d.Needed() > 0 {
		return ErrTooFew
	}
	d.columns = d.columns[:0]
	for index, present := range d.present {
		if !present {
			d.columns = append(d.columns, index)
		}
	}
	if !d.eliminate() {
		return ErrSingular
	}
	d.subtractPresent()
	d.multiplyInverse()
	for _, column := range d.columns {
		d.present[column] = true
	}
	d.missing = 0
	d.rows = d.rows[:0]
	return nil
}

// eliminate brings rows to the front that are independent in the e missing columns,
// and drops those that depend on them. It reports whether there are e.
//
// By Gauss-Jordan elimination it makes line t of system: e factors of the missing
// columns, which end up as a 1 in column pivots[t] and zeros; then e factors of the
// repair symbols. The symbol missing in that column is the sum by those factors of
// the repair symbols, once the source symbols present are taken out of them.
func (d *Decoder) eliminate() bool {
	size := d.missing
	width := 2 * size
	d.system = resize(d.system, size*width)
	d.pivots = resize(d.pivots, size)
	for t := 0; t < size; {
		if t == len(d.rows) {
			return false
		}
		line := d.system[t*width:][:width]
		for i, column := range d.columns {
			line[i] = Coefficient(d.rows[t], column)
		}
		clear(line[size:])
		line[size+t] = 1
		for u := range t {
			mulAddSlice(line[d.pivots[u]], d.system[u*width:][:width], line)
		}
		pivot := slices.IndexFunc(line[:size], func(c byte) bool { return c != 0 })
		if pivot < 0 {
			d.drop(t)
			continue
		}
		d.pivots[t] = pivot
		// To multiply the line by f, add f-1 times the line; here -1 is ^1.
		mulAddSlice(reedsolomon.Inv(line[pivot])^1, line, line)
		for u := range t {
			other := d.system[u*width:][:width]
			mulAddSlice(other[pivot], line, other)
		}
		t++
	}
	return true
}

// drop forgets the symbol of rows[i], the last one taking its place.
func (d *Decoder) drop(i int) {
	// A row that is not noted may come again and be dropped again: no harm.
	if len(d.dropped) < MaxErasures {
		d.dropped = append(d.dropped, d.rows[i])
	}
	end := len(d.rows) - 1
	d.rows[i] = d.rows[end]
	copy(d.held(i), d.held(end))
	d.rows = d.rows[:end]
}

// subtractPresent takes the source symbols present out of the first e repair
// symbols, so that these are sums of the missing ones only.
func (d *Decoder) subtractPresent() {
	var tile [tileRows][]byte
	count := len(d.present)
	d.coefficients = resize(d.coefficients, tileRows*count)
	for first := 0; first < d.missing; first += tileRows {
		rows := min(tileRows, d.missing-first)
		for i := range rows {
			tile[i] = d.held(first + i)
			line := d.coefficients[i*count:][:count]
			fillRow(line, d.rows[first+i])
			// What stands in the places of missing symbols does not matter.
			for _, column := range d.columns {
				line[column] = 0
			}
		}
		mulAdd(tile[:rows], d.coefficients[:rows*count], d.block, d.symbolSize)
	}
}

// multiplyInverse sets the missing source symbols to the sums of the first e repair
// symbols by the factors that eliminate found.
func (d *Decoder) multiplyInverse() {
	var tile [tileRows][]byte
	size := d.missing
	repair := d.repair[:size*d.symbolSize]
	var short []byte // the place at the block's end, if it is to be filled and short
	for first := 0; first < size; first += tileRows {
		rows := min(tileRows, size-first)
		for i := range rows {
			t := first + i
			place := d.place(d.columns[d.pivots[t]])
			if len(place) < d.symbolSize {
				short = place
				d.last = resize(d.last, d.symbolSize)
				place = d.last
			}
			clear(place)
			tile[i] = place
			copy(d.coefficients[i*size:][:size], d.system[t*2*size+size:])
		}
		mulAdd(tile[:rows], d.coefficients[:rows*size], repair, d.symbolSize)
	}
	copy(short, d.last)
}

// place is where the source symbol of the given index stands in the block.
func (d *Decoder) place(index int) []byte {
	start := index * d.symbolSize
	return d.block[start:min(start+d.symbolSize, len(d.block))]
}

// held is the repair symbol of rows[i].
func (d *Decoder) held(i int) []byte {
	return d.repair[i*d.symbolSize:][:d.symbolSize]
}
