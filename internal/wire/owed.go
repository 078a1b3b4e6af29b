package wire

import "encoding/binary"

// Owed is the sender's echo of what it is going to send for each block, to the data
// group as soon as it knows: a receiver whose deficit is covered stays silent.
//
//	+---------------------------------------------------------------+
//	|       header (type 3), its two bytes: count of entries        |
//	+---------------------------------------------------------------+ 16
//	|                      sequence (8 bytes)                       |
//	+---------------------------------------------------------------+ 24
//	|  entries of 6 bytes: Need ...
//	+-------------------------
type Owed struct {
	Session SessionID
	// Sequence is the last one sent: what is owed follows it.
	Sequence Sequence
	Needs    List[Need] // at most MaxOwed, in any order
}

const owedSize = 24

// AppendTo appends the packet to dst.
func (o Owed) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeOwed, uint16(o.Needs.Len()), o.Session)
	dst = appendSequence(dst, o.Sequence)
	dst = appendList(dst, o.Needs, MaxOwed)
	return seal(dst, start)
}

// ParseOwed reads a packet of TypeOwed.
func ParseOwed(b []byte) (o Owed, err error) {
	if err := checkPacket(b, TypeOwed, owedSize, MaxControlSize); err != nil {
		return Owed{}, err
	}
	o.Session = SessionID(binary.BigEndian.Uint64(b[8:]))
	o.Sequence = Sequence(binary.BigEndian.Uint64(b[16:]))
	if o.Sequence > MaxSequence {
		return Owed{}, ErrBounds
	}
	if o.Needs, err = parseList[Need](b[owedSize:], binary.BigEndian.Uint16(b[2:]), MaxOwed); err != nil {
		return Owed{}, err
	}
	return o, nil
}
