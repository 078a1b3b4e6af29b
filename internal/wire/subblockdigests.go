package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// SubblockDigests are digests of sub-blocks of one block of the image, for receivers whose
// target holds something else there: a sub-block that is the same need not be sent. The
// packet goes to the data group and to receivers served by unicast, as many times as the
// block's sub-blocks need. It has no sequence number: a receiver that lost one asks again.
//
//	+---------------------------------------------------------------+
//	|       header (type 8), its two bytes: count of digests        |
//	+---------------------------------------------------------------+ 16
//	|0|                           block                             |
//	+-------------------------------+-------------------------------+ 20
//	|               K               |        first sub-block        |
//	+-------------------------------+-------------------------------+ 24
//	|  digests, 8 bytes each: SubblockDigest ...
//	+-------------------------------+
//	|         K as it is sent       |
//	+-------------------------------+
type SubblockDigests struct {
	Session SessionID
	Block   block.ID // of the image
	K       uint16   // source symbols of the block's raw encoding, 1 or more
	SentK   uint16   // those of the block as it is sent; 0, and not sent: raw
	First   uint16   // sub-block that the first digest is of
	// Digests are 1 to MaxSubblocks; First and their count are MaxSubblocksPerBlock at most.
	Digests List[SubblockDigest]
}

// SubblockDigest is the first 8 bytes of BLAKE3 of a sub-block, big-endian.
type SubblockDigest uint64

const (
	subblockDigestSize  = 8
	subblockDigestsSize = 24 // without the digests
)

func (SubblockDigest) size() int { return subblockDigestSize }

func (d SubblockDigest) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(d))
}

func (SubblockDigest) parse(b []byte) SubblockDigest {
	return SubblockDigest(binary.BigEndian.Uint64(b))
}

func (SubblockDigest) valid() bool { return true }

func (SubblockDigest) follows(SubblockDigest) bool { return true }

// AppendTo appends the packet to dst.
func (p SubblockDigests) AppendTo(dst []byte) []byte {
	must(p.bounded(), "sub-blocks out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeSubblockDigests, uint16(p.Digests.Len()), p.Session)
	dst = binary.BigEndian.AppendUint32(dst, blockRef(Image, p.Block))
	dst = binary.BigEndian.AppendUint16(dst, p.K)
	dst = binary.BigEndian.AppendUint16(dst, p.First)
	dst = appendList(dst, p.Digests, MaxSubblocks)
	if p.SentK != 0 {
		must(p.Digests.Len() < MaxSubblocks, "no room for K")
		dst = binary.BigEndian.AppendUint16(dst, p.SentK)
	}
	return seal(dst, start)
}

// ParseSubblockDigests reads a packet of TypeSubblockDigests.
func ParseSubblockDigests(b []byte) (SubblockDigests, error) {
	if err := checkPacket(b, TypeSubblockDigests, subblockDigestsSize, MaxControlSize); err != nil {
		return SubblockDigests{}, err
	}
	digests, err := parseList[SubblockDigest](b[subblockDigestsSize:], binary.BigEndian.Uint16(b[2:]), MaxSubblocks)
	if err != nil {
		return SubblockDigests{}, err
	}
	object, id, ok := parseBlockRef(binary.BigEndian.Uint32(b[16:]))
	p := SubblockDigests{
		Session: SessionID(binary.BigEndian.Uint64(b[8:])),
		Block:   id,
		K:       binary.BigEndian.Uint16(b[20:]),
		First:   binary.BigEndian.Uint16(b[22:]),
		Digests: digests,
	}
	if behind := b[subblockDigestsSize+digests.Len()*subblockDigestSize:]; len(behind) >= 2 {
		p.SentK = binary.BigEndian.Uint16(behind)
	}
	if !ok || object != Image || !p.bounded() {
		return SubblockDigests{}, ErrBounds
	}
	return p, nil
}

func (p *SubblockDigests) bounded() bool {
	return p.K > 0 && p.Digests.Len() > 0 && int(p.First)+p.Digests.Len() <= MaxSubblocksPerBlock
}
