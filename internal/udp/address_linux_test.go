package udp

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAddressChanges: what is sent from an address that the host has no more is sent again from
// the interface's present one, and costs no better way of sending.
func TestAddressChanges(t *testing.T) {
	lo := loopback(t)
	gone := netip.MustParseAddr("192.0.2.77") // nobody's (RFC 5737)
	reader := listen(t, ConnConfig{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	c := listen(t, ConnConfig{})
	to := reader.LocalAddr()
	arrives := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		reader.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, from, _, err := reader.ReadFrom(buf)
		if err != nil || string(buf[:n]) != want || from.Addr() != to.Addr() {
			t.Fatalf("%q came from %v, %v; want %q from %v", buf[:n], from, err, want, to.Addr())
		}
	}
	key := sourceKey{lo.Index, false}
	c.sources = map[sourceKey]netip.Addr{key: gone}
	if err := c.WriteTo([]byte("one"), to, lo.Index); err != nil {
		t.Fatal(err)
	}
	arrives("one")
	for _, method := range []Method{MethodGSO, MethodSendmmsg, MethodWrite} {
		s, err := c.NewSender(to, lo.Index, method)
		if err != nil {
			t.Fatal(err)
		}
		for _, buf := range []string{"a", "aabbcc"} { // one packet, and several
			s.sendFrom(gone)
			if err := s.Send([]byte(buf), min(2, len(buf))); err != nil {
				t.Fatalf("%v: %v", method, err)
			}
			for len(buf) > 0 {
				n := min(2, len(buf))
				arrives(buf[:n])
				buf = buf[n:]
			}
		}
		for source, want := range map[netip.Addr]bool{gone: true, to.Addr(): false, netip.IPv4Unspecified(): false} {
			s.sendFrom(source)
			if s.isFrom(syscall.EINVAL) != want || s.isFrom(syscall.EIO) {
				t.Errorf("EINVAL is about the source %s: %v", source, !want)
			}
		}
		if s.Method() != method {
			t.Errorf("it began with %v and ends with %v: %v", method, s.Method(), s.Fallback())
		}
	}
}

// TestAddressLost: an interface without an address sends nothing from another one's, and says why.
func TestAddressLost(t *testing.T) {
	c := listen(t, ConnConfig{})
	gone := netip.MustParseAddr("192.0.2.77")
	const missing = 1 << 20 // no interface has this index
	if source, changed := c.sourceAgain(gone, missing, gone); changed {
		t.Errorf("it goes on from %v", source)
	}
	if err := lostAddress(errNoSendmmsg, gone, missing); !strings.Contains(err.Error(), "has lost its address 192.0.2.77") {
		t.Errorf("it says %v", err)
	}
	own := netip.MustParseAddr("127.0.0.1")
	if err := lostAddress(errNoSendmmsg, own, missing); err != errNoSendmmsg {
		t.Errorf("of an address that is there it says %v", err)
	}
}
