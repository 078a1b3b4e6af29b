package wire

import (
	"encoding/binary"

	"multiserver/internal/block"
)

// SymbolCount is a count of symbols of one block: in a Report's NACKs (RFC 5740) those that
// the receiver still needs to rebuild it, K − rank, and in a RepairAdv those that the sender
// is going to send.
//
//	+-+-------------------------------------------------------------+
//	|o|                            block                            |
//	+-+-----------------------------+-------------------------------+
//	|            symbols            |
//	+-------------------------------+
type SymbolCount struct {
	Object  Object
	Block   block.ID
	Symbols uint16 // 1 or more
}

const symbolCountSize = 6

func (SymbolCount) size() int { return symbolCountSize }

func (n SymbolCount) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, blockRef(n.Object, n.Block))
	return binary.BigEndian.AppendUint16(dst, n.Symbols)
}

func (SymbolCount) parse(b []byte) (n SymbolCount) {
	n.Object, n.Block, _ = parseBlockRef(binary.BigEndian.Uint32(b))
	n.Symbols = binary.BigEndian.Uint16(b[4:])
	return n
}

func (n SymbolCount) valid() bool { return n.Block < block.MaxBlockCount && n.Symbols > 0 }

// follows: needs come in any order, for instance the largest first.
func (n SymbolCount) follows(SymbolCount) bool { return true }
