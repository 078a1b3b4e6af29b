package usedblocks

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRead reads the map of 16 GiB of each file system, as mkfs leaves it.
func BenchmarkRead(b *testing.B) {
	for _, mkfs := range [][]string{
		{"mkfs.ext4", "-q", "-F"}, {"mkfs.xfs", "-q", "-f", "-K"}, {"mkntfs", "-Q", "-F", "-q"}, {"mkfs.fat", "-F", "32"}, {"mkfs.exfat"},
		{"mkfs.btrfs", "-q", "-f", "-K"},
	} {
		b.Run(mkfs[0], func(b *testing.B) {
			needs(b, mkfs[0])
			path := filepath.Join(b.TempDir(), "disk.img")
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(16 << 30); err != nil {
				b.Fatal(err)
			}
			run(b, mkfs[0], append(mkfs[1:], path)...)
			for b.Loop() {
				if m := Read(f, 16<<30); m.UnusedBytes() < 15<<30 {
					b.Fatalf("%q", m.Lines())
				}
			}
		})
	}
}
