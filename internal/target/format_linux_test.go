package target

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"multiserver/internal/format"
	"multiserver/internal/target/loopdev"
)

// TestFormatRefused: on a device, unless it is forced; also where only the bytes tell.
func TestFormatRefused(t *testing.T) {
	old := bytes.Repeat([]byte{0xFF}, diskBytes)
	device := loopdev.New(t, old, 0)
	f := mustOpen(t, Options{Path: device})
	const why = "the image is a qcow2 disk, from which no machine starts as it is: convert it with qemu-img convert -O raw, and serve that (ClientConfig.Force writes anyway)"
	checkRefused(t, f.FitsFormat(format.Qcow2), device, why)
	for _, of := range []format.Format{format.Raw, format.ISO} {
		if err := f.FitsFormat(of); err != nil {
			t.Errorf("%v: %v", of, err)
		}
	}
	if err := f.FitsFormat(0xFF); !errors.Is(err, ErrRefused) {
		t.Errorf("a format of a later version: %v", err)
	}
	if err := f.Prepare(diskBytes, 0); err != nil {
		t.Fatal(err)
	}
	image := append([]byte("QFI\xFB"), make([]byte, diskBytes-4)...)
	checkRefused(t, f.WriteAt(image, 0), device, why)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readDevice(t, device), old) {
		t.Error("the image was written")
	}
	forced := mustOpen(t, Options{Path: device, Force: true})
	if err := forced.FitsFormat(format.Qcow2); err != nil {
		t.Errorf("with Force: %v", err)
	}
	file := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "out")})
	if err := file.FitsFormat(format.Qcow2); err != nil {
		t.Errorf("a file: %v", err)
	}
}
