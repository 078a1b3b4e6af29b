package udp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	protocolIGMP = 2
	igmpQuery    = 0x11

	// maxResponseTime is the usual one (RFC 2236 §8.3): in that time every member
	// answers a query, each at random, so that thousands do not at once.
	maxResponseTime = 10 * time.Second
	// responseUnit is what the packet counts in.
	responseUnit = 100 * time.Millisecond
)

// appendQuery appends an IP packet with a general query of IGMPv2 that asks every
// member on the network to report its groups within response, which is rounded down
// to a tenth of a second of 1 to 255.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|   4   |   6   |     0xC0      |              32               |
//	+-------+-------+---------------+-------------------------------+
//	|               0               |         don't fragment        |
//	+---------------+---------------+-------------------------------+
//	|    TTL 1      |    IGMP 2     |       header's checksum       |
//	+---------------+---------------+-------------------------------+
//	|                     from 0.0.0.0                              |
//	+---------------------------------------------------------------+
//	|                     to 224.0.0.1                              |
//	+---------------------------------------------------------------+
//	|                     Router Alert (RFC 2113)                   |
//	+---------------+---------------+-------------------------------+
//	|  query 0x11   | response time |           checksum            |
//	+---------------+---------------+-------------------------------+
//	|                     all groups: 0                             |
//	+---------------------------------------------------------------+
//
// From 0.0.0.0 it must not win an election of queriers (RFC 4541 §2.1.1), so that it
// takes no router's place. Unlike RFC 3376 §4.1, it is not of IGMPv3: members then
// answer with reports of IGMPv2, and those every switch understands that snoops.
func appendQuery(dst []byte, response time.Duration) []byte {
	packet := [32]byte{
		0x46, 0xC0, 0, 32,
		6: 0x40,
		8: 1, protocolIGMP,
		16: 224, 0, 0, 1,
		20: 148, 4, 0, 0,
		24: igmpQuery, byte(min(max(response/responseUnit, 1), 255)), // 0 is a query of IGMPv1
	}
	binary.BigEndian.PutUint16(packet[10:], checksum(packet[:24]))
	binary.BigEndian.PutUint16(packet[26:], checksum(packet[24:]))
	return append(dst, packet[:]...)
}

// parseQuery returns who sent b if that is an IP packet with a general query of any
// version of IGMP. What follows the packet (Ethernet pads short ones) is ignored.
func parseQuery(b []byte) (source netip.Addr, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 || b[9] != protocolIGMP || binary.BigEndian.Uint16(b[6:])&0x3FFF != 0 { // a fragment
		return source, false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header+8 || total > len(b) {
		return source, false
	}
	igmp := b[header:total]
	if igmp[0] != igmpQuery || binary.BigEndian.Uint32(igmp[4:]) != 0 || checksum(igmp) != 0 {
		return source, false
	}
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// checksum is that of RFC 1071, and 0 of what contains its own.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xFFFF { // b is an IP packet's: no sum overflows
		sum = sum>>16 + sum&0xFFFF
	}
	return ^uint16(sum)
}
