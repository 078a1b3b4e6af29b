package mxb1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Sizes of MXB 1.
const (
	// BlockSize is the length of a block in bytes; the original client knows no other.
	BlockSize = 1024
	// HeaderSize is in front of every packet.
	HeaderSize = 12
	// MaxPacketSize is the longest packet that carries a block, in bytes.
	MaxPacketSize = HeaderSize + BlockSize
	// MaxImageSize is what 32-bit block ids reach: 4 TiB.
	MaxImageSize = (math.MaxUint32 + 1) * uint64(BlockSize)
)

// Op tells the kind of a packet.
type Op uint16

// The operations.
const (
	OpMapRequest   Op = 1 // client → server's control port
	OpDescription  Op = 2 // server → the address that a map request came from
	OpBlockRequest Op = 3 // client → server's control port
	OpBlock        Op = 4 // server → the group
)

const magic = 0x4D584250 // "MXBP"

// Errors of the parsers: what is wrong with a packet. They carry no detail, since
// bad packets are counted and not printed.
var (
	ErrMagic = errors.New("mxb1: not an MXB 1 packet")
	ErrSize  = errors.New("mxb1: packet size does not fit its kind")
	ErrName  = errors.New("mxb1: name is not terminated")
	ErrRange = errors.New("mxb1: first block lies behind the last")
)

// Header is in front of every packet.
//
//	 0                   1                   2                   3
//	+-------------------------------+-------------------------------+
//	|                      magic 0x4D584250 "MXBP"                  |
//	+-------------------------------+-------------------------------+
//	|              op               |     size: bytes of payload    |
//	+-------------------------------+-------------------------------+
//	|                 block id (op 4 only; else 0)                  |
//	+-------------------------------+-------------------------------+
type Header struct {
	Op    Op
	Size  uint16
	Block uint32
}

// AppendTo appends the header's 12 bytes to dst.
func (h Header) AppendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, magic)
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Op))
	dst = binary.BigEndian.AppendUint16(dst, h.Size)
	return binary.BigEndian.AppendUint32(dst, h.Block)
}

// Parse splits a packet into its header and its payload, which is a part of b of
// exactly Header.Size bytes. Bytes behind the payload are left out; a packet
// shorter than it says is ErrSize.
func Parse(b []byte) (Header, []byte, error) {
	if len(b) < HeaderSize || binary.BigEndian.Uint32(b) != magic {
		return Header{}, nil, ErrMagic
	}
	h := Header{
		Op:    Op(binary.BigEndian.Uint16(b[4:])),
		Size:  binary.BigEndian.Uint16(b[6:]),
		Block: binary.BigEndian.Uint32(b[8:]),
	}
	if len(b)-HeaderSize < int(h.Size) {
		return Header{}, nil, ErrSize
	}
	return h, b[HeaderSize : HeaderSize+int(h.Size)], nil
}

// ParseBlock returns the id of the block that packet b carries and its bytes, a
// part of b. The packet must be exactly as long as it says. Whether the size is
// that block's is for the caller, who knows the image.
func ParseBlock(b []byte) (id uint32, data []byte, err error) {
	h, data, err := Parse(b)
	switch {
	case err != nil:
		return 0, nil, err
	case h.Op != OpBlock || len(b) != HeaderSize+len(data) || len(data) == 0 || len(data) > BlockSize:
		return 0, nil, ErrSize
	}
	return h.Block, data, nil
}

// BlockRequest asks for the blocks First to Last, inclusive. An original client
// asks with Last one past the end.
//
//	+-------------------------------+-------------------------------+
//	|                          first block                          |
//	+-------------------------------+-------------------------------+
//	|                     last block, inclusive                     |
//	+-------------------------------+-------------------------------+
type BlockRequest struct {
	First, Last uint32
}

const blockRequestSize = 8

// AppendTo appends the whole packet, header included, to dst.
func (r BlockRequest) AppendTo(dst []byte) []byte {
	dst = Header{Op: OpBlockRequest, Size: blockRequestSize}.AppendTo(dst)
	dst = binary.BigEndian.AppendUint32(dst, r.First)
	return binary.BigEndian.AppendUint32(dst, r.Last)
}

// ParseBlockRequest parses the payload of an OpBlockRequest.
func ParseBlockRequest(payload []byte) (BlockRequest, error) {
	if len(payload) != blockRequestSize {
		return BlockRequest{}, ErrSize
	}
	r := BlockRequest{binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:])}
	if r.First > r.Last {
		return BlockRequest{}, ErrRange
	}
	return r, nil
}

// BlockCount is the count of blocks of an image of size bytes.
func BlockCount(size uint64) uint64 { return (size + BlockSize - 1) / BlockSize }

// BlockLen is the length in bytes of block id of an image of size bytes.
// It returns 0 where there is no such block.
func BlockLen(size, id uint64) int {
	if id >= BlockCount(size) {
		return 0
	}
	return int(min(BlockSize, size-id*BlockSize))
}

// CheckImageSize returns an error that says why an image of size bytes cannot be
// served or received over MXB 1, or nil.
func CheckImageSize(size uint64) error {
	switch {
	case size == 0:
		return errors.New("the image is empty")
	case size > MaxImageSize:
		return fmt.Errorf("the image has %d bytes, MXB 1 carries 4 TiB (%d) at most", size, MaxImageSize)
	}
	return nil
}
