package multiserver

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

// partitioned is an image of size bytes with a partition table by sgdisk or sfdisk, and random bytes
// between the table and its backup, but for zeros from byte zeros on. Boot records stay.
func partitioned(t *testing.T, size, zeros int, sector uint32, tool string, stdin string, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	device := loopdev.Attach(t, path, 0, sector)
	cmd := exec.Command(tool, append(args, device)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip(tool + " is not installed: it would write a partition table")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	image, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewSource(1))
	for at := 1 << 20; at < min(zeros, size-64<<10); at += 4096 {
		if page := image[at : at+4096]; bytes.Equal(page, make([]byte, 4096)) {
			noise.Read(page)
		}
	}
	return image
}

const cutImageBytes, cutDiskBytes = 16 << 20, 14<<20 + 4096*3

// cutCases are images that fit on a disk of cutDiskBytes without their ends. The partitions end at
// 12 MiB.
var cutCases = map[string]func(*testing.T) (image []byte, sector uint32){
	"GPT": func(t *testing.T) ([]byte, uint32) {
		return partitioned(t, cutImageBytes, 13<<20, 512, "sgdisk", "", "-n", "1:2048:12287", "-n", "2:12288:24575"), 512
	},
	"GPT, something behind its partitions": func(t *testing.T) ([]byte, uint32) {
		return partitioned(t, cutImageBytes, cutImageBytes, 512, "sgdisk", "", "-n", "1:2048:12287", "-n", "2:12288:24575"), 512
	},
	"GPT for sectors of 4096": func(t *testing.T) ([]byte, uint32) {
		return partitioned(t, cutImageBytes, 13<<20, 4096, "sgdisk", "", "-n", "1:256:1535", "-n", "2:1536:3071"), 4096
	},
	"MBR with logical partitions": func(t *testing.T) ([]byte, uint32) {
		return partitioned(t, cutImageBytes, cutImageBytes, 512, "sfdisk",
			"label: dos\nstart=2048, size=2048, type=83\nstart=4096, size=20480, type=5\nstart=6144, size=4096, type=83\nstart=12288, size=12288, type=83\n", "-q"), 512
	},
}

// TestTruncateUnused: a disk that is a little smaller than the image takes it without its unused
// end, and a later run finds all of it there.
func TestTruncateUnused(t *testing.T) {
	for name, make := range cutCases {
		t.Run(name, func(t *testing.T) { truncateUnused(t, make, strings.HasPrefix(name, "GPT")) })
	}
}

func truncateUnused(t *testing.T, make func(*testing.T) ([]byte, uint32), isGPT bool) {
	image, sector := make(t)
	r := newRoom(t, 1)
	r.bytes = image
	if err := os.WriteFile(r.image, image, 0o600); err != nil {
		t.Fatal(err)
	}
	r.serve(r.serverConfig())
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xEE}, cutDiskBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	device := loopdev.Attach(t, path, 0, sector)
	untouched, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	cfg := r.clientConfig(device)
	cfg.Verify = true

	// Not without being asked; the refusal tells of the flag.
	unused := cutImageBytes - 12<<20
	if isGPT {
		unused -= (128*128/int(sector) + 1) * int(sector)
	}
	_, err = receiveWith(t.Context(), cfg)
	want := fmt.Sprintf("it holds %d bytes, the image has %d; its last %d are in no partition (ClientConfig.TruncateUnused leaves out what does not fit)", cutDiskBytes, cutImageBytes, unused)
	if !errors.Is(err, ErrTargetRefused) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got, untouched) {
		t.Fatalf("a refused disk was changed (%v)", err)
	}

	cfg.TruncateUnused = true
	var first []byte
	for i, update := range []bool{false, true, false, true} {
		cfg.Update, cfg.Fresh = update, i == 0
		if i == 3 { // another partition's content is found and mended
			other, err := os.OpenFile(device, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.WriteAt([]byte{1, 2, 3}, 5<<20); err != nil {
				t.Fatal(err)
			}
			other.Close()
		}
		stats, err := receiveWith(t.Context(), cfg)
		if err != nil || !stats.Verified || stats.CutBytes != cutImageBytes-cutDiskBytes || isGPT != (stats.AlteredBytes > 0) {
			t.Fatalf("time %d: %v, %+v", i, err, stats)
		}
		got, err := os.ReadFile(device)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[2*sector:12<<20], image[2*sector:12<<20]) {
			t.Errorf("time %d: the partitions are not the image's", i)
		}
		if first == nil {
			first = got
		} else if !bytes.Equal(got, first) {
			t.Errorf("time %d: not the same disk again", i)
		}
		// What the disk has no place for has to come again, unless it is zeros and the backup GPT. So
		// does the block that is under the new backup and is cut by the end.
		if update {
			least := uint64(13 << 20)
			if bytes.Equal(image[13<<20:15<<20], bytes.Repeat([]byte{0}, 2<<20)) {
				least = cutImageBytes
			}
			if i == 3 {
				least -= 1 << 20
			}
			if stats.BytesKept < least {
				t.Errorf("time %d: only %d of %d bytes were kept, want %d", i, stats.BytesKept, cutImageBytes, least)
			}
		}
		if isGPT {
			checkBySgdisk(t, device)
		}
	}
}

// checkBySgdisk has the table on a device verified.
func checkBySgdisk(t *testing.T, device string) {
	t.Helper()
	sgdisk, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Log("sgdisk is not installed: it would verify the table")
		return
	}
	if out, err := exec.Command(sgdisk, "-v", device).CombinedOutput(); err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
}

// TestNeverCutsPartition: not by a byte, whatever was asked for.
func TestNeverCutsPartition(t *testing.T) {
	for name, make := range cutCases {
		t.Run(name, func(t *testing.T) {
			image, sector := make(t)
			r := newRoom(t, 1)
			if err := os.WriteFile(r.image, image, 0o600); err != nil {
				t.Fatal(err)
			}
			r.serve(r.serverConfig())
			least := uint64(12 << 20)
			if strings.HasPrefix(name, "GPT") {
				least += 128*128 + uint64(sector)
			}
			for _, size := range []uint64{least, least - uint64(sector)} {
				path := filepath.Join(t.TempDir(), "disk")
				if err := os.WriteFile(path, bytes.Repeat([]byte{0xEE}, int(size)), 0o600); err != nil {
					t.Fatal(err)
				}
				device := loopdev.Attach(t, path, 0, sector)
				cfg := r.clientConfig(device)
				cfg.TruncateUnused, cfg.Force = true, true
				_, err := receiveWith(t.Context(), cfg)
				if size == least {
					if err != nil {
						t.Errorf("%d bytes: %v", size, err)
					}
					continue
				}
				want := fmt.Sprintf("it holds %d bytes, the image has %d; the image's partitions need a disk of %d", size, cutImageBytes, least)
				if !errors.Is(err, ErrTargetRefused) || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("%d bytes: %v\nwant %s", size, err, want)
				}
			}
		})
	}
}
