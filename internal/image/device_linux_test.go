package image

import (
	"bytes"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multiserver/internal/target/loopdev"
)

func TestDevice(t *testing.T) {
	data := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(data)
	device := loopdev.New(t, data, 0)
	s := open(t, device)
	if s.Size() != uint64(len(data)) || s.Name() != filepath.Base(device) {
		t.Errorf("Size, Name = %d, %q", s.Size(), s.Name())
	}
	got := make([]byte, len(data))
	if err := s.ReadScattered([][]byte{got[:100], got[100:]}, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the device holds other bytes, or %v", err)
	}
	if err := s.Changed(); err != nil {
		t.Error(err)
	}
	past := time.Unix(1, 0) // no clock is so coarse that this is the same time
	if err := os.Chtimes(device, past, past); err != nil {
		t.Fatal(err)
	}
	s = open(t, device)
	disk, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if _, err := disk.WriteAt([]byte{1}, 5000); err != nil {
		t.Fatal(err)
	}
	if err := s.Changed(); err == nil || !strings.Contains(err.Error(), "it was modified at") {
		t.Errorf("after a write: %v", err)
	}
}
