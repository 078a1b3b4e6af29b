package udp

import (
	"net/netip"
	"testing"
)

func TestMaxSegments(t *testing.T) {
	for _, test := range []struct{ segmentSize, want int }{
		{1, 64}, {1023, 64}, {1024, 63}, {1036, 63}, {1452, 45}, {1472, 44}, {8972, 7}, {32753, 2}, {32754, 1}, {MaxPayload, 1}, {MaxPayload + 1, 1}, {0, 64},
	} {
		if got := MaxSegments(test.segmentSize); got != test.want {
			t.Errorf("MaxSegments(%d) = %d, want %d", test.segmentSize, got, test.want)
		}
	}
}

func TestPacketWireBytes(t *testing.T) {
	for _, test := range []struct {
		to            string
		payload, want int
	}{
		{"10.0.0.1", 0, 84}, {"239.1.2.3", 12, 84}, {"239.1.2.3", 18, 84}, {"239.1.2.3", 19, 85},
		{"239.1.2.3", 1036, 1102}, {"239.1.2.3", 1472, 1538}, {"239.1.2.3", 8972, 9038},
		{"fe80::1", 0, 86}, {"ff15::1", 1, 87}, {"ff15::1", 1036, 1122}, {"ff15::1", 1452, 1538}, {"ff15::1", 8952, 9038},
	} {
		if got := PacketWireBytes(netip.MustParseAddr(test.to), test.payload); got != test.want {
			t.Errorf("PacketWireBytes(%s, %d) = %d, want %d", test.to, test.payload, got, test.want)
		}
	}
}

func TestSegmentCount(t *testing.T) {
	for _, test := range []struct{ length, size, want int }{{1, 10, 1}, {10, 10, 1}, {11, 10, 2}, {20, 10, 2}, {0, 10, 0}} {
		if got := segmentCount(test.length, test.size); got != test.want {
			t.Errorf("segmentCount(%d, %d) = %d, want %d", test.length, test.size, got, test.want)
		}
	}
}
