package wire

import "encoding/binary"

// WantedSubblocks names blocks of the image of which a receiver wants the digests of the
// sub-blocks: its target holds something else there, of which a part may be right. It goes
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
type WantedSubblocks struct {
	Session  SessionID
	Receiver ReceiverID
	Highest  Sequence // seen
	// Blocks are MaxSubblockRanges at most, and MaxSubblockBlocks in all of them; they ascend, are
	// of the image, and do not overlap.
	Blocks List[Range]
}

const wantedSubblocksSize = 32 // without the ranges

// AppendTo appends the packet to dst.
func (w WantedSubblocks) AppendTo(dst []byte) []byte {
	must(w.bounded(), "wanted sub-blocks out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeWantedSubblocks, uint16(w.Blocks.Len()), w.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Receiver))
	dst = appendSequence(dst, w.Highest)
	dst = appendList(dst, w.Blocks, MaxSubblockRanges)
	return seal(dst, start)
}

// ParseWantedSubblocks reads a packet of TypeWantedSubblocks.
func ParseWantedSubblocks(b []byte) (WantedSubblocks, error) {
	if err := checkPacket(b, TypeWantedSubblocks, wantedSubblocksSize, MaxControlSize); err != nil {
		return WantedSubblocks{}, err
	}
	blocks, err := parseList[Range](b[wantedSubblocksSize:], binary.BigEndian.Uint16(b[2:]), MaxSubblockRanges)
	if err != nil {
		return WantedSubblocks{}, err
	}
	w := WantedSubblocks{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Highest:  Sequence(binary.BigEndian.Uint64(b[24:])),
		Blocks:   blocks,
	}
	if w.Highest > MaxSequence || !w.bounded() {
		return WantedSubblocks{}, ErrBounds
	}
	return w, nil
}

func (w *WantedSubblocks) bounded() bool {
	blocks := uint64(0)
	for r := range w.Blocks.All() {
		if r.Object != Image {
			return false
		}
		blocks += uint64(r.Count)
	}
	return blocks <= MaxSubblockBlocks
}
