package udp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func groControl(size int32) []byte {
	return appendControl(nil, unix.IPPROTO_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint32(nil, uint32(size)))
}

func TestParseControl(t *testing.T) {
	stranger := appendControl(nil, unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 16))
	short := appendControl(nil, unix.IPPROTO_UDP, unix.UDP_GRO, []byte{1})
	broken := groControl(1472)
	binary.NativeEndian.PutUint32(broken, 1<<30) // its length, or the low half of it
	tests := []struct {
		name                 string
		control              []byte
		segmentSize, ifIndex int
	}{
		{"nothing", nil, 0, 0},
		{"interface", appendPacketInfo(nil, 7, netip.Addr{}), 0, 7},
		{"interface, IPv6", appendPacketInfo(nil, 7, netip.MustParseAddr("fe80::1")), 0, 7},
		{"both, IPv6", append(appendPacketInfo(nil, 7, netip.IPv6Unspecified()), groControl(1452)...), 1452, 7},
		{"too short for IPv6", appendControl(nil, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, make([]byte, 19)), 0, 0},
		{"joined", groControl(1472), 1472, 0},
		{"both", append(appendPacketInfo(nil, 7, netip.Addr{}), groControl(1472)...), 1472, 7},
		{"behind another", append(bytes.Clone(stranger), groControl(1472)...), 1472, 0},
		{"too short to be one", append(appendPacketInfo(nil, 7, netip.Addr{}), 1, 2, 3), 0, 7},
		{"too short a value", append(short, appendPacketInfo(nil, 7, netip.Addr{})...), 0, 7},
		{"length beyond the end", append(appendPacketInfo(nil, 7, netip.Addr{}), broken...), 0, 7},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			segmentSize, ifIndex := parseControl(test.control)
			if segmentSize != test.segmentSize || ifIndex != test.ifIndex {
				t.Errorf("got segments of %d, interface %d", segmentSize, ifIndex)
			}
		})
	}
}

func TestAppendControlSpace(t *testing.T) {
	if got := len(appendSegmentSize(appendPacketInfo(nil, 1, netip.Addr{}), 1472)); got != unix.CmsgSpace(12)+unix.CmsgSpace(2) {
		t.Errorf("control messages of %d bytes", got)
	}
	if got := appendPacketInfo(nil, 0, netip.Addr{}); len(got) != 0 {
		t.Errorf("interface 0 is told as % x", got)
	}
	if unix.CmsgSpace(unix.SizeofInet6Pktinfo)+unix.CmsgSpace(4) > controlSize {
		t.Error("controlSize is too small for IPV6_PKTINFO and UDP_GRO")
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(appendPacketInfo(nil, 7, netip.Addr{}), groControl(1472)...))
	f.Fuzz(func(t *testing.T, control []byte) {
		segmentSize, ifIndex := parseControl(control)
		again, index := parseControl(append(appendPacketInfo(nil, ifIndex, netip.Addr{}), groControl(int32(segmentSize))...))
		if again != segmentSize || index != ifIndex {
			t.Errorf("%d and %d became %d and %d", segmentSize, ifIndex, again, index)
		}
	})
}
