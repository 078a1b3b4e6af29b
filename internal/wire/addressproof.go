package wire

import (
	"crypto/sha256"
	"encoding/binary"
)

// AddressProof shows the sender that the receiver gets what is sent to the address that the packet
// comes from. Packets of the receiver's number count from that address then. Senders of earlier
// versions ask for none.
//
//	+---------------------------------------------------------------+
//	|                       header (type 0x88)                      |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                        proof (8 bytes)                        |
//	+---------------------------------------------------------------+ 32
//	|               digest of the private number (8 bytes)          |
//	+---------------------------------------------------------------+ 40
type AddressProof struct {
	Session  SessionID
	Receiver ReceiverID
	Proof    Token // of the latest Description that answered the receiver's Offer
	// Digest is of the private number that the receiver has: if it had another address before, only
	// that shows that it is the same one.
	Digest PrivateDigest
}

// PrivateDigest shows who knows a private number, and does not tell it.
type PrivateDigest uint64

const addressProofSize = 40

// Digest is never 0, but for the number 0, which is none.
func (p PrivateNumber) Digest(id ReceiverID) PrivateDigest {
	if p == 0 {
		return 0
	}
	b := binary.BigEndian.AppendUint64([]byte("multiserver private number"), uint64(p))
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(id)))
	return max(1, PrivateDigest(binary.BigEndian.Uint64(sum[:])))
}

// AppendTo appends the packet to dst.
func (a AddressProof) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeAddressProof, 0, a.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Receiver))
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Proof))
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Digest))
	return seal(dst, start)
}

// ParseAddressProof reads a packet of TypeAddressProof.
func ParseAddressProof(b []byte) (AddressProof, error) {
	if err := checkPacket(b, TypeAddressProof, addressProofSize, MaxControlSize); err != nil {
		return AddressProof{}, err
	}
	return AddressProof{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Proof:    Token(binary.BigEndian.Uint64(b[24:])),
		Digest:   PrivateDigest(binary.BigEndian.Uint64(b[32:])),
	}, nil
}
