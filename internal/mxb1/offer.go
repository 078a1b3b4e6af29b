package mxb1

import "encoding/binary"

// offerMagic begins the payload by which our programs know each other.
const offerMagic = 0x4D584232 // "MXB2"

const offerSize = 8

// AppendMapRequest appends a map request to dst, with an offer as its payload, which
// an original server ignores:
//
//	+-------------------------------+-------------------------------+
//	|                      magic 0x4D584232 "MXB2"                  |
//	+---------------+-----------------------------------------------+
//	|   version 0   |                   reserved                    |
//	+---------------+-----------------------------------------------+
//
// Version 0 says: one of ours, which wants MXB 1. Later versions are offers of MXB 2.
func AppendMapRequest(dst, offer []byte) []byte {
	dst = Header{Op: OpMapRequest, Size: uint16(len(offer))}.AppendTo(dst)
	return append(dst, offer...)
}

// Offer is the offer of version 0.
func Offer() []byte { return []byte{'M', 'X', 'B', '2', 0, 0, 0, 0} }

// IsOffer reports whether the payload of a map request is an offer of any version:
// whether one of our clients asks.
func IsOffer(payload []byte) bool {
	return len(payload) >= offerSize && binary.BigEndian.Uint32(payload) == offerMagic
}
