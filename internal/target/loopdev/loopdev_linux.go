package loopdev

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// attempts is how often others may take the device that was free.
const attempts = 100

// New makes a block device that holds content, whose length must be a multiple of
// 512, for the length of the test, and returns its path. flags are LO_FLAGS_READ_ONLY,
// LO_FLAGS_DIRECT_IO, LO_FLAGS_PARTSCAN. It skips the test where that cannot be done.
func New(t testing.TB, content []byte, flags uint32) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return Attach(t, path, flags, 512)
}

// Attach is New with the content of the file at path, which stays in its place, and
// with logical sectors of that many bytes.
func Attach(t testing.TB, path string, flags, sector uint32) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loop devices are for root: run as root")
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no loop devices: ", err)
	}
	defer control.Close()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range attempts {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skip("no free loop device: ", err)
		}
		device := fmt.Sprint("/dev/loop", n)
		loop, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Skip("no loop device: ", err)
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{
			Fd:   uint32(file.Fd()),
			Size: sector,
			Info: unix.LoopInfo64{Flags: flags},
		})
		if err == nil {
			t.Cleanup(func() {
				if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
					t.Errorf("detach %s: %v", device, err)
				}
				loop.Close()
			})
			return device
		}
		loop.Close()
		if err != unix.EBUSY {
			t.Skip("no loop device: ", err)
		}
	}
	t.Skip("no loop device stays free")
	return ""
}

// Resize gives the device the size that its file has now.
func Resize(t testing.TB, device string) {
	t.Helper()
	loop, err := os.OpenFile(device, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		t.Fatal(err)
	}
}
