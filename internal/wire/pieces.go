package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// Pieces are the digests of pieces of one block of the image, for receivers whose target
// holds something else there: whatever piece is the same need not be sent. It goes to
// the data group and to receivers served by unicast, as many packets as the block's
// pieces need. It has no sequence number: a receiver that lost one asks again.
//
//	+---------------------------------------------------------------+
//	|       header (type 8), its two bytes: count of digests        |
//	+---------------------------------------------------------------+ 16
//	|0|                           block                             |
//	+-------------------------------+-------------------------------+ 20
//	|               K               |          first piece          |
//	+-------------------------------+-------------------------------+ 24
//	|  digests, 8 bytes each: PieceDigest ...
//	+-------------------------
type Pieces struct {
	Session SessionID
	Block   block.ID // of the image
	K       uint16   // source symbols of the block as it is sent in this session, 1 or more
	First   uint16   // piece that the first digest is of
	// Digests are 1 to MaxPieces; First and their count are MaxPiecesPerBlock at most.
	Digests List[PieceDigest]
}

// PieceDigest is the first 8 bytes of BLAKE3 of a piece, big-endian.
type PieceDigest uint64

const (
	pieceDigestSize = 8
	piecesSize      = 24 // without the digests
)

func (PieceDigest) size() int { return pieceDigestSize }

func (d PieceDigest) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(d))
}

func (PieceDigest) parse(b []byte) PieceDigest { return PieceDigest(binary.BigEndian.Uint64(b)) }

func (PieceDigest) valid() bool { return true }

func (PieceDigest) follows(PieceDigest) bool { return true }

// AppendTo appends the packet to dst.
func (p Pieces) AppendTo(dst []byte) []byte {
	must(p.bounded(), "pieces out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypePieces, uint16(p.Digests.Len()), p.Session)
	dst = binary.BigEndian.AppendUint32(dst, blockRef(Image, p.Block))
	dst = binary.BigEndian.AppendUint16(dst, p.K)
	dst = binary.BigEndian.AppendUint16(dst, p.First)
	dst = appendList(dst, p.Digests, MaxPieces)
	return seal(dst, start)
}

// ParsePieces reads a packet of TypePieces.
func ParsePieces(b []byte) (Pieces, error) {
	if err := checkPacket(b, TypePieces, piecesSize, MaxControlSize); err != nil {
		return Pieces{}, err
	}
	digests, err := parseList[PieceDigest](b[piecesSize:], binary.BigEndian.Uint16(b[2:]), MaxPieces)
	if err != nil {
		return Pieces{}, err
	}
	object, id, ok := parseBlockRef(binary.BigEndian.Uint32(b[16:]))
	p := Pieces{
		Session: SessionID(binary.BigEndian.Uint64(b[8:])),
		Block:   id,
		K:       binary.BigEndian.Uint16(b[20:]),
		First:   binary.BigEndian.Uint16(b[22:]),
		Digests: digests,
	}
	if !ok || object != Image || !p.bounded() {
		return Pieces{}, ErrBounds
	}
	return p, nil
}

func (p *Pieces) bounded() bool {
	return p.K > 0 && p.Digests.Len() > 0 && int(p.First)+p.Digests.Len() <= MaxPiecesPerBlock
}
