package wire

import "encoding/binary"

// Signature is what is signed of the sender's image, to one receiver that asked.
//
//	+---------------------------------------------------------------+
//	|         header (type 10), its two bytes: size of both         |
//	+---------------------------------------------------------------+ 16
//	|                   private number (8 bytes)                    |
//	+---------------------------------------------------------------+ 24
//	|  size of the statement (2 bytes), statement, its signature ...
//	+---------------------------------------------------------------
type Signature struct {
	Session SessionID
	Private PrivateNumber // the receiver's, by which it knows that the answer is its sender's
	// Signed is a statement with its signature, as statement.Signed has it, MaxSigned bytes at most;
	// empty: the image is not signed. Parsed, it is a part of the packet.
	Signed []byte
}

const signatureSize = 24

// MaxSigned is how many bytes a statement and its signature have at most.
const MaxSigned = MaxControlSize - signatureSize

// AppendTo appends the packet to dst.
func (s Signature) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeSignature, uint16(len(s.Signed)), s.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Private))
	return seal(append(dst, s.Signed...), start)
}

// ParseSignature reads a packet of TypeSignature.
func ParseSignature(b []byte) (Signature, error) {
	if err := checkPacket(b, TypeSignature, signatureSize, MaxControlSize); err != nil {
		return Signature{}, err
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size > len(b)-signatureSize {
		return Signature{}, ErrLength
	}
	s := Signature{Session: SessionID(binary.BigEndian.Uint64(b[8:])), Private: PrivateNumber(binary.BigEndian.Uint64(b[16:]))}
	if size > 0 {
		s.Signed = b[signatureSize:][:size:size]
	}
	return s, nil
}
