package udp

import (
	"net/netip"
	"testing"
)

// TestLocal: what is on one of an interface's networks is local.
func TestLocal(t *testing.T) {
	lo := loopback(t)
	var l Links
	for addr, want := range map[string]bool{"127.0.0.9": true, "10.0.0.1": false, "fe80::1": true, "2001:db8::1": false} {
		if got := l.Local(netip.MustParseAddr(addr), lo.Index); got != want {
			t.Errorf("%s is local: %v", addr, got)
		}
	}
	if l.Local(netip.MustParseAddr("127.0.0.9"), 1<<30) {
		t.Error("something is local to an interface that does not exist")
	}
}
