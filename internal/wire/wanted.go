package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// Wanted is one page of the list of blocks that a receiver wants whole: never seen,
// evicted, or missing on the target of one that resumes. It goes to the sender.
//
//	+---------------------------------------------------------------+
//	|       header (type 0x82), its two bytes: count of ranges      |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                   highest sequence (8 bytes)                  |
//	+---------------------------------------------------------------+ 32
//	|                          generation                           |
//	+-------------------------------+-------------------------------+ 36
//	|             page              |             pages             |
//	+-------------------------------+-------------------------------+ 40
//	|  ranges of 8 bytes: Range ...
//	+-------------------------
//
// Each page holds by itself: a sender serves those that it has. The first page of a
// newer generation voids all of the older ones, and a page of an older generation is
// ignored. A page that is lost is not missed by the sender; the receiver sends a
// new generation when a pass ended without what it wants. A list lapses with its
// receiver's reports, and by an empty one.
type Wanted struct {
	Session    SessionID
	Receiver   ReceiverID
	Highest    Sequence // seen: what was sent after it is not yet known to be missed
	Generation uint32   // of the list, from 1 on
	Page       uint16   // 0 .. Pages-1
	Pages      uint16   // of the list, 1 .. MaxPages
	// Ranges are at most MaxRanges, ascending, those of the image first, and do not
	// overlap.
	Ranges List[Range]
}

// Range is Count blocks from First on.
//
//	+-+-------------------------------------------------------------+
//	|o|                         first block                         |
//	+-+-------------------------------------------------------------+
//	|                        count of blocks                        |
//	+---------------------------------------------------------------+
type Range struct {
	Object Object
	First  block.ID
	Count  uint32 // 1 or more; First + Count is MaxBlockCount at most
}

const rangeSize = 8

func (Range) size() int { return rangeSize }

func (r Range) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, blockRef(r.Object, r.First))
	return binary.BigEndian.AppendUint32(dst, r.Count)
}

func (Range) parse(b []byte) (r Range) {
	r.Object, r.First, _ = parseBlockRef(binary.BigEndian.Uint32(b))
	r.Count = binary.BigEndian.Uint32(b[4:])
	return r
}

// valid: nobody wants a twin whole.
func (r Range) valid() bool { return r.Object != Twin && boundedRun(r.First, r.Count) }

func (r Range) follows(p Range) bool {
	return r.Object > p.Object || r.Object == p.Object && uint32(r.First) >= uint32(p.First)+p.Count
}

const wantedSize = 40 // without the ranges

// AppendTo appends the packet to dst.
func (w Wanted) AppendTo(dst []byte) []byte {
	must(w.Pages <= MaxPages && w.Page < w.Pages, "page out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeWanted, uint16(w.Ranges.Len()), w.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Receiver))
	dst = appendSequence(dst, w.Highest)
	dst = binary.BigEndian.AppendUint32(dst, w.Generation)
	dst = binary.BigEndian.AppendUint16(dst, w.Page)
	dst = binary.BigEndian.AppendUint16(dst, w.Pages)
	dst = appendList(dst, w.Ranges, MaxRanges)
	return seal(dst, start)
}

// ParseWanted reads a packet of TypeWanted.
func ParseWanted(b []byte) (Wanted, error) {
	if err := checkPacket(b, TypeWanted, wantedSize, MaxControlSize); err != nil {
		return Wanted{}, err
	}
	ranges, err := parseList[Range](b[wantedSize:], binary.BigEndian.Uint16(b[2:]), MaxRanges)
	if err != nil {
		return Wanted{}, err
	}
	w := Wanted{
		Session:    SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver:   ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Highest:    Sequence(binary.BigEndian.Uint64(b[24:])),
		Generation: binary.BigEndian.Uint32(b[32:]),
		Page:       binary.BigEndian.Uint16(b[36:]),
		Pages:      binary.BigEndian.Uint16(b[38:]),
		Ranges:     ranges,
	}
	if w.Highest > MaxSequence || w.Pages > MaxPages || w.Page >= w.Pages {
		return Wanted{}, ErrBounds
	}
	return w, nil
}
