package usedblocks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// extUsed is how many bytes are used, as dumpe2fs counts, and the size of blocks.
func extUsed(t testing.TB, path string) (used, block uint64) {
	text := run(t, "dumpe2fs", "-h", path)
	number := func(name string) uint64 {
		m := regexp.MustCompile(`(?m)^` + name + `: +(\d+)`).FindStringSubmatch(text)
		if m == nil {
			return 0
		}
		n, _ := strconv.ParseUint(m[1], 10, 64)
		return n
	}
	block = number("Block size")
	return (number("Block count") - number("Free blocks")) * block, block
}

// TestExt: each kind of ext2, 3 and 4, filled and half deleted: the map has every block of every
// file, little more than is used, and what is served has every file and passes e2fsck.
func TestExt(t *testing.T) {
	needs(t, "mkfs.ext4", "dumpe2fs", "e2fsck", "partclone.extfs")
	for _, test := range []struct {
		name, kind string
		mib        int64
		args       []string
		partclone  bool
	}{
		{name: "ext2, 1 KiB", partclone: true, kind: "ext2", mib: 96, args: []string{"-t", "ext2", "-b", "1024"}},
		{name: "ext2, revision 0", kind: "ext2", mib: 64, args: []string{"-t", "ext2", "-r", "0", "-O", "none"}},
		{name: "ext3, 2 KiB", kind: "ext3", mib: 128, args: []string{"-t", "ext3", "-b", "2048"}},
		{name: "ext4", partclone: true, kind: "ext4", mib: 512, args: []string{"-t", "ext4"}},
		{name: "ext4, 1 KiB", kind: "ext4", mib: 256, args: []string{"-t", "ext4", "-b", "1024"}},
		{name: "ext4, 1 KiB, no flex_bg, 32 bits", kind: "ext4", mib: 256, args: []string{"-t", "ext4", "-b", "1024", "-O", "^flex_bg,^64bit"}},
		{name: "ext4, no flex_bg", kind: "ext4", mib: 384, args: []string{"-t", "ext4", "-O", "^flex_bg"}},
		{name: "ext4, uninit_bg", partclone: true, kind: "ext4", mib: 384, args: []string{"-t", "ext4", "-O", "^metadata_csum,uninit_bg"}},
		{name: "ext4, uninit_bg, 32 bits, no flex_bg", kind: "ext4", mib: 384, args: []string{"-t", "ext4", "-O", "^metadata_csum,uninit_bg,^64bit,^flex_bg"}},
		{name: "ext4, meta_bg", partclone: true, kind: "ext4", mib: 512, args: []string{"-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"}},
		{name: "ext4, meta_bg, no flex_bg", kind: "ext4", mib: 384, args: []string{"-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^flex_bg"}},
		{name: "ext4, bigalloc", kind: "ext4", mib: 512, args: []string{"-t", "ext4", "-O", "bigalloc", "-C", "65536"}},
		{name: "ext4, sparse_super2", kind: "ext4", mib: 512, args: []string{"-t", "ext4", "-O", "sparse_super2,^resize_inode"}},
		{name: "ext4, small groups", partclone: true, kind: "ext4", mib: 256, args: []string{"-t", "ext4", "-g", "1024", "-O", "mmp,metadata_csum_seed"}},
		{name: "ext4, no checksums", kind: "ext4", mib: 256, args: []string{"-t", "ext4", "-O", "^metadata_csum,^uninit_bg"}},
		{name: "ext4, odd size", kind: "ext4", mib: 301, args: []string{"-t", "ext4", "-N", "2000", "-b", "1024"}},
		{name: "ext4, inline_data", kind: "ext4", mib: 256, args: []string{"-t", "ext4", "-I", "512", "-O", "inline_data"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			frozen := "ro,noload"
			if test.kind == "ext2" {
				frozen = "ro"
			}
			f := fileSystem{
				kind: test.kind, mib: test.mib, frozen: frozen, used: extUsed,
				mkfs:  append([]string{"mkfs.ext4", "-q", "-F", "-E", "nodiscard"}, test.args...),
				check: []string{"e2fsck", "-f", "-n"},
			}
			if test.partclone { // it fails with bigalloc
				f.partclone = "partclone.extfs"
			}
			f.test(t)
		})
	}
}

// TestExtFresh: without a mount, for those who are not root.
func TestExtFresh(t *testing.T) {
	needs(t, "mkfs.ext4", "dumpe2fs", "e2fsck")
	for _, kib := range []string{"1024", "2048", "4096"} {
		path := emptyImage(t, 200<<20)
		run(t, "mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-b", kib, path)
		p := only(t, readMap(t, path))
		if truth, _ := extUsed(t, path); float64(p.Used) > 1.02*float64(truth)+8192 {
			t.Errorf("blocks of %s: %d bytes are used, truly %d", kib, p.Used, truth)
		}
		run(t, "e2fsck", "-f", "-n", view(t, path))
	}
}

// TestExtRefuses: each doubt about an ext4 is one that sends all of it.
func TestExtRefuses(t *testing.T) {
	needs(t, "mkfs.ext4")
	path := emptyImage(t, 64<<20)
	run(t, "mkfs.ext4", "-q", "-F", "-b", "1024", "-O", "mmp", path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only(t, readMap(t, path))
	mmp := binary.LittleEndian.Uint64(good[extSuperAt+0x168:]) * 1024
	gdt := 2048 // with blocks of 1 KiB
	bitmap := int(binary.LittleEndian.Uint32(good[gdt:])) * 1024
	set32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[extSuperAt+at:], v) }
	}
	or32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) {
			binary.LittleEndian.PutUint32(b[extSuperAt+at:], binary.LittleEndian.Uint32(b[extSuperAt+at:])|v)
		}
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		sum    bool // the superblock's is made right again
		want   string
	}{
		{"a journal to replay", or32(0x60, extRecover), true, "replayed"},
		{"not clean", func(b []byte) { b[extSuperAt+0x3A] = 0 }, true, "was not unmounted"},
		{"orphans of a recovery", func(b []byte) { b[extSuperAt+0x3A] = 5 }, true, "was not unmounted"},
		{"errors", func(b []byte) { b[extSuperAt+0x3A] = 3 }, true, "errors"},
		{"orphans", or32(0x64, extOrphanPresent), true, "was not unmounted"},
		{"a journal device", or32(0x60, extJournalDev), true, "journal of another"},
		{"compression", or32(0x60, 1), true, "incompat 0x1"},
		{"an incompatible feature to come", or32(0x60, 1<<30), true, "incompat 0x40000000"},
		{"a feature to come", or32(0x64, 1<<30), true, "ro_compat 0x40000000"},
		{"snapshots", or32(0x64, 0x80), true, "ro_compat 0x80"},
		{"a compatible feature to come", or32(0x5C, 1<<30), true, "compat 0x40000000"},
		{"a revision to come", set32(0x4C, 2), true, "revision"},
		{"a superblock that is damaged", func(b []byte) { b[extSuperAt+0x80] ^= 1 }, false, "checksum of its superblock"},
		{"blocks of 2^40 bytes", set32(0x18, 30), true, "contradicts itself"},
		{"no blocks in a group", set32(0x20, 0), true, "contradicts itself"},
		{"many groups", func(b []byte) { set32(0x20, 8)(b); set32(0x24, 8)(b); set32(4, 1<<30)(b) }, true, "the partition"},
		{"64 TiB", set32(0x150, 16), true, "the partition"},
		{"another size of descriptors", func(b []byte) { binary.LittleEndian.PutUint16(b[extSuperAt+0xFE:], 48) }, true, "contradicts itself"},
		{"a size of descriptors that is no power", func(b []byte) { binary.LittleEndian.PutUint16(b[extSuperAt+0xFE:], 96) }, true, "contradicts itself"},
		{"descriptors larger than blocks", func(b []byte) { binary.LittleEndian.PutUint16(b[extSuperAt+0xFE:], 2048) }, true, "contradicts itself"},
		{"clusters smaller than blocks", func(b []byte) { or32(0x64, extBigalloc)(b); set32(0x18, 1)(b); set32(0x1C, 0)(b) }, true, "contradicts itself"},
		{"huge clusters", func(b []byte) { or32(0x64, extBigalloc)(b); set32(0x1C, 40)(b) }, true, "contradicts itself"},
		{"meta groups behind all", func(b []byte) { or32(0x60, extMetaBG)(b); set32(0x104, 1<<20)(b) }, true, "contradicts itself"},
		{"a first block that is not 0 or 1", set32(0x14, 7), true, "contradicts itself"},
		{"inodes as small as nothing", func(b []byte) { binary.LittleEndian.PutUint16(b[extSuperAt+0x58:], 16) }, true, "contradicts itself"},
		{"no inodes", set32(0x28, 0), true, "contradicts itself"},
		{"another mark against mounting twice", func(b []byte) { b[mmp]++ }, false, "mounting twice"},
		{"a descriptor that is damaged", func(b []byte) { b[gdt+0xC] ^= 1 }, false, "group descriptor 0"},
		{"a bitmap that is damaged", func(b []byte) { b[bitmap+500] ^= 1 }, false, "bitmap is wrong"},
		{"mounted elsewhere", func(b []byte) { binary.LittleEndian.PutUint32(b[mmp+4:], 77) }, false, "mounting twice"},
		{"a mark outside", func(b []byte) { binary.LittleEndian.PutUint64(b[extSuperAt+0x168:], 1<<40) }, true, "outside"},
		{"the end cut off", nil, false, "the partition"},
	} {
		b := append([]byte(nil), good...)
		if test.damage == nil {
			b = b[:63<<20]
		} else {
			test.damage(b)
		}
		if test.sum {
			binary.LittleEndian.PutUint32(b[extSuperAt+0x3FC:], rawCRC32C(^uint32(0), b[extSuperAt:][:0x3FC]))
		}
		whole(t, test.name, Read(readerOf(b), uint64(len(b))), test.want)
	}
}

// TestExtCounts: a bitmap that was changed with its checksums absent shows by the count.
func TestExtCounts(t *testing.T) {
	needs(t, "mkfs.ext4")
	path := emptyImage(t, 32<<20)
	run(t, "mkfs.ext4", "-q", "-F", "-b", "1024", "-O", "^metadata_csum,^uninit_bg", path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only(t, Read(readerOf(b), uint64(len(b))))
	bitmap := binary.LittleEndian.Uint32(b[2048:]) * 1024
	b[bitmap] ^= 1
	whole(t, "a bit", Read(readerOf(b), uint64(len(b))), "free clusters")
	b[bitmap] ^= 1
	for i, name := range []string{"a bitmap", "a bitmap of inodes", "a table of inodes"} {
		c := with(b)
		binary.LittleEndian.PutUint32(c[2048+4*i:], 1<<30)
		whole(t, name+" elsewhere", Read(readerOf(c), uint64(len(c))), "outside")
	}
	// 2^21 groups on a disk that says that it is large.
	c := with(b)
	for at, v := range map[int]uint32{0x4: 1 << 30, 0x20: 256, 0x24: 256} {
		binary.LittleEndian.PutUint32(c[extSuperAt+at:], v)
	}
	whole(t, "many groups", Read(&longer{bytes.NewReader(c)}, 4<<40), "groups of blocks")
}

// TestExtMounted: a copy that is made while the file system is mounted is sent whole.
func TestExtMounted(t *testing.T) {
	needs(t, "mkfs.ext4")
	path := emptyImage(t, 64<<20)
	run(t, "mkfs.ext4", "-q", "-F", path)
	copied := path + ".copy"
	mounted(t, path, "rw", func(dir string) {
		if err := os.WriteFile(dir+"/a", make([]byte, 5000), 0o600); err != nil {
			t.Error(err)
		}
		if out := run(t, "sh", "-c", fmt.Sprintf("sync -f %s && cp %s %s", dir, path, copied)); out != "" {
			t.Error(out)
		}
	})
	whole(t, "mounted", readMap(t, copied), "replayed")
}
