package multiserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

// TestSectorsTold: the server looks at the image's partition table, the client at its
// disk, and nothing is written where they do not fit.
func TestSectorsTold(t *testing.T) {
	r := newRoom(t, 2<<20)
	table := r.bytes[4096:]
	clear(r.bytes[:8192])
	copy(table, "EFI PART")
	binary.LittleEndian.PutUint32(table[12:], 92)
	binary.LittleEndian.PutUint64(table[24:], 1)
	binary.LittleEndian.PutUint32(table[16:], crc32.ChecksumIEEE(table[:92]))
	if err := os.WriteFile(r.image, r.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte{0xFF}, 2<<20)
	device := loopdev.New(t, old, 0)
	r.serve(r.serverConfig())
	cfg := r.clientConfig(device)
	_, err := receiveWith(t.Context(), cfg)
	if !errors.Is(err, ErrTargetRefused) || !strings.Contains(err.Error(), "it has sectors of 512 bytes, and the image's partition table is for sectors of 4096") {
		t.Errorf("the client ended: %v", err)
	}
	if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got, old) {
		t.Errorf("%v, or the device was written to", err)
	}
	cfg.Force = true
	if _, err := receiveWith(t.Context(), cfg); err != nil {
		t.Fatalf("with Force: %v", err)
	}
	r.same(device)
}
