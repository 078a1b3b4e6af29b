package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize has room for what a Conn or a Receiver asks the kernel to tell of
// each datagram: IP_PKTINFO or IPV6_PKTINFO, and UDP_GRO.
const controlSize = 64

// appendPacketInfo appends the control message that sends by the interface with
// that index from that address (ip(7), IP_PKTINFO; ipv6(7), IPV6_PKTINFO), or nothing
// if the index is 0. An unspecified source leaves the choice to the kernel.
func appendPacketInfo(dst []byte, ifIndex int, source netip.Addr) []byte {
	if ifIndex == 0 {
		return dst
	}
	if source.Is6() {
		var info [unix.SizeofInet6Pktinfo]byte // source, index (RFC 3542 §6)
		address := source.As16()
		copy(info[:], address[:])
		binary.NativeEndian.PutUint32(info[16:], uint32(ifIndex))
		return appendControl(dst, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info[:])
	}
	var info [unix.SizeofInet4Pktinfo]byte // index, source, unused
	binary.NativeEndian.PutUint32(info[:], uint32(ifIndex))
	if source.Is4() {
		address := source.As4()
		copy(info[4:], address[:])
	}
	return appendControl(dst, unix.IPPROTO_IP, unix.IP_PKTINFO, info[:])
}

// appendSegmentSize appends the control message that has the kernel cut a buffer
// into datagrams of size bytes (udp(7), UDP_SEGMENT).
func appendSegmentSize(dst []byte, size int) []byte {
	var segment [2]byte
	binary.NativeEndian.PutUint16(segment[:], uint16(size))
	return appendControl(dst, unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment[:])
}

func appendControl(dst []byte, level, kind int32, data []byte) []byte {
	header := unix.Cmsghdr{Level: level, Type: kind}
	header.SetLen(unix.CmsgLen(len(data)))
	dst = append(dst, unsafe.Slice((*byte)(unsafe.Pointer(&header)), unix.SizeofCmsghdr)...)
	dst = append(dst, data...)
	var padding [unix.SizeofCmsghdr]byte
	return append(dst, padding[:unix.CmsgSpace(len(data))-unix.CmsgLen(len(data))]...)
}

// parseDestination reads which address of this host a datagram was sent to; not valid if it was
// none (IP_PKTINFO has the local address, and the one in the datagram's header).
func parseDestination(control []byte) (at netip.Addr) {
	for len(control) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			if local := [4]byte(data[4:8]); local == [4]byte(data[8:12]) {
				at = netip.AddrFrom4(local)
			}
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			if to := netip.AddrFrom16([16]byte(data[:16])); !to.IsMulticast() {
				at = to
			}
		}
		control = rest
	}
	return at
}

// parseControl reads what the kernel tells of a datagram: the size of the segments
// that it joined (0: it joined none) and the interface that it arrived by (0: not
// told). Messages of other kinds are skipped, a broken one ends it.
func parseControl(control []byte) (segmentSize, ifIndex int) {
	for len(control) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		switch {
		case len(data) < 4:
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO:
			ifIndex = int(int32(binary.NativeEndian.Uint32(data)))
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			ifIndex = int(int32(binary.NativeEndian.Uint32(data[16:])))
		case header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO:
			segmentSize = int(int32(binary.NativeEndian.Uint32(data)))
		}
		control = rest
	}
	return segmentSize, ifIndex
}
