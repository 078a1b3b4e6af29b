package signature

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"multiserver/internal/partition"
)

const (
	diskBytes  = 80*mib + 3*512 // not aligned to what RAID and ZFS align to
	imageBytes = 1 * mib
)

// sparse is a disk that is zero but for some bytes.
type sparse map[uint64]string

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at, text := range s {
		for i := range len(text) {
			if n := int64(at) + int64(i) - off; n >= 0 && n < int64(len(p)) {
				p[n] = text[i]
			}
		}
	}
	if off+int64(len(p)) > diskBytes {
		return 0, io.EOF
	}
	return len(p), nil
}

func number(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// TestWholeDisk: each signature at the place where libblkid looks for it, in figures of its own.
func TestWholeDisk(t *testing.T) {
	for _, c := range []struct {
		kind string
		disk sparse
		off  uint64
		n    uint64 // bytes to clear
	}{
		{"a backup GPT", sparse{diskBytes - 512: "EFI PART"}, diskBytes - 512, 8},
		{"a backup GPT", sparse{diskBytes - 4096: "EFI PART"}, diskBytes - 4096, 8},
		{"an mdraid superblock", sparse{83820544: mdMagic}, 83820544, 4},     // 0.90
		{"an mdraid superblock", sparse{83820544: mdMagicBig}, 83820544, 4},  // 0.90 of a big-endian machine
		{"an mdraid superblock", sparse{163824 * 512: mdMagic}, 83877888, 4}, // 1.0
		{"an Intel RAID (IMSM) superblock", sparse{diskBytes - 1024: "Intel Raid ISM Cfg Sig. "}, diskBytes - 1024, 24},
		{"a DDF RAID header", sparse{diskBytes - 512: "\xDE\x11\xDE\x11"}, diskBytes - 512, 4},
		{"a DRBD superblock", sparse{diskBytes - 4096 + 60: "\x83\x74\x02\x6D"}, diskBytes - 4096 + 60, 4},
		{"a Promise RAID superblock", sparse{diskBytes - 63*512: "Promise Technology, Inc."}, diskBytes - 63*512, 24},
		{"a ZFS label", sparse{79*mib + 512*kib + 133*kib: number(0x00bab10c)}, 79*mib + 645*kib, 256 * kib},
		{"a ZFS label", sparse{79*mib + 768*kib + 128*kib: "\x00\x00\x00\x00\x00\xba\xb1\x0c"}, 79*mib + 896*kib, 256 * kib},
		{"a btrfs superblock", sparse{64*mib + 0x40: "_BHRfS_M", 64*mib + 0x30: number(64 * mib)}, 64*mib + 0x40, 8},
	} {
		found, err := Find(c.disk, imageBytes, diskBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].Kind != c.kind || found[0].Off != c.off || found[0].Clear.Hi-found[0].Clear.Lo != c.n {
			t.Errorf("%s at %d: found %+v", c.kind, c.off, found)
		}
		// In the image, it is the image's.
		if found, _ := Find(c.disk, c.off+1, diskBytes); len(found) > 0 {
			t.Errorf("%s in the image's range: found %v", c.kind, found)
		}
	}
}

// TestStrayBytes: a superblock that names another place is part of something else.
func TestStrayBytes(t *testing.T) {
	disk := sparse{64*mib + 0x40: "_BHRfS_M", 64*mib + 0x30: number(64 * kib), 40 * mib: "EFI PART", 2 * mib: "LABELONE"}
	if found, err := Find(disk, imageBytes, diskBytes); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	// A small disk and a small rest.
	for _, size := range []uint64{0, 1, 511, 512, 4095, 4096, 70000} {
		if found, err := Find(bytes.NewReader(make([]byte, size)), size/2, size); err != nil || len(found) > 0 {
			t.Errorf("a disk of %d bytes: %v, %v", size, found, err)
		}
	}
}

// TestOldPartitions: what the partitions of an old backup GPT begin with. Its first is in the
// image's range.
func TestOldPartitions(t *testing.T) {
	head, err := os.ReadFile("../partition/testdata/gpt.bin")
	if err != nil {
		t.Fatal(err)
	}
	// A partition from 1 MiB to 2, and one from 2 to 3.
	disk := append(head, make([]byte, 5*mib-len(head))...)
	move, err := partition.MoveBackup(bytes.NewReader(disk), uint64(len(disk)), 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range move.Backup {
		copy(disk[w.Off:], w.Bytes)
	}
	rand.NewChaCha8([32]byte{1}).Read(disk[imageBytes : imageBytes+64*kib])
	place := func(at int, text string) { copy(disk[at:], text) }
	place(1*mib+512, "LABELONE")
	place(1*mib+512+24, "LVM2 001")
	place(2*mib+512, "LABELONE")
	place(2*mib+512+24, "LVM2 001")
	place(2*mib+4096, mdMagic)
	place(2*mib+64*kib+0x40, "_BHRfS_M")
	place(2*mib+64*kib+0x30, number(64*kib))
	place(2*mib+1024+56, "\x53\xEF")
	place(2*mib+1024+4, "\x10")
	found, err := Find(bytes.NewReader(disk), imageBytes+64*kib, uint64(len(disk)))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, f := range found {
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	if want := "a backup GPT, a btrfs superblock, an LVM physical volume, an ext file system, an mdraid superblock"; strings.Join(kinds, ", ") != want {
		t.Errorf("found %v, want %s", found, want)
	}
	for _, f := range found {
		clear(disk[f.Clear.Lo:f.Clear.Hi])
	}
	if again, err := Find(bytes.NewReader(disk), imageBytes+64*kib, uint64(len(disk))); err != nil || len(again) > 0 {
		t.Errorf("after clearing: %v, %v", again, err)
	}
}
