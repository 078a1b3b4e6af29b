package multiserver

import (
	"errors"
	"net/netip"
	"testing"
)

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
		got, err := controlAddr("ServerConfig", netip.MustParseAddr(test.addr), netip.MustParseAddr(test.group), test.onInterface)
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
