package udp

import "testing"

func TestMaxSegments(t *testing.T) {
	for _, test := range []struct{ segmentSize, want int }{
		{1, 64}, {1023, 64}, {1024, 63}, {1036, 63}, {1472, 44}, {8972, 7}, {32753, 2}, {32754, 1}, {MaxPayload, 1}, {MaxPayload + 1, 1}, {0, 64},
	} {
		if got := MaxSegments(test.segmentSize); got != test.want {
			t.Errorf("MaxSegments(%d) = %d, want %d", test.segmentSize, got, test.want)
		}
	}
}

func TestPacketWireBytes(t *testing.T) {
	for _, test := range []struct{ payload, want int }{
		{0, 84}, {12, 84}, {18, 84}, {19, 85}, {1036, 1102}, {1472, 1538}, {8972, 9038},
	} {
		if got := PacketWireBytes(test.payload); got != test.want {
			t.Errorf("PacketWireBytes(%d) = %d, want %d", test.payload, got, test.want)
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
