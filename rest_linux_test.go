package multiserver

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

// TestRestOfDisk: a GPT image on a larger disk that was used before. What is altered comes after
// the image was read back, and a later Update brings the image again, and fits it again.
func TestRestOfDisk(t *testing.T) {
	t.Run("MXB 2", func(t *testing.T) { restOfDisk(t, false) })
	t.Run("MXB 1", func(t *testing.T) { restOfDisk(t, true) })
}

func restOfDisk(t *testing.T, onlyMXB1 bool) {
	r := newRoom(t, 4<<20)
	head, err := os.ReadFile("internal/partition/testdata/gpt.bin")
	if err != nil {
		t.Fatal(err)
	}
	copy(r.bytes, head)
	if err := os.WriteFile(r.image, r.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte{0xFF}, 8<<20)
	copy(old[8<<20-64<<10:], "\xFC\x4E\x2B\xA9")
	device := loopdev.New(t, old, 0)
	r.serve(r.serverConfig())
	cfg := r.clientConfig(device)
	cfg.Verify = true
	if onlyMXB1 {
		cfg.MXB1 = MXB1Only
	}

	var told *bytes.Buffer
	cfg.Log, told = logs()
	stats, err := receiveWith(t.Context(), cfg)
	if err != nil || stats.AlteredBytes != 0 {
		t.Fatalf("%v, %d bytes were altered", err, stats.AlteredBytes)
	}
	for _, want := range []string{"an mdraid superblock at offset 8323072", "ClientConfig.WipeRest clears them", "ClientConfig.FitGPT moves it"} {
		if strings.Count(told.String(), want) != 1 {
			t.Errorf("the log does not say %q once:\n%s", want, told)
		}
	}
	if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got, append(bytes.Clone(r.bytes), old[4<<20:]...)) {
		t.Errorf("%v, or not the image with the old rest behind it", err)
	}

	cfg.FitGPT, cfg.WipeRest = true, true
	if !onlyMXB1 {
		cfg.Update = true
	}
	var fitted []byte
	for i := range 2 {
		stats, err := receiveWith(t.Context(), cfg)
		if err != nil || !stats.Verified || stats.AlteredBytes == 0 {
			t.Fatalf("time %d: %v, verified %v, %d bytes were altered", i, err, stats.Verified, stats.AlteredBytes)
		}
		if i == 1 && cfg.Update && stats.BytesKept != 4<<20 {
			t.Errorf("only %d bytes were kept: the GPT that was fitted is strange", stats.BytesKept)
		}
		got, err := os.ReadFile(device)
		if i == 1 && !bytes.Equal(got, fitted) {
			t.Error("a second time it became another disk")
		}
		fitted = got
		if err != nil || !bytes.Equal(got[1024:4<<20], r.bytes[1024:]) || bytes.Contains(got[4<<20:], []byte("\xFC\x4E\x2B\xA9")) {
			t.Errorf("time %d: %v, or not the image, or the old signature", i, err)
		}
		if sgdisk, err := exec.LookPath("sgdisk"); err != nil {
			t.Log("sgdisk is not installed: it would verify the table")
		} else if out, err := exec.Command(sgdisk, "-v", device).CombinedOutput(); err != nil || !strings.Contains(string(out), "No problems found") {
			t.Errorf("time %d: sgdisk -v: %v\n%s", i, err, out)
		}
	}

	cfg.FitGPT, cfg.WipeRest = false, false
	if _, err := receiveWith(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got[:4<<20], r.bytes) {
		t.Errorf("without FitGPT: %v, or not the image byte for byte", err)
	}
}
