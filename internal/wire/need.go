package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// Need is a count of symbols of one block: those that a receiver still needs to
// rebuild it, K − rank, or those that the sender is going to send.
//
//	+-+-------------------------------------------------------------+
//	|o|                            block                            |
//	+-+-----------------------------+-------------------------------+
//	|            symbols            |
//	+-------------------------------+
type Need struct {
	Object  Object
	Block   block.ID
	Symbols uint16 // 1 or more
}

const needSize = 6

func (Need) size() int { return needSize }

func (n Need) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, blockRef(n.Object, n.Block))
	return binary.BigEndian.AppendUint16(dst, n.Symbols)
}

func (Need) parse(b []byte) (n Need) {
	n.Object, n.Block, _ = parseBlockRef(binary.BigEndian.Uint32(b))
	n.Symbols = binary.BigEndian.Uint16(b[4:])
	return n
}

func (n Need) valid() bool { return n.Block < block.MaxBlockCount && n.Symbols > 0 }

// follows: needs come in any order, for instance the largest first.
func (n Need) follows(Need) bool { return true }
