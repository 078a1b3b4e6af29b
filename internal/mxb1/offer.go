package mxb1

import "encoding/binary"

// offerMagic begins the payload by which our programs know each other.
const offerMagic = 0x4D584232 // "MXB2"

const offerSize = 8

// AppendMapRequest appends a map request, as our client sends it, to dst: the
// original's, with an offer as its payload. An original server ignores a payload.
//
//	+-------------------------------+-------------------------------+
//	|                      magic 0x4D584232 "MXB2"                  |
//	+---------------+-----------------------------------------------+
//	|   version 0   |                   reserved                    |
//	+---------------+-----------------------------------------------+
//
// Version 0 says: one of ours, which speaks MXB 1 only.
func AppendMapRequest(dst []byte) []byte {
	dst = Header{Op: OpMapRequest, Size: offerSize}.AppendTo(dst)
	dst = binary.BigEndian.AppendUint32(dst, offerMagic)
	return append(dst, 0, 0, 0, 0)
}

// IsOffer tells whether the payload of a map request is an offer of any version:
// whether one of our clients asks.
func IsOffer(payload []byte) bool {
	return len(payload) >= offerSize && binary.BigEndian.Uint32(payload) == offerMagic
}
