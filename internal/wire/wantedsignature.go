package wire

import "encoding/binary"

// WantedSignature asks the sender for what is signed of its image. The sender answers if Token is
// its own for the receiver and the address that the packet came from.
//
//	+---------------------------------------------------------------+
//	|         header (type 0x8a), its two bytes: reserved           |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                        token (8 bytes)                        |
//	+---------------------------------------------------------------+ 32
type WantedSignature struct {
	Session  SessionID
	Receiver ReceiverID
	Token    Token // of the description that went to this address
}

const wantedSignatureSize = 32

// AppendTo appends the packet to dst.
func (w WantedSignature) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeWantedSignature, 0, w.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Receiver))
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Token))
	return seal(dst, start)
}

// ParseWantedSignature reads a packet of TypeWantedSignature.
func ParseWantedSignature(b []byte) (WantedSignature, error) {
	if err := checkPacket(b, TypeWantedSignature, wantedSignatureSize, MaxControlSize); err != nil {
		return WantedSignature{}, err
	}
	return WantedSignature{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Token:    Token(binary.BigEndian.Uint64(b[24:])),
	}, nil
}
