package udp

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInterfaceWithoutAddress: an interface that has no address yet is no mistake of who
// named it, so that a retry waits for it; one that does not exist is.
func TestInterfaceWithoutAddress(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces are for root: run as root")
	}
	errs := make(chan error, 2)
	go func() { // its thread ends with it, and the namespace with that
		defer close(errs)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return
		}
		for _, name := range []string{"lo", "nope7"} { // lo is down there
			_, err := CandidateInterfaces(name, netip.MustParseAddr("239.1.2.3"))
			errs <- err
		}
	}()
	without, ok := <-errs
	if !ok {
		t.Skip("no network namespace can be made here")
	}
	if without == nil || errors.Is(without, ErrUnknownInterface) {
		t.Errorf("an interface without an address: %v", without)
	}
	if missing := <-errs; !errors.Is(missing, ErrUnknownInterface) {
		t.Errorf("an interface that does not exist: %v", missing)
	}
}

// TestUnusableAddresses: what is checked for duplicates, or is one, cannot be sent from.
func TestUnusableAddresses(t *testing.T) {
	const table = "fe800000000000000000000000000001 02 40 20 40 eth0\n" + // tentative
		"fe800000000000000000000000000002 03 40 20 48 eth1\n" + // found to be a duplicate
		"fe800000000000000000000000000003 04 40 20 44 eth2\n" + // optimistic
		"fe800000000000000000000000000004 05 40 20 80 eth3\n" +
		"nonsense 02 40 20 40 eth0\n"
	found := unusableAddresses(strings.NewReader(table))
	want := []unusableAddress{{2, netip.MustParseAddr("fe80::1"), false}, {3, netip.MustParseAddr("fe80::2"), true}}
	if !slices.Equal(found, want) {
		t.Fatalf("found %v, want %v", found, want)
	}
	group := netip.MustParseAddr("ff15::1")
	for _, c := range []struct {
		index   int
		addr    string
		waiting string
	}{
		{2, "fe80::1/64", "eth0 checks whether its IPv6 address is free"},
		{3, "fe80::2/64", "eth0 has an IPv6 address that another host has too"},
		{4, "fe80::3/64", ""},
	} {
		l := listed(c.index, "eth0", c.addr)
		l.withoutUnusable(found)
		if got := strings.Join(choose([]link{l}, "", group).Waiting, "; "); got != c.waiting {
			t.Errorf("with %s it waits because %q, want %q", c.addr, got, c.waiting)
		}
	}
}
