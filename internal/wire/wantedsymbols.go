package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// WantedSymbols names source symbols that a receiver wants again: where a block's
// NACK is over K/4, where the sender has one receiver only, or where only a part
// of a block differs from the target's. It goes to the sender. A receiver asks
// for what its window has room for, and asks again for what does not come.
//
//	+---------------------------------------------------------------+
//	|       header (type 0x83), its two bytes: count of ranges      |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                   highest sequence (8 bytes)                  |
//	+---------------------------------------------------------------+ 32
//	|  ranges of 8 bytes: SymbolRange ...
//	+-------------------------
type WantedSymbols struct {
	Session  SessionID
	Receiver ReceiverID
	Highest  Sequence // seen: what was sent after it is not yet known to be missed
	// Ranges are at most MaxSymbolRanges, ascending, those of the image first, and do
	// not overlap.
	Ranges List[SymbolRange]
}

// SymbolRange is Count source symbols of a block from First on.
//
//	+-+-------------------------------------------------------------+
//	|o|                            block                            |
//	+-+-----------------------------+-------------------------------+
//	|         first symbol          |       count of symbols        |
//	+-------------------------------+-------------------------------+
type SymbolRange struct {
	Object Object
	Block  block.ID
	First  uint16
	Count  uint16 // 1 or more; First + Count is block.MaxK at most
}

const symbolRangeSize = 8

func (SymbolRange) size() int { return symbolRangeSize }

func (r SymbolRange) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, blockRef(r.Object, r.Block))
	dst = binary.BigEndian.AppendUint16(dst, r.First)
	return binary.BigEndian.AppendUint16(dst, r.Count)
}

func (SymbolRange) parse(b []byte) (r SymbolRange) {
	r.Object, r.Block, _ = parseBlockRef(binary.BigEndian.Uint32(b))
	r.First = binary.BigEndian.Uint16(b[4:])
	r.Count = binary.BigEndian.Uint16(b[6:])
	return r
}

func (r SymbolRange) valid() bool {
	return r.Block < block.MaxBlockCount && r.Count > 0 && int(r.First)+int(r.Count) <= block.MaxK
}

func (r SymbolRange) follows(p SymbolRange) bool {
	if r.Object != p.Object || r.Block != p.Block {
		return r.Object > p.Object || r.Object == p.Object && r.Block > p.Block
	}
	return int(r.First) >= int(p.First)+int(p.Count)
}

const wantedSymbolsSize = 32 // without the ranges

// AppendTo appends the packet to dst.
func (w WantedSymbols) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeWantedSymbols, uint16(w.Ranges.Len()), w.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Receiver))
	dst = appendSequence(dst, w.Highest)
	dst = appendList(dst, w.Ranges, MaxSymbolRanges)
	return seal(dst, start)
}

// ParseWantedSymbols reads a packet of TypeWantedSymbols.
func ParseWantedSymbols(b []byte) (WantedSymbols, error) {
	if err := checkPacket(b, TypeWantedSymbols, wantedSymbolsSize, MaxControlSize); err != nil {
		return WantedSymbols{}, err
	}
	ranges, err := parseList[SymbolRange](b[wantedSymbolsSize:], binary.BigEndian.Uint16(b[2:]), MaxSymbolRanges)
	if err != nil {
		return WantedSymbols{}, err
	}
	w := WantedSymbols{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Highest:  Sequence(binary.BigEndian.Uint64(b[24:])),
		Ranges:   ranges,
	}
	if w.Highest > MaxSequence {
		return WantedSymbols{}, ErrBounds
	}
	return w, nil
}
