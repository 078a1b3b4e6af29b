package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"multiserver/internal/block"
)

// HeaderSize is the bytes that all packets but Offer begin with:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|  0xB  |version|     type      |    two bytes of each type     |
//	+-------+-------+---------------+-------------------------------+
//	|                           checksum                            |
//	+---------------------------------------------------------------+
//	|                                                               |
//	|                            session                            |
//	+---------------------------------------------------------------+
//
// The first byte tells MXB 2 from MXB 1 ("MXBP") on the control port. The checksum
// is CRC-32C (RFC 3720 §B.4) of the whole packet without these four bytes. UDP's
// sum lets one damaged packet in 65536 through, and none is computed between
// virtual machines; one damaged symbol would spoil its block, which the block's digest
// finds only at the end, and the block would have to be sent again to all. With
// the checksum a damaged packet is a lost one. It takes 0.1 s of CPU a GB at most
// (BenchmarkIntact, which runs at 12 GB/s on a busy machine).
const HeaderSize = 16

// Version is the version of the packets that this package reads and writes.
const Version = 1

const magic = 0xB // upper half of the first byte

// Type is the kind of a packet. The top bit is set in what receivers send.
type Type uint8

// The types of packets.
const (
	TypeSymbol          Type = 1
	TypeZeroRun         Type = 2
	TypeRepairAdv       Type = 3
	TypeHeartbeat       Type = 4
	TypeProbe           Type = 5
	TypeGoodbyeAck      Type = 6
	TypeDescription     Type = 7
	TypeSubblockDigests Type = 8
	TypeBlockProof      Type = 9
	TypeSignature       Type = 10

	TypeReport          Type = 0x81
	TypeWanted          Type = 0x82
	TypeWantedSymbols   Type = 0x83
	TypeProbeReport     Type = 0x84
	TypeGoodbye         Type = 0x85
	TypeUnicastRequest  Type = 0x86
	TypeWantedSubblocks Type = 0x87
	TypeAddressProof    Type = 0x88
	TypeWantedProof     Type = 0x89
	TypeWantedSignature Type = 0x8a
)

// SessionID is the random number of a session, new at each start of a sender.
// Whoever has not seen it cannot forge a packet.
type SessionID uint64

// ReceiverID is the random number of a receiver, new at each start, never 0.
type ReceiverID uint64

// Sequence numbers the packets of a stream, symbols and zero runs alike, from 1
// in steps of one; 0 says none yet. The data group has one stream and what goes by
// unicast another, whose numbers begin at UnicastSequence + 1.
type Sequence uint64

// UnicastSequence is the upper half of the numbers.
const UnicastSequence Sequence = 1 << 39

// Unicast reports whether q is of a unicast stream.
func (q Sequence) Unicast() bool { return q >= UnicastSequence }

// Object is what a block belongs to. On the wire it is two bits of the block's
// 32: the top bit says the manifest, and bit 26 says a twin.
type Object uint8

// The objects of a session.
const (
	Image    Object = 0
	Manifest Object = 1
	// Twin is the image once more, in a session with other codecs than raw: each of its blocks
	// in its raw encoding. Its symbols are the plain bytes, for who has some of them already.
	Twin Object = 2
)

// Errors of all parsers.
var (
	ErrMagic    = errors.New("not an MXB 2 packet")
	ErrType     = errors.New("packet is of another type")
	ErrLength   = errors.New("packet is cut short or too long")
	ErrChecksum = errors.New("packet is damaged")
	ErrBounds   = errors.New("field out of bounds")
)

// VersionError is the version of a packet that this package does not know.
type VersionError uint8

func (e VersionError) Error() string { return fmt.Sprintf("unknown packet version %d", uint8(e)) }

// Peek returns the type and the session of a packet, whose checksum it does not
// look at. It returns ErrMagic, ErrLength or a VersionError; an unknown type is
// none.
func Peek(b []byte) (Type, SessionID, error) {
	if err := checkVersion(b); err != nil {
		return 0, 0, err
	}
	return Type(b[1]), SessionID(binary.BigEndian.Uint64(b[8:])), nil
}

func checkVersion(b []byte) error {
	switch {
	case len(b) == 0 || b[0]>>4 != magic:
		return ErrMagic
	case b[0] != magic<<4|Version:
		return VersionError(b[0] & 0xf)
	case len(b) < HeaderSize:
		return ErrLength
	}
	return nil
}

// Intact reports whether the checksum of a packet of at least HeaderSize bytes is right.
func Intact(b []byte) bool {
	return binary.BigEndian.Uint32(b[checksumAt:]) == checksum(b, checksumAt)
}

const checksumAt = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is over b without the 4 bytes at offset at.
func checksum(b []byte, at int) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, b[:at]), castagnoli, b[at+4:])
}

// checkPacket holds what is common to all packets but Symbol and Offer: at least
// minSize and at most maxSize bytes of type t, intact.
func checkPacket(b []byte, t Type, minSize, maxSize int) error {
	if err := checkVersion(b); err != nil {
		return err
	}
	switch {
	case Type(b[1]) != t:
		return ErrType
	case len(b) < minSize || len(b) > maxSize:
		return ErrLength
	case !Intact(b):
		return ErrChecksum
	}
	return nil
}

// appendHeader appends a header whose checksum is still missing; two is what
// the type has in its two bytes.
func appendHeader(dst []byte, t Type, two uint16, s SessionID) []byte {
	dst = append(dst, magic<<4|Version, byte(t), byte(two>>8), byte(two), 0, 0, 0, 0)
	return binary.BigEndian.AppendUint64(dst, uint64(s))
}

// seal fills in the checksum of the packet that begins at offset start of dst.
func seal(dst []byte, start int) []byte {
	b := dst[start:]
	binary.BigEndian.PutUint32(b[checksumAt:], checksum(b, checksumAt))
	return dst
}

// must panics if a packet to be sent is one that no parser takes.
func must(ok bool, what string) {
	if !ok {
		panic("wire: " + what)
	}
}

// twinBit is the lowest bit that no block's index needs.
const twinBit = block.MaxBlockCount

// blockRef is a block on the wire: its object in the top bit and in twinBit.
func blockRef(o Object, id block.ID) uint32 {
	must(o <= Twin && id < block.MaxBlockCount, "block out of bounds")
	if o == Twin {
		return twinBit | uint32(id)
	}
	return uint32(o)<<31 | uint32(id)
}

// parseBlockRef returns a block that is out of bounds if it is not ok.
func parseBlockRef(ref uint32) (o Object, id block.ID, ok bool) {
	o, id = Object(ref>>31), block.ID(ref&(1<<31-1))
	if o == Image && id&^(twinBit-1) == twinBit {
		return Twin, id &^ twinBit, true
	}
	return o, id, id < block.MaxBlockCount
}

func appendSequence(dst []byte, q Sequence) []byte {
	must(q <= MaxSequence, "sequence out of bounds")
	return binary.BigEndian.AppendUint64(dst, uint64(q))
}

// appendMicros appends d in microseconds, held to 0 .. 2^32-1.
func appendMicros(dst []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(d.Microseconds(), 0), 1<<32-1)))
}

func micros(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}
