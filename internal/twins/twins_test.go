package twins

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// TestDigest: another boot or another hardware address is another machine, and without the random
// number of a boot nothing is told.
func TestDigest(t *testing.T) {
	a, b := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	one := digest([]byte("boot 1"), a)
	if one == 0 || one != digest([]byte("boot 1"), a) {
		t.Errorf("one machine has %x and then another digest", one)
	}
	if one == digest([]byte("boot 1"), b) || one == digest([]byte("boot 2"), a) || one == digest([]byte("boot 1"), nil) {
		t.Error("two machines have one digest")
	}
	if got := digest(nil, a); got != 0 {
		t.Errorf("without a boot id it is %x", got)
	}
}

// TestThisMachine: by the route it is the machine of the interface.
func TestThisMachine(t *testing.T) {
	if _, err := os.Stat(bootIDFile); err != nil {
		t.Skip("this system has no boot id: Linux has one")
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("no loopback interface is up here")
	}
	home := netip.MustParseAddr("127.0.0.1")
	want := at(lo.Index, home)
	if want.Addr != home || want.Digest == 0 {
		t.Errorf("on %s it is %+v", lo.Name, want)
	}
	if got := Toward(home); got != want {
		t.Errorf("toward %v it is %+v, want %+v", home, got, want)
	}
}

func TestText(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.7")
	for _, c := range []struct{ one, other, want string }{
		{"pc07", "pc08", "10.0.0.7 is the address of two machines, pc07 and pc08: "},
		{"pc08", "pc07", "10.0.0.7 is the address of two machines, pc07 and pc08: "},
		{"clone", "clone", "10.0.0.7 is the address of two machines, both named clone: "},
		{"", "pc07", "10.0.0.7 is the address of two machines: "},
		{"a\nb", "pc07", `10.0.0.7 is the address of two machines, "a\nb" and pc07: `},
	} {
		if got := Text(addr, c.one, c.other); !strings.HasPrefix(got, c.want) || !strings.Contains(got, "machine-id") {
			t.Errorf("%q and %q: %s", c.one, c.other, got)
		}
	}
}
