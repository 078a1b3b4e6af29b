package wire

import "encoding/binary"

// RepairAdv is the repair advertisement (RFC 5740, NORM_CMD(REPAIR_ADV)): how many symbols
// the sender is going to send of each block, to the data group as soon as it knows. A
// receiver whose NACK is covered stays silent.
//
//	+---------------------------------------------------------------+
//	|       header (type 3), its two bytes: count of entries        |
//	+---------------------------------------------------------------+ 16
//	|                      sequence (8 bytes)                       |
//	+---------------------------------------------------------------+ 24
//	|  entries of 6 bytes: SymbolCount ...
//	+-------------------------
type RepairAdv struct {
	Session SessionID
	// Sequence is the last one sent: what is pending follows it.
	Sequence Sequence
	Pending  List[SymbolCount] // at most MaxPending, in any order
}

const repairAdvSize = 24

// AppendTo appends the packet to dst.
func (o RepairAdv) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeRepairAdv, uint16(o.Pending.Len()), o.Session)
	dst = appendSequence(dst, o.Sequence)
	dst = appendList(dst, o.Pending, MaxPending)
	return seal(dst, start)
}

// ParseRepairAdv reads a packet of TypeRepairAdv.
func ParseRepairAdv(b []byte) (o RepairAdv, err error) {
	if err := checkPacket(b, TypeRepairAdv, repairAdvSize, MaxControlSize); err != nil {
		return RepairAdv{}, err
	}
	o.Session = SessionID(binary.BigEndian.Uint64(b[8:]))
	o.Sequence = Sequence(binary.BigEndian.Uint64(b[16:]))
	if o.Sequence > MaxSequence {
		return RepairAdv{}, ErrBounds
	}
	if o.Pending, err = parseList[SymbolCount](b[repairAdvSize:], binary.BigEndian.Uint16(b[2:]), MaxPending); err != nil {
		return RepairAdv{}, err
	}
	return o, nil
}
