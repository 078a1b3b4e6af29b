package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// Symbol is one source or repair symbol of a block. It goes to the data group, and
// to receivers served by unicast at the address that echoed their token.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|  0xB  |version|       1       |               K               |
//	+-------+-------+---------------+-------------------------------+ 4
//	|                           checksum                            |
//	+---------------------------------------------------------------+ 8
//	|                                                               |
//	|                            session                            |
//	+---------------------------------------------------------------+ 16
//	|                       sequence (40 bits)                      |
//	+               +-----------------------------------------------+
//	|               |                symbol (24 bits)               |
//	+-+-------------+-----------------------------------------------+ 24
//	|o|                            block                            |
//	+-+-------------------------------------------------------------+ 28
//	|  the symbol's bytes, to the end of the datagram ...
//	+-------------------------
//
// The encoded block tells its length by itself, so a packet need not. A receiver
// takes a packet whose checksum is wrong for a lost one: nothing of it can be
// trusted, the block's number included. Should a block fail its digest all the
// same, the receiver drops all of its symbols and wants it anew.
type Symbol struct {
	Session  SessionID
	Sequence Sequence
	Object   Object
	Block    block.ID
	Symbol   block.SymbolID // 0 .. K-1: source; K and more: repair
	K        uint16         // source symbols in the block, 1 or more
	// Data is the symbol, 1 to block.MaxSymbolSize bytes. Only the last source symbol of a
	// block may be shorter than the session's symbol size, by the zeros at its end.
	Data []byte
}

// SymbolHeaderSize is the bytes in front of the symbol: at MTU 1500, 1444 are left
// for the symbol over IPv4 and 1424 over IPv6.
const SymbolHeaderSize = 28

// SymbolSizeFor is the size of the symbols that fill packets of packetSize bytes:
// an MTU less IP and UDP headers, as in Offer and ProbeStep. More than MaxPacketSize,
// as from a loopback's MTU, counts as that. It returns ErrBounds if not even the
// smallest symbol fits.
func SymbolSizeFor(packetSize int) (uint16, error) {
	if packetSize < minLargestPacket {
		return 0, ErrBounds
	}
	return uint16(min(packetSize, MaxPacketSize) - SymbolHeaderSize), nil
}

// AppendTo appends the packet to dst.
func (s Symbol) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, SymbolHeaderSize)...)
	dst = append(dst, s.Data...)
	s.PutHeader(dst[start:])
	return dst
}

// PutHeader fills the first SymbolHeaderSize bytes of packet, behind which the
// symbol's bytes already stand to its end, checksum included. Data is not looked at.
func (s Symbol) PutHeader(packet []byte) {
	if s.Sequence > MaxSequence || s.Symbol > block.MaxSymbolID || s.K == 0 ||
		len(packet) <= SymbolHeaderSize || len(packet) > MaxPacketSize {
		panic("wire: symbol out of bounds")
	}
	packet[0], packet[1] = magic<<4|Version, byte(TypeSymbol)
	binary.BigEndian.PutUint16(packet[2:], s.K)
	binary.BigEndian.PutUint64(packet[8:], uint64(s.Session))
	binary.BigEndian.PutUint64(packet[16:], uint64(s.Sequence)<<24|uint64(s.Symbol))
	binary.BigEndian.PutUint32(packet[24:], blockRef(s.Object, s.Block))
	binary.BigEndian.PutUint32(packet[checksumAt:], checksum(packet, checksumAt))
}

// ParseSymbol reads a packet of TypeSymbol into s, which it leaves alone if it
// returns an error. Ask Intact before anything is done with what it says; ask before
// that whether the session is ours, and the symbol news.
//
// Unlike the other parsers it fills a struct of the caller's, in a third of the time:
// nine fields are too many to come back in registers.
func ParseSymbol(b []byte, s *Symbol) error {
	if len(b) <= SymbolHeaderSize || len(b) > MaxPacketSize || binary.BigEndian.Uint16(b) != symbolStart {
		return whyNoSymbol(b)
	}
	o, id, ok := parseBlockRef(binary.BigEndian.Uint32(b[24:]))
	k := binary.BigEndian.Uint16(b[2:])
	if !ok || k == 0 {
		return ErrBounds
	}
	// Field by field: a literal would be made on the stack and copied.
	place := binary.BigEndian.Uint64(b[16:])
	s.Session = SessionID(binary.BigEndian.Uint64(b[8:]))
	s.Sequence = Sequence(place >> 24)
	s.Object = o
	s.Block = id
	s.Symbol = block.SymbolID(place) & block.MaxSymbolID
	s.K = k
	s.Data = b[SymbolHeaderSize:]
	return nil
}

// symbolStart is the first two bytes of every symbol.
const symbolStart = (magic<<4|Version)<<8 | uint16(TypeSymbol)

// whyNoSymbol finds the error that one comparison in ParseSymbol stands for.
func whyNoSymbol(b []byte) error {
	if err := checkVersion(b); err != nil {
		return err
	}
	if Type(b[1]) != TypeSymbol {
		return ErrType
	}
	return ErrLength
}
