package multiserver

import (
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/wire"
)

func TestGroupOfImage(t *testing.T) {
	id := wire.Identity{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xff, 0xab, 0xac, 0xad, 0xae, 0xaf}
	for control, want := range map[string]string{
		"225.0.20.10":  "239.192.33.162",
		"ff15::1":      "ff15:a0a1:a2a3:a4a5:a6a7:a8a9:bfab:acad",
		"ff02::1234":   "ff12:a0a1:a2a3:a4a5:a6a7:a8a9:bfab:acad", // not for ever
		"ff38::4000:0": "ff18:a0a1:a2a3:a4a5:a6a7:a8a9:bfab:acad", // nobody's prefix
	} {
		if got := groupOfImage(netip.MustParseAddr(control), id); got != netip.MustParseAddr(want) {
			t.Errorf("beside %s: %v, want %s", control, got, want)
		}
	}
}

// TestGroupOfAnyImage: a group keeps clear of the MAC addresses that every host or
// switch listens to.
func TestGroupOfAnyImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := wire.Identity(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "identity"))
		four := groupOfImage(DefaultGroup, id).As4()
		if four[0] != 239 || four[1]&^3 != 192 || four[2]&0x7f == 0 {
			t.Errorf("IPv4: %v", four)
		}
		scope := rapid.ByteRange(1, 14).Draw(t, "scope")
		control := netip.AddrFrom16([16]byte{0xff, scope, 15: 1})
		six := groupOfImage(control, id).As16()
		if six[0] != 0xff || six[1] != 0x10|scope || six[12]&0x80 == 0 || six[12] == 0xff {
			t.Errorf("IPv6: %v", netip.AddrFrom16(six))
		}
	})
}

func TestControlAddr(t *testing.T) {
	for _, test := range []struct{ addr, group, onInterface, want string }{
		{"10.0.0.1", "239.1.2.3", "", "10.0.0.1"},
		{"::ffff:10.0.0.1", "239.1.2.3", "", "10.0.0.1"},
		{"fd00::1", "ff15::1", "", "fd00::1"},
		{"::", "ff15::1", "", "::"},
		{"fe80::1%eth0", "ff15::1", "", "fe80::1%eth0"},
		{"fe80::1%eth0", "ff15::1", "eth1", "fe80::1%eth0"},
		{"fe80::1", "ff15::1", "eth1", "fe80::1%eth1"},
		{"fe80::1", "ff15::1", "", ""},
		{"fd00::1", "239.1.2.3", "", ""},
		{"10.0.0.1", "ff15::1", "", ""},
	} {
		got, err := controlAddr(netip.MustParseAddr(test.addr), netip.MustParseAddr(test.group), test.onInterface)
		switch {
		case test.want == "":
			if !errors.Is(err, ErrConfig) {
				t.Errorf("%s with %s: %v, %v", test.addr, test.group, got, err)
			}
		case err != nil || got != netip.MustParseAddr(test.want):
			t.Errorf("%s with %s: %v, %v; want %s", test.addr, test.group, got, err, test.want)
		}
	}
}
