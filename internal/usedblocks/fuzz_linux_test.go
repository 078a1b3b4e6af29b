package usedblocks

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// fuzzed are the file systems that the fuzz targets change, small as they can be made.
var fuzzed = map[string][]string{
	"ext2":  {"mkfs.ext4", "-q", "-F", "-t", "ext2", "-b", "1024"},
	"ext4":  {"mkfs.ext4", "-q", "-F", "-b", "1024", "-g", "256", "-O", "^has_journal,^metadata_csum,uninit_bg"},
	"fat":   {"mkfs.fat", "-F", "16", "-s", "1"},
	"exfat": {"mkfs.exfat"},
	"ntfs":  {"mkntfs", "-Q", "-F", "-q"},
	"btrfs": {"mkfs.btrfs", "-q", "-f", "-K", "-m", "single"},
	"swap":  {"mkswap"},
	"xfs":   {"mkfs.xfs", "-q", "-f", "-K"},
}

// mib is how large they are made.
var fuzzedMiB = map[string]int64{"xfs": 300, "fat": 8, "btrfs": 128}

// fuzz changes three places of a file system, makes checksums right by mend, and reads it. Nothing
// may panic, and no byte is freed outside or twice.
func fuzz(f *testing.F, name string, mend func(b []byte), places ...uint32) {
	mib := max(fuzzedMiB[name], 4)
	good := made(f, mib, fuzzed[name]...)
	for i, at := range places {
		f.Add(at, []byte{0xFF}, at+4, []byte{1, 2}, places[(i+1)%len(places)], []byte{0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, at1 uint32, b1 []byte, at2 uint32, b2 []byte, at3 uint32, b3 []byte) {
		b := good
		var undo []change
		put := func(at uint32, p []byte) {
			n := min(len(p), 4096, len(b)-int(at)%len(b))
			c := change{int(at) % len(b), append([]byte(nil), b[int(at)%len(b):][:n]...)}
			undo = append(undo, c)
			copy(b[c.at:], p[:n])
		}
		put(at1, b1)
		put(at2, b2)
		put(at3, b3)
		if mend != nil {
			mend(b)
		}
		m := Read(readerOf(b), uint64(len(b)))
		last := uint64(0)
		for _, s := range m.Unused {
			if s.Lo < last || s.Lo >= s.Hi || s.Hi > uint64(len(b)) {
				t.Fatalf("unused is %v, behind %d", s, last)
			}
			last = s.Hi
		}
		m.Lines()
		for i := len(undo) - 1; i >= 0; i-- {
			copy(b[undo[i].at:], undo[i].bytes)
		}
		if mend != nil {
			mend(b)
		}
	})
}

func FuzzExt2(f *testing.F) { fuzz(f, "ext2", nil, 1024+4, 1024+0x18, 1024+0x60, 2048, 2048+8) }

func FuzzExt4(f *testing.F) {
	fuzz(f, "ext4", nil, 1024+4, 1024+0x20, 1024+0x60, 1024+0x104, 2048, 2048+0x12, 2048+0x1E)
}

func FuzzFAT(f *testing.F) { fuzz(f, "fat", nil, 11, 14, 22, 512, 600) }

func FuzzExFAT(f *testing.F) {
	fuzz(f, "exfat", func(b []byte) {
		sector := 512
		if b[108] <= 12 {
			sector = 1 << max(b[108], 9)
		}
		sum := uint32(0)
		for i, c := range b[:11*sector] {
			if i != 106 && i != 107 && i != 112 {
				sum = (sum<<31 | sum>>1) + uint32(c)
			}
		}
		for at := 11 * sector; at < 12*sector; at += 4 {
			binary.LittleEndian.PutUint32(b[at:], sum)
		}
	}, 80, 88, 92, 96, 108, 1<<20, 2<<20)
}

func FuzzNTFS(f *testing.F) { fuzz(f, "ntfs", nil, 11, 40, 48, 64, 16384, 16384+22, 16384+3*1024) }

func FuzzSwap(f *testing.F) { fuzz(f, "swap", nil, 1024, 1028, 4086) }

// FuzzBtrfs makes the checksums of the superblock and of the chunk tree's root right.
func FuzzBtrfs(f *testing.F) {
	const root = 22036480
	fuzz(f, "btrfs", func(b []byte) { sumBtrfs(b, root) },
		btrfsSuperAt+88, btrfsSuperAt+160, btrfsSuperAt+811, btrfsSuperAt+209, root+96, root+btrfsNodeHead+8, root+btrfsNodeHead+17)
}

// FuzzXFS makes the checksums of the first group right.
func FuzzXFS(f *testing.F) {
	fuzz(f, "xfs", func(b []byte) {
		sum := func(at, size, field int) {
			if at >= 0 && at+size <= len(b) {
				binary.LittleEndian.PutUint32(b[at+field:], 0)
				binary.LittleEndian.PutUint32(b[at+field:], crc32.Checksum(b[at:at+size], castagnoli))
			}
		}
		sum(0, 512, 224)
		sum(512, 512, 216)
		sum(int(be32(b, 512+16))*4096, 4096, 52)
	}, 4, 84, 96, 102, 120, 512+16, 512+28, 4096+6, 4096+8, 4096+56)
}
