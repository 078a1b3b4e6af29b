package partition

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// putGPT makes the second sector of that size a table's header.
func putGPT(head []byte, sector int) {
	h := head[sector:]
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint32(h[8:], 1<<16)
	binary.LittleEndian.PutUint32(h[12:], minGPTHeader)
	binary.LittleEndian.PutUint64(h[24:], 1)
	clear(h[16:20])
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:minGPTHeader]))
}

// putMBR adds a partition of a type to the first sector.
func putMBR(head []byte, i int, status, kind byte, first, count uint32) {
	head[510], head[511] = 0x55, 0xAA
	e := head[mbrEntriesAt+i*mbrEntrySize:]
	e[0], e[4] = status, kind
	binary.LittleEndian.PutUint32(e[8:], first)
	binary.LittleEndian.PutUint32(e[12:], count)
}

func TestSectorSize(t *testing.T) {
	protect := func(b []byte) { putMBR(b, 0, 0, protective, 1, 1<<32-1) }
	linux := func(b []byte) { putMBR(b, 0, 0x80, 0x83, 2048, 1<<20) }
	for _, tt := range []struct {
		name string
		make func(b []byte)
		want uint32
	}{
		{"nothing", func([]byte) {}, 0},
		{"GPT, 512", func(b []byte) { protect(b); putGPT(b, 512) }, 512},
		{"GPT, 4096", func(b []byte) { protect(b); putGPT(b, 4096) }, 4096},
		{"GPT without an MBR", func(b []byte) { putGPT(b, 4096) }, 4096},
		{"GPT for each", func(b []byte) { protect(b); putGPT(b, 512); putGPT(b, 4096) }, 0},
		{"GPT, 4096, and partitions beside it", func(b []byte) { linux(b); putGPT(b, 4096) }, 4096},
		{"GPT and a boot sector", func(b []byte) { putGPT(b, 512); copy(b, "\xEB\x3C\x90mkfs.fat\x00\x02\x04") }, 512},
		{"GPT with a longer header", func(b []byte) {
			putGPT(b, 4096)
			b[4096+12], b[4096+13] = 0, 0x10
			clear(b[4096+16 : 4096+20])
			binary.LittleEndian.PutUint32(b[4096+16:], crc32.ChecksumIEEE(b[4096:]))
		}, 4096},
		{"GPT without its signature", func(b []byte) { putGPT(b, 512); b[512] = 'e' }, 0},
		{"GPT with another checksum", func(b []byte) { putGPT(b, 512); b[512+60]++ }, 0},
		{"GPT with too short a header", func(b []byte) { putGPT(b, 512); b[512+12] = 91 }, 0},
		{"GPT with too long a header", func(b []byte) { putGPT(b, 512); b[512+14] = 1 }, 0},
		{"GPT with an enormous header", func(b []byte) { putGPT(b, 512); b[512+15] = 0xFF }, 0},
		{"a GPT's backup", func(b []byte) {
			putGPT(b, 512)
			b[512+24] = 2
			clear(b[512+16 : 512+20])
			binary.LittleEndian.PutUint32(b[512+16:], crc32.ChecksumIEEE(b[512:512+minGPTHeader]))
		}, 0},
		{"protective alone", protect, 0},
		{"MBR", linux, 512},
		{"MBR with GRUB's jump", func(b []byte) { linux(b); copy(b, "\xEB\x63\x90") }, 512},
		{"MBR, four partitions", func(b []byte) {
			for i := range 4 {
				putMBR(b, i, 0, 7, uint32(i+1)*1000, 1000)
			}
		}, 512},
		{"MBR without its signature", func(b []byte) { linux(b); b[510] = 0 }, 0},
		{"MBR without partitions", func(b []byte) { b[510], b[511] = 0x55, 0xAA }, 0},
		{"two active partitions", func(b []byte) { linux(b); putMBR(b, 1, 0x80, 0x83, 1<<24, 1) }, 0},
		{"partitions that overlap", func(b []byte) { linux(b); putMBR(b, 1, 0, 0x83, 4096, 1) }, 0},
		{"a partition of nothing", func(b []byte) { linux(b); putMBR(b, 1, 0, 0x83, 1<<24, 0) }, 0},
		{"a partition from sector 0", func(b []byte) { putMBR(b, 0, 0x80, 0x17, 0, 1000) }, 0},
		{"a partition beyond all", func(b []byte) { putMBR(b, 0, 0, 0x83, 1<<31, 1<<31+1) }, 0},
		{"a partition of no type", func(b []byte) { linux(b); putMBR(b, 1, 0, 0, 1<<24, 1) }, 0},
		{"a status that is none", func(b []byte) { linux(b); putMBR(b, 1, 0x20, 0x83, 1<<24, 1) }, 0},
		{"FAT", func(b []byte) { linux(b); copy(b, "\xEB\x3C\x90mkfs.fat\x00\x02\x04") }, 0},
		{"FAT with the long jump", func(b []byte) { linux(b); copy(b, "\xE9\x00\x01MSDOS5.0\x00\x10\x80") }, 0},
		{"NTFS", func(b []byte) { linux(b); copy(b, "\xEB\x52\x90NTFS    ") }, 0},
		{"exFAT", func(b []byte) { linux(b); copy(b, "\xEB\x76\x90EXFAT   ") }, 0},
	} {
		head := make([]byte, HeadSize)
		tt.make(head)
		if got := SectorSize(head); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestShortHead: an image may end anywhere.
func TestShortHead(t *testing.T) {
	small, large, mbr := make([]byte, HeadSize), make([]byte, HeadSize), make([]byte, HeadSize)
	putGPT(small, 512)
	putGPT(large, 4096)
	putMBR(mbr, 0, 0, 0x83, 1, 1)
	for n := range HeadSize + 1 {
		for _, tt := range []struct {
			head        []byte
			least, want int
		}{{small, 512 + minGPTHeader, 512}, {large, 4096 + minGPTHeader, 4096}, {mbr, 512, 512}} {
			want := tt.want
			if n < tt.least {
				want = 0
			}
			if got := SectorSize(tt.head[:n]); got != uint32(want) {
				t.Fatalf("%d bytes of a table for %d: %d, want %d", n, tt.want, got, want)
			}
		}
	}
}

func FuzzSectorSize(f *testing.F) {
	for _, sector := range []int{512, 4096} {
		head := make([]byte, HeadSize)
		putGPT(head, sector)
		f.Add(head)
	}
	mbr := make([]byte, 512)
	putMBR(mbr, 0, 0, 0x83, 1, 1)
	f.Add(mbr)
	f.Fuzz(func(t *testing.T, head []byte) {
		switch SectorSize(head) {
		case 0, 512, 4096:
		default:
			t.Errorf("%x is of sectors of %d", head, SectorSize(head))
		}
	})
}
