package wire

import (
	"encoding/binary"
	"net/netip"

	"multiserver/internal/block"
)

// Offer is what a receiver puts behind the header of MXB 1's map request, op 1,
// which an original server ignores: it offers to speak MXB 2. It goes where a map
// request goes: to the control port, at GROUP, at a broadcast address or at HOST.
// The answer is a Description, to the address that the offer came from.
//
//	+---------------------------------------------------------------+
//	|                      0x4D584232 ("MXB2")                      |
//	+---------------+-----------------------------------------------+
//	|    version    |     flags     |           reserved            |
//	+---------------+-----------------------------------------------+
//	|                           checksum                            |
//	+-------------------------------+-------------------------------+
//	|            codecs             |        largest packet         |
//	+-------------------------------+-------------------------------+
//	|                                                               |
//	|                           receiver                            |
//	+---------------+-----------------------------------------------+
//	|  name length  |  host's name ...
//	+---------------+-----------------------------------------------+
//	|                       machine (8 bytes)                       |
//	+---------------------------------------------------------------+ +8
//	|                       source (16 bytes)                       |
//	+---------------------------------------------------------------+ +24
//	|               digest of the private number (8 bytes)          |
//	+---------------------------------------------------------------+ +32
//	|  zeros ...
//	+-----------
//
// The zeros make the question as large as its answer: a sender answers no more than it was sent.
//
// Unlike in other packets, an unknown version is no error if it is a later one:
// later versions add fields at the end only, and a sender answers in the latest
// version that both speak. Version 0 means that the program is ours and speaks
// MXB 1 only; nothing need follow it.
type Offer struct {
	Version uint8 // the latest that the receiver speaks
	// Private: the offer went to the sender's own address, and nobody else knows Receiver. The
	// answer may not go by broadcast.
	Private  bool
	Receiver ReceiverID
	Codecs   Codecs // those that the receiver can decode
	// LargestPacket is the greatest payload of a UDP datagram that passes the
	// receiver's interface: its MTU less IP and UDP headers.
	LargestPacket uint16
	HostName      []byte // Text, may be empty
	// Size is how many bytes the offer has with its zeros, at most MaxControlSize; fewer than it
	// needs are no zeros. ParseOffer does not set it.
	Size int
	// Machine tells one machine from another that has the same address: opaque, another one after
	// each boot. 0, unknown, is not sent, and neither is Source then.
	Machine uint64
	// Source is the address that the offer is sent from, by the receiver's knowledge, without a
	// zone. It is not valid if that is unknown.
	Source netip.Addr
	// Digest is of the private number that the receiver has of the session; 0 if it has none.
	Digest PrivateDigest
}

// Codecs is a set of the codecs of encoded blocks: bit n stands for number n.
type Codecs uint16

const (
	offerMagic      = 0x4D584232
	offerSize       = 25 // without the name
	offerChecksumAt = 8
	flagPrivate     = 1
	machineSize     = 24 // behind the name
)

// minLargestPacket holds the smallest symbol that there is.
const minLargestPacket = SymbolHeaderSize + block.MinSymbolSize

// AppendTo appends the offer, a map request's payload, to dst.
func (o Offer) AppendTo(dst []byte) []byte {
	must(o.Version > 0, "offer without a version")
	must(o.LargestPacket >= minLargestPacket && o.LargestPacket <= MaxPacketSize, "largest packet out of bounds")
	must(validText(o.HostName), "host name is no Text")
	must(o.Size <= MaxControlSize, "offer too large")
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, offerMagic)
	flags := byte(0)
	if o.Private {
		flags = flagPrivate
	}
	dst = append(dst, o.Version, flags, 0, 0, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(o.Codecs))
	dst = binary.BigEndian.AppendUint16(dst, o.LargestPacket)
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.Receiver))
	dst = append(dst, byte(len(o.HostName)))
	dst = append(dst, o.HostName...)
	if o.Machine != 0 || o.Digest != 0 || o.Size > len(dst)-start {
		dst = binary.BigEndian.AppendUint64(dst, o.Machine)
		var source [16]byte
		if o.Machine != 0 && o.Source.IsValid() {
			source = o.Source.As16()
		}
		dst = append(dst, source[:]...)
	}
	if o.Digest != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(o.Digest))
	}
	if zeros := o.Size - (len(dst) - start); zeros > 0 {
		dst = append(dst, make([]byte, zeros)...)
	}
	b := dst[start:]
	binary.BigEndian.PutUint32(b[offerChecksumAt:], checksum(b, offerChecksumAt))
	return dst
}

// ParseOffer reads the payload of a map request. It returns ErrMagic for that of
// an original client, and VersionError(0) for a program of ours that speaks MXB 1.
func ParseOffer(b []byte) (Offer, error) {
	switch {
	case len(b) < 5 || binary.BigEndian.Uint32(b) != offerMagic:
		return Offer{}, ErrMagic
	case b[4] == 0:
		return Offer{}, VersionError(0)
	case len(b) < offerSize || len(b) > MaxControlSize:
		return Offer{}, ErrLength
	case binary.BigEndian.Uint32(b[offerChecksumAt:]) != checksum(b, offerChecksumAt):
		return Offer{}, ErrChecksum
	}
	end := offerSize + int(b[24])
	if len(b) < end {
		return Offer{}, ErrLength
	}
	o := Offer{
		Version:       b[4],
		Private:       b[5]&flagPrivate != 0,
		Codecs:        Codecs(binary.BigEndian.Uint16(b[12:])),
		LargestPacket: binary.BigEndian.Uint16(b[14:]),
		Receiver:      ReceiverID(binary.BigEndian.Uint64(b[16:])),
		HostName:      b[offerSize:end:end],
	}
	if o.LargestPacket < minLargestPacket || o.LargestPacket > MaxPacketSize || !validText(o.HostName) {
		return Offer{}, ErrBounds
	}
	if behind := b[end:]; len(behind) >= machineSize {
		o.Machine = binary.BigEndian.Uint64(behind)
		if source := [16]byte(behind[8:]); o.Machine != 0 && source != [16]byte{} {
			o.Source = netip.AddrFrom16(source).Unmap()
		}
		if behind = behind[machineSize:]; len(behind) >= 8 {
			o.Digest = PrivateDigest(binary.BigEndian.Uint64(behind))
		}
	}
	return o, nil
}
