package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// WantedProof asks the sender for the proof of one block, of which symbols came that are not what
// the block's digest says. The sender answers the address that it came from, if Private is the
// number that it told the receiver.
//
//	+---------------------------------------------------------------+
//	|         header (type 0x89), its two bytes: reserved           |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                   private number (8 bytes)                    |
//	+---------------------------------------------------------------+ 32
//	|o|                           block                             |
//	+-+-------------------------------------------------------------+ 36
type WantedProof struct {
	Session  SessionID
	Receiver ReceiverID
	Private  PrivateNumber // of the description that answered the receiver's private offer
	Object   Object
	Block    block.ID
}

const wantedProofSize = 36

// AppendTo appends the packet to dst.
func (w WantedProof) AppendTo(dst []byte) []byte {
	must(w.Object != Twin, "proof of a twin wanted")
	start := len(dst)
	dst = appendHeader(dst, TypeWantedProof, 0, w.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Receiver))
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.Private))
	dst = binary.BigEndian.AppendUint32(dst, blockRef(w.Object, w.Block))
	return seal(dst, start)
}

// ParseWantedProof reads a packet of TypeWantedProof.
func ParseWantedProof(b []byte) (WantedProof, error) {
	if err := checkPacket(b, TypeWantedProof, wantedProofSize, MaxControlSize); err != nil {
		return WantedProof{}, err
	}
	object, id, ok := parseBlockRef(binary.BigEndian.Uint32(b[32:]))
	if !ok || object == Twin {
		return WantedProof{}, ErrBounds
	}
	return WantedProof{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Private:  PrivateNumber(binary.BigEndian.Uint64(b[24:])),
		Object:   object,
		Block:    id,
	}, nil
}
