package probe

import "testing"

// TestShape: a train of large packets has fewer of them, but enough to tell a loss by.
func TestShape(t *testing.T) {
	for _, c := range []struct {
		packetSize int
		want       Shape
	}{
		{548, Shape{1, 32, 96}},
		{1472, Shape{1, 32, 96}},
		{8972, Shape{1, 8, 15}},
		{65507, Shape{1, 8, 8}},
	} {
		if got := Full(c.packetSize); got != c.want {
			t.Errorf("packets of %d bytes: %v, want %v", c.packetSize, got, c.want)
		}
	}
	if got := Full(1472).Packets(); got != 129 {
		t.Errorf("a full train has %d packets, want 129", got)
	}
	if got := Short().Packets(); got != 9 {
		t.Errorf("a short train has %d packets, want 9", got)
	}
}
