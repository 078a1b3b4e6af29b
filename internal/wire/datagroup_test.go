package wire

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestDataGroup(t *testing.T) {
	id := Identity{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xff, 0xab, 0xac, 0xad, 0xae, 0xaf}
	for control, want := range map[string]string{
		"225.0.20.10":  "239.192.33.162",
		"ff15::1":      "ff15:a0a1:a2a3:a4a5:a6a7:a8a9:bfab:acad",
		"ff02::1234":   "ff12:a0a1:a2a3:a4a5:a6a7:a8a9:bfab:acad", // not for ever
		"ff38::4000:0": "ff18:a0a1:a2a3:a4a5:a6a7:a8a9:bfab:acad", // nobody's prefix
	} {
		if got := DataGroup(netip.MustParseAddr(control), id); got != netip.MustParseAddr(want) {
			t.Errorf("beside %s: %v, want %s", control, got, want)
		}
	}
}

// TestDataGroupOfAnyImage: a group keeps clear of the MAC addresses that every host or
// switch listens to.
func TestDataGroupOfAnyImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := Identity(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "identity"))
		four := DataGroup(netip.MustParseAddr("225.0.20.10"), id).As4()
		if four[0] != 239 || four[1]&^3 != 192 || four[2]&0x7f == 0 {
			t.Errorf("IPv4: %v", four)
		}
		scope := rapid.ByteRange(1, 14).Draw(t, "scope")
		control := netip.AddrFrom16([16]byte{0xff, scope, 15: 1})
		six := DataGroup(control, id).As16()
		if six[0] != 0xff || six[1] != 0x10|scope || six[12]&0x80 == 0 || six[12] == 0xff {
			t.Errorf("IPv6: %v", netip.AddrFrom16(six))
		}
	})
}
