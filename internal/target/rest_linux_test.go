package target

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

const (
	restImageBytes = 4 << 20
	restDiskBytes  = 8 << 20
)

// restImage is an image of 4 MiB that begins with a GPT.
func restImage(t *testing.T) []byte {
	t.Helper()
	head, err := os.ReadFile("../partition/testdata/gpt.bin")
	if err != nil {
		t.Fatal(err)
	}
	image := random(1, restImageBytes)
	copy(image, head)
	return image
}

// usedDisk is a disk with a backup GPT and an mdraid superblock at its end.
func usedDisk() []byte {
	disk := bytes.Repeat([]byte{0xFF}, restDiskBytes)
	copy(disk[restDiskBytes-512:], "EFI PART")
	copy(disk[restDiskBytes-64<<10:], "\xFC\x4E\x2B\xA9")
	return disk
}

const restFound = "a backup GPT at offset 8388096, an mdraid superblock at offset 8323072"

// finishRest writes the image to a device as Options say and returns what FinishRest says.
func finishRest(t *testing.T, o Options, image []byte) RestReport {
	t.Helper()
	f := mustOpen(t, o)
	if err := f.Prepare(uint64(len(image)), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	r, err := f.FinishRest()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRestUntouched: without being asked nothing behind the image changes, and all is told.
func TestRestUntouched(t *testing.T) {
	device, image := loopdev.New(t, usedDisk(), 0), restImage(t)
	r := finishRest(t, Options{Path: device}, image)
	if r.Found != restFound || r.AlteredBytes != 0 || len(r.Done) > 0 ||
		len(r.Advice) != 1 || r.Advice[0] != "the image's backup GPT is at offset 4193792 and not at the end of "+device+": ClientConfig.FitGPT moves it" {
		t.Errorf("%+v", r)
	}
	if !bytes.Equal(readDevice(t, device), append(image, usedDisk()[restImageBytes:]...)) {
		t.Error("not the image with the old rest behind it")
	}
}

func TestWipeRest(t *testing.T) {
	device, image := loopdev.New(t, usedDisk(), 0), restImage(t)
	r := finishRest(t, Options{Path: device, WipeRest: true}, image)
	if r.Found != "" || r.AlteredBytes != 12 || len(r.Done) != 1 || !strings.Contains(r.Done[0], restFound) {
		t.Errorf("%+v", r)
	}
	want := append(image, usedDisk()[restImageBytes:]...)
	clear(want[restDiskBytes-512:][:8])
	clear(want[restDiskBytes-64<<10:][:4])
	if !bytes.Equal(readDevice(t, device), want) {
		t.Error("other bytes than the signatures' were cleared")
	}
	if r := finishRest(t, Options{Path: device, WipeRest: true}, image); r.Found != "" || r.AlteredBytes != 0 || len(r.Done) > 0 {
		t.Errorf("a second time: %+v", r)
	}
}

// TestFitGPT: sgdisk finds the table whole, and what is not the table stays.
func TestFitGPT(t *testing.T) {
	device, image := loopdev.New(t, usedDisk(), 0), restImage(t)
	r := finishRest(t, Options{Path: device, FitGPT: true}, image)
	// The backup's place is that of the old one.
	if r.Found != "an mdraid superblock at offset 8323072" || len(r.Advice) > 0 || r.AlteredBytes != 128*128+512+512+512 ||
		len(r.Done) != 2 || !strings.Contains(r.Done[0], "the backup GPT was moved from offset 4193792 to the end of "+device) {
		t.Errorf("%+v", r)
	}
	got := readDevice(t, device)
	if !bytes.Equal(got[1024:restImageBytes], image[1024:]) || !bytes.Equal(got[restImageBytes:restDiskBytes-33*512], usedDisk()[restImageBytes:restDiskBytes-33*512]) {
		t.Error("more has changed than the table")
	}
	sgdisk, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Skip("sgdisk is not installed: it would verify the table")
	}
	if out, err := exec.Command(sgdisk, "-v", device).CombinedOutput(); err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
}

// TestOwnBackup: of an image that was cut, whose backup GPT the disk has already, nothing is an old
// signature.
func TestOwnBackup(t *testing.T) {
	device, image := loopdev.New(t, make([]byte, restDiskBytes), 0), restImage(t)
	finishRest(t, Options{Path: device, FitGPT: true}, image)
	fitted := readDevice(t, device)
	r := finishRest(t, Options{Path: device, WipeRest: true, FitGPT: true}, fitted[:restImageBytes])
	if r.Found != "" || r.AlteredBytes != 0 || len(r.Advice) > 0 {
		t.Errorf("%+v", r)
	}
	if !bytes.Equal(readDevice(t, device), fitted) {
		t.Error("the disk has changed")
	}
}

// TestRestOfOthers: no GPT, no larger device, a file.
func TestRestOfOthers(t *testing.T) {
	device := loopdev.New(t, make([]byte, restDiskBytes), 0)
	r := finishRest(t, Options{Path: device, FitGPT: true, WipeRest: true}, random(1, 1<<20))
	if r.AlteredBytes != 0 || len(r.Advice) != 1 || !strings.HasPrefix(r.Advice[0], "no backup GPT was moved: the image does not begin with a GPT") {
		t.Errorf("no GPT: %+v", r)
	}
	image := restImage(t)
	if r := finishRest(t, Options{Path: loopdev.New(t, make([]byte, restImageBytes), 0), FitGPT: true, WipeRest: true}, image); r.AlteredBytes != 0 || len(r.Advice) > 0 || len(r.Done) > 0 {
		t.Errorf("a device of the image's size: %+v", r)
	}
	if r := finishRest(t, Options{Path: t.TempDir() + "/out", FitGPT: true, WipeRest: true}, image); r.AlteredBytes != 0 || len(r.Advice) > 0 || len(r.Done) > 0 {
		t.Errorf("a file: %+v", r)
	}
}

// TestRestFails: to a device that has failed nothing more is written.
func TestRestFails(t *testing.T) {
	device, image := loopdev.New(t, usedDisk(), 0), restImage(t)
	f := mustOpen(t, Options{Path: device, WipeRest: true})
	if err := f.Prepare(restImageBytes, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	f.err = failed("write", device, errors.New("it is broken"))
	if r, err := f.FinishRest(); !errors.Is(err, ErrIO) || r.AlteredBytes != 0 {
		t.Errorf("a failed target: %+v, %v", r, err)
	}
}
