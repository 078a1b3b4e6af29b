package wire

import "encoding/binary"

// WantedPieces names blocks of the image of which a receiver wants the digests of the
// pieces: its target holds something else there, of which a part may be right. It goes
// to the sender. A receiver asks for what its window has room for, and asks again
// for what does not come.
//
//	+---------------------------------------------------------------+
//	|       header (type 0x87), its two bytes: count of ranges      |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                   highest sequence (8 bytes)                  |
//	+---------------------------------------------------------------+ 32
//	|  ranges of 8 bytes: Range ...
//	+-------------------------
type WantedPieces struct {
	Session  SessionID
	Receiver ReceiverID
	Highest  Sequence // seen
	// Blocks are MaxPieceRanges at most, and MaxPieceBlocks in all of them; they ascend, are
	// of the image, and do not overlap.
	Blocks List[Range]
}

const wantedPiecesSize = 32 // without the ranges

// AppendTo appends the packet to dst.
func (w WantedPieces) AppendTo(dst []byte) []byte {
	must(w.bounded(), "wanted pieces out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeWantedPieces, uint16(w.Blocks.Len()), w.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Receiver))
	dst = appendSequence(dst, w.Highest)
	dst = appendList(dst, w.Blocks, MaxPieceRanges)
	return seal(dst, start)
}

// ParseWantedPieces reads a packet of TypeWantedPieces.
func ParseWantedPieces(b []byte) (WantedPieces, error) {
	if err := checkPacket(b, TypeWantedPieces, wantedPiecesSize, MaxControlSize); err != nil {
		return WantedPieces{}, err
	}
	blocks, err := parseList[Range](b[wantedPiecesSize:], binary.BigEndian.Uint16(b[2:]), MaxPieceRanges)
	if err != nil {
		return WantedPieces{}, err
	}
	w := WantedPieces{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Highest:  Sequence(binary.BigEndian.Uint64(b[24:])),
		Blocks:   blocks,
	}
	if w.Highest > MaxSequence || !w.bounded() {
		return WantedPieces{}, ErrBounds
	}
	return w, nil
}

func (w *WantedPieces) bounded() bool {
	blocks := uint64(0)
	for r := range w.Blocks.All() {
		if r.Object != Image {
			return false
		}
		blocks += uint64(r.Count)
	}
	return blocks <= MaxPieceBlocks
}
