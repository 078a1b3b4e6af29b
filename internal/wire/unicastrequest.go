package wire

import "encoding/binary"

// UnicastRequest asks the sender for the stream by unicast, from a receiver that
// hears nothing of the data group, or ends that. It is sent every report interval,
// else it lapses. The sender serves the address that the request came from if Token
// is that of this address: else anybody could have a stream sent at somebody else.
//
//	+---------------------------------------------------------------+
//	|     header (type 0x86), its two bytes: reserved, flags        |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                        token (8 bytes)                        |
//	+---------------------------------------------------------------+ 32
type UnicastRequest struct {
	Session  SessionID
	Receiver ReceiverID
	Token    Token // of the latest Description that answered the receiver's Offer
	Wanted   bool
}

const (
	unicastRequestSize = 32
	flagUnicastWanted  = 1
)

// AppendTo appends the packet to dst.
func (u UnicastRequest) AppendTo(dst []byte) []byte {
	start := len(dst)
	var two uint16
	if u.Wanted {
		two = flagUnicastWanted
	}
	dst = appendHeader(dst, TypeUnicastRequest, two, u.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(u.Receiver))
	dst = binary.BigEndian.AppendUint64(dst, uint64(u.Token))
	return seal(dst, start)
}

// ParseUnicastRequest reads a packet of TypeUnicastRequest.
func ParseUnicastRequest(b []byte) (UnicastRequest, error) {
	if err := checkPacket(b, TypeUnicastRequest, unicastRequestSize, MaxControlSize); err != nil {
		return UnicastRequest{}, err
	}
	return UnicastRequest{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Token:    Token(binary.BigEndian.Uint64(b[24:])),
		Wanted:   b[3]&flagUnicastWanted != 0,
	}, nil
}
