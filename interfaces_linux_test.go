package multiserver

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInterfaceWithoutAddress: an interface that has no address yet is no mistake of who
// named it, so that --retry waits for it; one that is not there is.
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
			_, err := candidateInterfaces(name, DefaultGroup)
			errs <- err
		}
	}()
	without, ok := <-errs
	if !ok {
		t.Skip("no network namespace can be made here")
	}
	if without == nil || errors.Is(without, ErrConfig) {
		t.Errorf("an interface without an address: %v", without)
	}
	if missing := <-errs; !errors.Is(missing, ErrConfig) {
		t.Errorf("an interface that is not there: %v", missing)
	}
}
