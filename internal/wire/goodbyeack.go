package wire

import "encoding/binary"

// GoodbyeAck tells receivers that the sender has their Goodbye; one packet serves
// many. It goes to the data group and, for those served by unicast, to them.
//
//	+---------------------------------------------------------------+
//	|      header (type 6), its two bytes: count of receivers       |
//	+---------------------------------------------------------------+ 16
//	|  receivers of 8 bytes ...
//	+---------------+---------
//	|    refusal    |
//	+---------------+
//
// The refusal, 1, is left out otherwise.
type GoodbyeAck struct {
	Session   SessionID
	Receivers List[ReceiverID] // at most MaxGoodbyeAcks, in any order
	// Refusal: the sender has no Goodbye. It does not take the receivers' packets, because their
	// numbers are those of other addresses, or because it does not know them: they ask. Receivers
	// of earlier versions that have not said goodbye ignore the packet.
	Refusal bool
}

const (
	goodbyeAckSize = HeaderSize
	receiverIDSize = 8
)

func (ReceiverID) size() int { return receiverIDSize }

func (r ReceiverID) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(r))
}

func (ReceiverID) parse(b []byte) ReceiverID { return ReceiverID(binary.BigEndian.Uint64(b)) }

func (ReceiverID) valid() bool { return true }

func (ReceiverID) follows(ReceiverID) bool { return true }

// Names reports whether a receiver is among those that are acknowledged.
func (g GoodbyeAck) Names(id ReceiverID) bool {
	for each := range g.Receivers.All() {
		if each == id {
			return true
		}
	}
	return false
}

// AppendTo appends the packet to dst.
func (g GoodbyeAck) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeGoodbyeAck, uint16(g.Receivers.Len()), g.Session)
	dst = appendList(dst, g.Receivers, MaxGoodbyeAcks)
	if g.Refusal {
		dst = append(dst, 1)
	}
	return seal(dst, start)
}

// ParseGoodbyeAck reads a packet of TypeGoodbyeAck.
func ParseGoodbyeAck(b []byte) (g GoodbyeAck, err error) {
	if err := checkPacket(b, TypeGoodbyeAck, goodbyeAckSize, MaxControlSize); err != nil {
		return GoodbyeAck{}, err
	}
	g.Session = SessionID(binary.BigEndian.Uint64(b[8:]))
	if g.Receivers, err = parseList[ReceiverID](b[goodbyeAckSize:], binary.BigEndian.Uint16(b[2:]), MaxGoodbyeAcks); err != nil {
		return GoodbyeAck{}, err
	}
	if behind := b[goodbyeAckSize+g.Receivers.Len()*receiverIDSize:]; len(behind) > 0 {
		g.Refusal = behind[0] == 1
	}
	return g, nil
}
