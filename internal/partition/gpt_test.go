package partition

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const gptImageBytes = 4 << 20

// gptDisk is a disk of size bytes that begins with a GPT by sgdisk 1.0.9, for an image of 4 MiB
// with partitions from sector 2048 to 4095 and from 4096 to 6143.
func gptDisk(t testing.TB, size int) []byte {
	t.Helper()
	head, err := os.ReadFile("testdata/gpt.bin")
	if err != nil {
		t.Fatal(err)
	}
	return append(head, make([]byte, size-len(head))...)
}

func apply(disk []byte, m Move) {
	for _, w := range slices.Concat(m.Backup, m.Primary) {
		copy(disk[w.Off:], w.Bytes)
	}
}

// TestMoveBackup: sgdisk finds nothing to complain about, and a second move has nothing to do.
func TestMoveBackup(t *testing.T) {
	for _, size := range []int{gptImageBytes + 512, 8 << 20, 8<<20 + 512} {
		disk := gptDisk(t, size)
		m, err := MoveBackup(bytes.NewReader(disk), uint64(size), 512)
		if err != nil || m.From != gptImageBytes-512 || len(m.Backup) != 2 || len(m.Primary) != 2 {
			t.Fatalf("%d bytes: %v, %+v", size, err, m)
		}
		before := bytes.Clone(disk)
		apply(disk, m)
		if again, err := MoveBackup(bytes.NewReader(disk), uint64(size), 512); err != nil || again.Backup != nil || again.Primary != nil {
			t.Errorf("%d bytes: a second move: %v, %+v", size, err, again)
		}
		want := []Span{{2048 * 512, 4096 * 512}, {4096 * 512, 6144 * 512}}
		if got := BackupPartitions(bytes.NewReader(disk), uint64(size), 512); !slices.Equal(got, want) {
			t.Errorf("%d bytes: the backup names %v, want %v", size, got, want)
		}
		if !bytes.Equal(before[1024:gptImageBytes-64<<10], disk[1024:gptImageBytes-64<<10]) {
			t.Error("more of the image has changed than its first two sectors")
		}
		checkBySgdisk(t, disk)
	}
}

func checkBySgdisk(t *testing.T, disk []byte) {
	t.Helper()
	sgdisk, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Log("sgdisk is not installed")
		return
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sgdisk, "-v", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v of %d bytes: %v\n%s", len(disk), err, out)
	}
}

// TestMoveBackupRefused: nothing is moved if the table is not whole or a partition is in the way.
func TestMoveBackupRefused(t *testing.T) {
	const size = 8 << 20
	good := gptDisk(t, size)
	for name, at := range map[string]int{
		"magic": 512, "header's size": 512 + headerSizeAt + 1, "checksum": 512 + headerSumAt, "own sector": 512 + ownSectorAt,
		"count of entries": 512 + entryCountAt, "an entry": 1024 + 40,
	} {
		disk := bytes.Clone(good)
		disk[at] ^= 0x55
		if m, err := MoveBackup(bytes.NewReader(disk), size, 512); !errors.Is(err, ErrNoGPT) {
			t.Errorf("%s is another: %+v, %v", name, m, err)
		}
	}
	if _, err := MoveBackup(bytes.NewReader(good), size, 4096); !errors.Is(err, ErrNoGPT) {
		t.Errorf("sectors of 4096: %v", err)
	}
	const short = 6144*512 + 32*512 // room for the entries, not for the header
	if m, err := MoveBackup(bytes.NewReader(good[:short]), short, 512); err == nil || !strings.Contains(err.Error(), "partition 2 reaches to sector 6143") {
		t.Errorf("a disk that is too short: %+v, %v", m, err)
	}
	const fits = short + 512
	if _, err := MoveBackup(bytes.NewReader(good[:fits]), fits, 512); err != nil {
		t.Errorf("a disk that is just long enough: %v", err)
	}
}

// FuzzMoveBackup: whatever a disk holds, all writes are within it.
func FuzzMoveBackup(f *testing.F) {
	f.Add(gptDisk(f, 64<<10))
	f.Fuzz(func(t *testing.T, disk []byte) {
		for _, sector := range []uint32{512, 4096} {
			m, _ := MoveBackup(bytes.NewReader(disk), uint64(len(disk)), sector)
			for _, w := range slices.Concat(m.Backup, m.Primary) {
				if w.Off+uint64(len(w.Bytes)) > uint64(len(disk)) {
					t.Errorf("%d bytes at %d of %d", len(w.Bytes), w.Off, len(disk))
				}
			}
			BackupPartitions(bytes.NewReader(disk), uint64(len(disk)), sector)
		}
	})
}
