package mxb1

import (
	"bytes"
	"encoding/binary"
)

// MaxNameLen keeps a description within the 2047 bytes of payload that an
// original client takes, and a name within what file systems take.
const MaxNameLen = 255

// Description answers a map request.
//
//	+-------------------------------+-------------------------------+
//	|                     file size in bytes, u64                   |
//	|                                                               |
//	+-------------------------------+-------------------------------+
//	|                       block size: 1024                        |
//	+-------------------------------+-------------------------------+
//	|      number of blocks, its low 32 bits (0 says 2^32)          |
//	+-------------------------------+-------------------------------+
//	|         name, base name only, closed by a NUL …               |
//	+-------------------------------+-------------------------------+
//
// To a client that made an offer our server appends its own trailer; an original
// client never sees one:
//
//	+-------------------------------+-------------------------------+
//	|                      magic 0x4D584232 "MXB2"                  |
//	+---------------+-----------------------------------------------+
//	|   version 0   |                   reserved                    |
//	+---------------+-----------------------------------------------+
//	|            identity of the image, u64, opaque                 |
//	|                                                               |
//	+-------------------------------+-------------------------------+
//
// The trailer promises that every block comes from the very address and port that
// the description came from, that requests are coalesced, and that the identity
// changes when the image does.
type Description struct {
	SizeBytes  uint64
	Name       string // as it came: it may hold anything but a NUL
	HasTrailer bool   // a trailer is there
	Identity   uint64 // if HasTrailer
}

const (
	descriptionFixedSize = 16
	trailerSize          = 16
)

// AppendTo appends the whole packet, header included, to dst. The caller keeps
// the name within MaxNameLen.
func (d Description) AppendTo(dst []byte) []byte {
	size := descriptionFixedSize + len(d.Name) + 1
	if d.HasTrailer {
		size += trailerSize
	}
	dst = Header{Op: OpDescription, Size: uint16(size)}.AppendTo(dst)
	dst = binary.BigEndian.AppendUint64(dst, d.SizeBytes)
	dst = binary.BigEndian.AppendUint32(dst, BlockSize)
	dst = binary.BigEndian.AppendUint32(dst, uint32(BlockCount(d.SizeBytes)))
	dst = append(append(dst, d.Name...), 0)
	if d.HasTrailer {
		dst = binary.BigEndian.AppendUint32(dst, offerMagic)
		dst = append(dst, 0, 0, 0, 0)
		dst = binary.BigEndian.AppendUint64(dst, d.Identity)
	}
	return dst
}

// ParseDescription parses the payload of an OpDescription. A description of
// another block size, of a number of blocks that does not fit the size, or with a
// name longer than MaxNameLen is refused.
func ParseDescription(payload []byte) (Description, error) {
	if len(payload) < descriptionFixedSize {
		return Description{}, ErrSize
	}
	d := Description{SizeBytes: binary.BigEndian.Uint64(payload)}
	if CheckImageSize(d.SizeBytes) != nil ||
		binary.BigEndian.Uint32(payload[8:]) != BlockSize ||
		binary.BigEndian.Uint32(payload[12:]) != uint32(BlockCount(d.SizeBytes)) {
		return Description{}, ErrSize
	}
	name, rest, closed := bytes.Cut(payload[descriptionFixedSize:], []byte{0})
	if !closed || len(name) > maxPathLen {
		return Description{}, ErrName
	}
	d.Name = string(name)
	if len(rest) >= trailerSize && binary.BigEndian.Uint32(rest) == offerMagic {
		d.HasTrailer, d.Identity = true, binary.BigEndian.Uint64(rest[8:])
	}
	return d, nil
}

// maxPathLen bounds the name of an original server, which describes a whole path.
const maxPathLen = 2047 - descriptionFixedSize - 1
