package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// ZeroRun says that blocks of the image hold nothing but zeros: no symbol of them
// is sent. It goes where the symbols go, twice, and counts in their sequence; a
// receiver that missed it wants the blocks as never seen.
//
//	+---------------------------------------------------------------+
//	|              header (type 2), two reserved bytes              |
//	+---------------------------------------------------------------+ 16
//	|                      sequence (8 bytes)                       |
//	+---------------------------------------------------------------+ 24
//	|                          first block                          |
//	+---------------------------------------------------------------+ 28
//	|                        count of blocks                        |
//	+---------------------------------------------------------------+ 32
type ZeroRun struct {
	Session  SessionID
	Sequence Sequence
	First    block.ID
	Count    uint32 // 1 or more; First + Count is MaxBlockCount at most
}

const zeroRunSize = 32

// AppendTo appends the packet to dst.
func (z ZeroRun) AppendTo(dst []byte) []byte {
	must(boundedRun(z.First, z.Count), "zero run out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeZeroRun, 0, z.Session)
	dst = appendSequence(dst, z.Sequence)
	dst = binary.BigEndian.AppendUint32(dst, uint32(z.First))
	dst = binary.BigEndian.AppendUint32(dst, z.Count)
	return seal(dst, start)
}

// ParseZeroRun reads a packet of TypeZeroRun.
func ParseZeroRun(b []byte) (ZeroRun, error) {
	if err := checkPacket(b, TypeZeroRun, zeroRunSize, MaxControlSize); err != nil {
		return ZeroRun{}, err
	}
	z := ZeroRun{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Sequence: Sequence(binary.BigEndian.Uint64(b[16:])),
		First:    block.ID(binary.BigEndian.Uint32(b[24:])),
		Count:    binary.BigEndian.Uint32(b[28:]),
	}
	if z.Sequence > MaxSequence || !boundedRun(z.First, z.Count) {
		return ZeroRun{}, ErrBounds
	}
	return z, nil
}

func boundedRun(first block.ID, count uint32) bool {
	return count > 0 && uint64(first)+uint64(count) <= block.MaxBlockCount
}
