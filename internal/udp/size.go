package udp

import "net/netip"

const (
	// MaxPayload is the largest payload of a datagram: IPv4's 65535 bytes less its
	// header (20) and UDP's (8). IPv6 would take 20 more.
	MaxPayload = 65535 - 20 - 8

	// maxSegments of one GSO send: UDP_MAX_SEGMENTS was 64 until Linux 6.9, 128
	// since. At a segment of 1024 bytes or more MaxPayload is the limit anyway.
	maxSegments = 64

	// Headers of UDP and of what carries it: RFC 768, RFC 791 §3.1, RFC 8200 §3.
	ipv4UDPHeaders = 20 + 8
	ipv6UDPHeaders = 40 + 8

	// ethernetOverhead of a frame: preamble 8, addresses and type 14, frame check
	// sequence 4, gap 12.
	ethernetOverhead = 8 + 14 + 4 + 12
	// ethernetMinimum is the smallest payload of a frame; less is padded.
	ethernetMinimum = 46
)

// MaxSegments is how many segments of segmentSize bytes one system call takes: at
// least 1, at most 64. It is 44 for 1472 bytes and 7 for 8972.
func MaxSegments(segmentSize int) int {
	return max(1, min(maxSegments, MaxPayload/max(1, segmentSize)))
}

// HeaderBytes is the size of the IP and UDP headers of a datagram to an address like
// to, which an MTU includes: 28 over IPv4, 48 over IPv6.
func HeaderBytes(to netip.Addr) int {
	if to.Is6() {
		return ipv6UDPHeaders
	}
	return ipv4UDPHeaders
}

// PacketWireBytes is what a datagram of payload bytes to an address like to takes of
// an Ethernet's time, in bytes: with the IP and UDP headers, padded to Ethernet's
// least payload (46), and with preamble, header, frame check sequence and gap (38).
// It holds for datagrams that the path's MTU carries in one frame.
func PacketWireBytes(to netip.Addr, payload int) int {
	return max(payload+HeaderBytes(to), ethernetMinimum) + ethernetOverhead
}
