package multiserver

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTargetWithoutRoom: an image whose zeros make it fit is received into a small file system, and
// of one that does not fit nothing stays. Both begin with a warning that has both figures.
func TestTargetWithoutRoom(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("tmpfs cannot be mounted: run as root: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	r := newRoom(t, 8<<20)
	clear(r.bytes[1<<20 : 7<<20])
	if err := os.WriteFile(r.image, r.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := r.serve(r.serverConfig())
	cfg := r.clientConfig(filepath.Join(folder, "fits.img"))
	var told *bytes.Buffer
	cfg.Log, told = logs()
	if _, err := receiveWith(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	r.same(cfg.Output)
	const warning = "has 4194304 bytes free, and the image has 8388608: it fits only if at least 4194304 of them are zeros"
	if !strings.Contains(told.String(), warning) {
		t.Errorf("the client does not warn:\n%s", told)
	}
	stop()
	if err := os.Remove(cfg.Output); err != nil {
		t.Fatal(err)
	}

	full := newRoom(t, 8<<20)
	full.serve(full.serverConfig())
	cfg = full.clientConfig(filepath.Join(folder, "full.img"))
	_, err := receiveWith(t.Context(), cfg)
	if !errors.Is(err, ErrTargetIO) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("the client ended: %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("%v, left behind: %v", err, left)
	}
}
