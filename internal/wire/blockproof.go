package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// BlockProof tells a receiver the digests of one block's source symbols, a group of them each, so
// that it can tell right symbols from somebody else's. It answers WantedProof, by unicast, in as
// many packets as the block needs.
//
//	+---------------------------------------------------------------+
//	|       header (type 9), its two bytes: count of digests        |
//	+---------------------------------------------------------------+ 16
//	|                   private number (8 bytes)                    |
//	+---------------------------------------------------------------+ 24
//	|o|                           block                             |
//	+-------------------------------+-------------------------------+ 28
//	|               K               |          first group          |
//	+-------------------------------+-------------------------------+ 32
//	|  digests, 16 bytes each: SymbolGroup ...
//	+-------------------------
type BlockProof struct {
	Session SessionID
	Private PrivateNumber // of the receiver: nobody else can answer
	Object  Object        // Image or Manifest
	Block   block.ID
	K       uint16 // source symbols of the block; 0: the block of the image is zeros
	First   uint16 // group that the first digest is of
	// Digests are 1 to MaxSymbolGroups, and none of zeros; First and their count are
	// block.MaxProofGroups at most.
	Digests List[SymbolGroup]
}

// SymbolGroup is the first 16 bytes of BLAKE3 of a group of source symbols.
type SymbolGroup [symbolGroupSize]byte

const (
	symbolGroupSize = 16
	blockProofSize  = 32 // without the digests
)

func (SymbolGroup) size() int { return symbolGroupSize }

func (v SymbolGroup) appendTo(dst []byte) []byte { return append(dst, v[:]...) }

func (SymbolGroup) parse(b []byte) SymbolGroup { return SymbolGroup(b) }

func (SymbolGroup) valid() bool { return true }

func (SymbolGroup) follows(SymbolGroup) bool { return true }

// AppendTo appends the packet to dst.
func (p BlockProof) AppendTo(dst []byte) []byte {
	must(p.bounded(), "proof out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeBlockProof, uint16(p.Digests.Len()), p.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Private))
	dst = binary.BigEndian.AppendUint32(dst, blockRef(p.Object, p.Block))
	dst = binary.BigEndian.AppendUint16(dst, p.K)
	dst = binary.BigEndian.AppendUint16(dst, p.First)
	dst = appendList(dst, p.Digests, MaxSymbolGroups)
	return seal(dst, start)
}

// ParseBlockProof reads a packet of TypeBlockProof.
func ParseBlockProof(b []byte) (BlockProof, error) {
	if err := checkPacket(b, TypeBlockProof, blockProofSize, MaxControlSize); err != nil {
		return BlockProof{}, err
	}
	digests, err := parseList[SymbolGroup](b[blockProofSize:], binary.BigEndian.Uint16(b[2:]), MaxSymbolGroups)
	if err != nil {
		return BlockProof{}, err
	}
	object, id, ok := parseBlockRef(binary.BigEndian.Uint32(b[24:]))
	p := BlockProof{
		Session: SessionID(binary.BigEndian.Uint64(b[8:])),
		Private: PrivateNumber(binary.BigEndian.Uint64(b[16:])),
		Object:  object,
		Block:   id,
		K:       binary.BigEndian.Uint16(b[28:]),
		First:   binary.BigEndian.Uint16(b[30:]),
		Digests: digests,
	}
	if !ok || !p.bounded() {
		return BlockProof{}, ErrBounds
	}
	return p, nil
}

func (p *BlockProof) bounded() bool {
	if p.K == 0 {
		return p.Object == Image && p.First == 0 && p.Digests.Len() == 0
	}
	return p.Object != Twin && p.Digests.Len() > 0 && int(p.First)+p.Digests.Len() <= block.MaxProofGroups
}
