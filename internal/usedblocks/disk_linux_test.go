package usedblocks

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"multiserver/internal/partition"
)

// gptDisk is a disk with partitions of those contents, 1 MiB apart, and a GPT.
func gptDisk(contents ...[]byte) []byte {
	const mib = 1 << 20
	size := mib
	for _, c := range contents {
		size += (len(c)+mib-1)/mib*mib + mib
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = 0xA5
	}
	clear(b[:34*512])
	e := b[446:]
	e[4] = 0xEE
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(size/512-1))
	b[510], b[511] = 0x55, 0xAA
	entries := b[1024 : 1024+128*128]
	at := mib
	for i, c := range contents {
		copy(b[at:], c)
		e := entries[i*128:]
		e[0], e[16] = 1, byte(i+1)
		binary.LittleEndian.PutUint64(e[32:], uint64(at/512))
		binary.LittleEndian.PutUint64(e[40:], uint64((at+len(c))/512-1))
		at += (len(c)+mib-1)/mib*mib + mib
	}
	h := b[512:]
	copy(h, "EFI PART")
	for at, v := range map[int]uint32{8: 0x10000, 12: 92, 80: 128, 84: 128} {
		binary.LittleEndian.PutUint32(h[at:], v)
	}
	for at, v := range map[int]int{24: 1, 32: size/512 - 1, 40: 34, 48: size/512 - 34, 72: 2} {
		binary.LittleEndian.PutUint64(h[at:], uint64(v))
	}
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return b
}

// made is a file system that a program makes, of mib MiB.
func made(t testing.TB, mib int64, mkfs ...string) []byte {
	needs(t, mkfs[0])
	path := emptyImage(t, mib<<20)
	run(t, mkfs[0], append(mkfs[1:], path)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDisk: in a disk with a GPT each partition counts for itself, and what is outside of them is
// used.
func TestDisk(t *testing.T) {
	contents := [][]byte{
		made(t, 16, "mkfs.ext4", "-q", "-F"), make([]byte, 1<<20+512), made(t, 64, "mkfs.fat"),
		made(t, 16, "mkswap"), made(t, 16, "mkntfs", "-Q", "-F", "-q"), made(t, 16, "mkfs.ext4", "-q", "-F"),
	}
	contents[5][extSuperAt+0x3A] = 0 // not clean, and so with a wrong checksum
	b := gptDisk(contents...)
	m := Read(readerOf(b), uint64(len(b)))
	if m.Whole != nil || len(m.Parts) != 6 {
		t.Fatalf("%q", m.Lines())
	}
	kinds := []string{"ext4", "", "vfat", "swap", "ntfs", "ext4"}
	at := uint64(1 << 20)
	for i, p := range m.Parts {
		lo, hi := at, at+uint64(len(contents[i]))
		unused := uint64(0)
		for _, s := range m.Unused {
			if s.Lo < hi && lo < s.Hi {
				unused += s.Hi - s.Lo
			}
			if s.Lo >= s.Hi || s.Lo%pageSize != 0 || s.Hi%pageSize != 0 {
				t.Fatalf("unused is %v", s)
			}
		}
		if p.Number != i+1 || p.Kind != kinds[i] || p.Size != hi-lo || p.Used+unused != p.Size || (p.Why == nil) != (unused > 0) {
			t.Errorf("%+v, and %d are unused", p, unused)
		}
		if s, bad := overlaps(m.Unused, hi, hi+1<<20); bad {
			t.Errorf("the gap behind partition %d is unused: %v", i+1, s)
		}
		at = hi + (1<<20-hi%(1<<20))%(1<<20) + 1<<20
	}
	if lines := strings.Join(m.Lines(), "\n"); !strings.Contains(lines, "partition 3 (vfat): ") || !strings.Contains(lines, "partition 2, 1.05 MB: all of it is sent: no file system") ||
		!strings.Contains(lines, "partition 6 (ext4), 16.8 MB: all of it is sent, also what is unused: it is mounted, or was not unmounted") {
		t.Error(lines)
	}
}

// TestDiskRefuses: a disk whose parts are not certain is sent whole.
func TestDiskRefuses(t *testing.T) {
	ext4 := made(t, 16, "mkfs.ext4", "-q", "-F")
	good := gptDisk(ext4)
	if m := Read(readerOf(good), uint64(len(good))); len(m.Unused) == 0 {
		t.Fatalf("%q", m.Lines())
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"a damaged table", with(good, change{1024, []byte{7}}), "damaged"},
		{"a file system over the disk", with(good, change{65536 - swapMarkSize, []byte("SWAPSPACE2")}), "begins like"},
	} {
		if m := Read(readerOf(test.bytes), uint64(len(test.bytes))); m.Whole == nil || !strings.Contains(m.Whole.Error(), test.want) || len(m.Unused) > 0 || len(m.Lines()) != 1 {
			t.Errorf("%s: want %q: %q", test.name, test.want, m.Lines())
		}
	}
	size := len(ext4)
	zfs := []change{{130 << 10, []byte("\x0C\xB1\xBA\x00\x00\x00\x00\x00")}}
	for i := range 3 {
		zfs = append(zfs, change{(131 + i) << 10, zfs[0].bytes})
	}
	three := with(ext4, zfs[:3]...)
	if m := Read(readerOf(three), uint64(size)); m.Parts[0].Why != nil && strings.Contains(m.Parts[0].Why.Error(), "ZFS") {
		t.Errorf("three uberblocks: %q", m.Lines())
	}
	four := with(ext4, zfs...)
	whole(t, "ZFS", Read(readerOf(four), uint64(size)), "several at once: ext4, ZFS")
	for _, magic := range []string{verityMagic, androidVerity} {
		b := append(with(ext4), make([]byte, 8192)...)
		only(t, Read(readerOf(b), uint64(len(b))))
		copy(b[size:], magic)
		whole(t, "hashes behind it", Read(readerOf(b), uint64(len(b))), "dm-verity")
	}
	verity := gptDisk(ext4, append([]byte(verityMagic), make([]byte, 1<<20)[:1<<20-8]...))
	if m := Read(readerOf(verity), uint64(len(verity))); m.Whole == nil || !strings.Contains(m.Whole.Error(), "partition 2 has hashes") {
		t.Errorf("hashes in a partition: %q", m.Lines())
	}
	for _, test := range []struct {
		name, want string
		change     change
	}{
		{"two file systems", "several at once: ext4, swap", change{65536 - swapMarkSize, []byte("SWAPSPACE2")}},
		{"LUKS", "several at once: ext4, LUKS", change{0, []byte("LUKS\xBA\xBE")}},
		{"bcache", "bcache", change{4096 + 24, []byte("\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81")}},
		{"a member of an array, 0.90", "mdraid", change{size - 64<<10, []byte(mdMagic)}},
		{"a member of an array, 1.0", "mdraid", change{size - 8<<10, []byte(mdMagic)}},
		{"a member of an array, 1.1", "mdraid", change{0, []byte(mdMagic)}},
		{"a member of an array, 1.2", "mdraid", change{4096, []byte(mdMagic)}},
	} {
		b := with(ext4, test.change)
		whole(t, test.name, Read(readerOf(b), uint64(size)), test.want)
	}
}

// TestSpanList: a map with more spans than there is room for keeps the long ones.
func TestSpanList(t *testing.T) {
	var l spanList
	long := uint64(0)
	for i := range uint64(3 * maxSpans) {
		s := partition.Span{Lo: i << 20, Hi: i<<20 + pageSize}
		if i%1000 == 0 {
			s.Hi, long = s.Lo+100*pageSize, long+1
		}
		l.add(s)
	}
	kept := uint64(0)
	for _, s := range l.spans {
		if s.Hi-s.Lo == 100*pageSize {
			kept++
		}
	}
	if len(l.spans) >= maxSpans || kept != long {
		t.Errorf("%d spans, of %d long ones %d", len(l.spans), long, kept)
	}
}

// TestVolumeReads: a reader sees its volume and nothing behind it, and hears of a disk that fails.
func TestVolumeReads(t *testing.T) {
	disk := readerOf(make([]byte, 8192))
	v := &volume{disk: disk, at: 1024, size: 4096}
	for _, test := range []struct {
		off, n uint64
		want   string
	}{{0, 4096, ""}, {4096, 0, ""}, {1, 4096, "reaches"}, {5000, 1, "reaches"}, {^uint64(0), 2, "reaches"}} {
		if _, err := v.bytes(test.off, test.n); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d bytes at %d: %v", test.n, test.off, err)
		}
	}
	short := &volume{disk: disk, size: 1 << 20}
	if _, err := short.bytes(8000, 1000); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
}

// TestFreeOrder: a reader that frees bytes twice, or others than the volume's, has been lied to.
func TestFreeOrder(t *testing.T) {
	for _, second := range [][2]uint64{{0, 5}, {5000, 6000}, {9000, 8999}, {9000, 1 << 20}} {
		v := &volume{size: 64 << 10}
		if err := v.free(4096, 8192); err != nil {
			t.Fatal(err)
		}
		if err := v.free(second[0], second[1]); err != errOrder {
			t.Errorf("%v: %v", second, err)
		}
	}
	v := &volume{at: 512, size: 64 << 10}
	for _, s := range [][2]uint64{{0, 1000}, {1000, 4000}, {4000, 12000}, {20000, 24000}} {
		if err := v.free(s[0], s[1]); err != nil {
			t.Fatal(err)
		}
	}
	if v.flush(); len(v.unused.spans) != 1 || v.unused.spans[0] != (partition.Span{Lo: 4096, Hi: 12288}) {
		t.Errorf("pages of the disk: %v", v.unused.spans)
	}
}
