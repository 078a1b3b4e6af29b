package udp

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
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
