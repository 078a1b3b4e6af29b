package signature

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"multiserver/internal/partition"
)

// TestIdentify: what mkfs and its like write is told, with the label.
func TestIdentify(t *testing.T) {
	if kind, label := Identify(bytes.NewReader(make([]byte, 1000)), partition.Span{Hi: 1000}); kind != "" || label != "" {
		t.Errorf("zeros: %s %q", kind, label)
	}
	made := 0
	for _, c := range []struct {
		kind, label string
		command     []string
	}{
		{"ext4", "root", []string{"mkfs.ext4", "-q", "-L", "root"}},
		{"ext3", "", []string{"mkfs.ext3", "-q"}},
		{"ext2", "sixteen letters!", []string{"mkfs.ext2", "-q", "-L", "sixteen letters!"}},
		{"xfs", "data", []string{"mkfs.xfs", "-q", "-L", "data"}},
		{"btrfs", "pool", []string{"mkfs.btrfs", "-q", "-L", "pool"}},
		{"vfat", "EFI", []string{"mkfs.vfat", "-F", "32", "-n", "EFI"}},
		{"vfat", "", []string{"mkfs.vfat", "-F", "16"}},
		{"ntfs", "", []string{"mkfs.ntfs", "-Q", "-F", "-q"}},
		{"exfat", "", []string{"mkfs.exfat"}},
		{"f2fs", "phone", []string{"mkfs.f2fs", "-q", "-l", "phone"}},
		{"swap", "pages", []string{"mkswap", "-q", "-L", "pages"}},
	} {
		tool, err := exec.LookPath(c.command[0])
		if err != nil {
			t.Logf("%s is not installed", c.command[0])
			continue
		}
		made++
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 320<<20); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool, append(c.command[1:], path)...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", c.command, err, out)
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if kind, label := Identify(f, partition.Span{Hi: 320 << 20}); kind != c.kind || label != c.label {
			t.Errorf("%v: %s %q, want %s %q", c.command, kind, label, c.kind, c.label)
		}
		f.Close()
	}
	if made == 0 {
		t.Skip("no mkfs is installed")
	}
}

// TestIdentifyCrafted has what no tool here writes.
func TestIdentifyCrafted(t *testing.T) {
	for _, k := range known {
		image := make([]byte, 1<<20+identifyBytes)
		copy(image[1<<20+k.at:], k.magic)
		want := ""
		if k.size > 0 {
			want = "a label"
			copy(image[1<<20+k.label:], "a label  ")
		}
		if kind, label := Identify(bytes.NewReader(image), partition.Span{Lo: 1 << 20, Hi: uint64(len(image))}); kind != k.kind || label != want {
			t.Errorf("%s at %d: %s %q", k.kind, k.at, kind, label)
		}
	}
}
