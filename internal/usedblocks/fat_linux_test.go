package usedblocks

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// copyIn fills a FAT by mtools: files that stay between files that are deleted.
func copyIn(t testing.TB, path string, f func(dir string)) {
	dir := t.TempDir()
	f(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	run(t, "mmd", "-i", path, "::/kept", "::/gone")
	for len(all) > 0 { // both folders by turns
		some := all[:min(100, len(all))]
		all = all[len(some):]
		for _, into := range []string{"::/kept", "::/gone"} {
			run(t, "mcopy", append(append([]string{"-s", "-i", path}, some...), into)...)
		}
	}
	run(t, "mdeltree", "-i", path, "::/gone")
}

// copyOut reads a FAT by mtools.
func copyOut(t testing.TB, path string, f func(dir string)) {
	dir := t.TempDir()
	run(t, "mcopy", "-s", "-i", path, "::/kept", dir)
	f(dir)
}

// fatUsed is how many bytes are used, as fsck.fat counts.
func fatUsed(t testing.TB, path string) (used, block uint64) {
	text := run(t, "fsck.fat", "-n", "-v", path)
	number := func(pattern string) uint64 {
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s in %s", pattern, text)
		}
		n, _ := strconv.ParseUint(m[1], 10, 64)
		return n
	}
	block = number(`(\d+) bytes per cluster`)
	return number(`Data area starts at byte (\d+)`) + number(`files, (\d+)/\d+ clusters`)*block, block
}

// TestFAT: as TestExt, by mtools in place of a mount.
func TestFAT(t *testing.T) {
	needs(t, "mkfs.fat", "fsck.fat", "mcopy", "mdeltree", "partclone.vfat")
	for _, test := range []struct {
		name string
		mib  int64
		args []string
	}{
		{"FAT12", 30, []string{"-F", "12", "-s", "16"}}, // partclone 0.3.23 leaves out a cluster in use
		{"FAT16", 128, []string{"-F", "16"}},
		{"FAT16, sectors of 4 KiB", 128, []string{"-F", "16", "-S", "4096"}},
		{"FAT32", 256, []string{"-F", "32", "-s", "2"}},
		{"FAT32, one table", 128, []string{"-F", "32", "-s", "1", "-f", "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := fileSystem{
				kind: "vfat", mib: test.mib, write: copyIn, read: copyOut, used: fatUsed,
				mkfs:  append([]string{"mkfs.fat"}, test.args...),
				check: []string{"fsck.fat", "-n"},
				// Clusters of less than a page, of 750 files.
				most: func(used uint64) uint64 {
					return used + used/50 + 2*pageSize + 2*pageSize*tinyFiles*uint64(min(len(test.args), 3)-2)
				},
			}
			if test.name == "FAT16" || test.name == "FAT32" {
				f.partclone = "partclone.vfat"
			}
			f.test(t)
		})
	}
}

// TestFATRefuses: each doubt about a FAT is one that sends all of it.
func TestFATRefuses(t *testing.T) {
	needs(t, "mkfs.fat")
	put16 := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint16(b[at:], v) }
	}
	both := func(fat, size, at int, bits byte) func([]byte) {
		return func(b []byte) { b[fat+at] &^= bits; b[fat+size+at] &^= bits }
	}
	for _, kind := range []string{"12", "16", "32"} {
		path := emptyImage(t, 64<<20)
		args := []string{"-F", kind}
		if kind == "12" {
			args = append(args, "-s", "64")
		}
		run(t, "mkfs.fat", append(args, path)...)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		only(t, Read(readerOf(good), uint64(len(good))))
		f, err := parseFAT(good)
		if err != nil {
			t.Fatal(err)
		}
		fat, size := int(f.table), int(f.tableBytes)
		type damage struct {
			name string
			do   func(b []byte)
			want string
		}
		all := []damage{
			{"copies that differ", func(b []byte) { b[fat+size+30]++ }, "not the same"},
			{"a table that is too short", func(b []byte) {
				if kind == "32" {
					binary.LittleEndian.PutUint32(b[36:], 1)
				} else {
					binary.LittleEndian.PutUint16(b[22:], 1)
				}
			}, "contradicts itself"},
			{"no tables", func(b []byte) { b[16] = 0 }, "contradicts itself"},
			{"no reserved sectors", put16(14, 0), "contradicts itself"},
			{"the end cut off", nil, "the partition has"},
		}
		switch kind {
		case "12":
			all = append(all, damage{"Linux's mark", func(b []byte) { b[0x25] |= 1 }, "was not unmounted"})
		case "16":
			all = append(all,
				damage{"not clean", both(fat, size, 3, 0x80), "was not unmounted"},
				damage{"a read that failed", both(fat, size, 3, 0x40), "was not unmounted"},
				damage{"Linux's mark", func(b []byte) { b[0x25] |= 1 }, "was not unmounted"})
		case "32":
			all = append(all,
				damage{"not clean", both(fat, size, 7, 0x08), "was not unmounted"},
				damage{"a read that failed", both(fat, size, 7, 0x04), "was not unmounted"},
				damage{"Linux's mark", func(b []byte) { b[0x41] |= 1 }, "was not unmounted"},
				damage{"a version to come", put16(42, 1), "contradicts itself"},
				damage{"few clusters", func(b []byte) { binary.LittleEndian.PutUint32(b[32:], 40000) }, "contradicts itself"})
		}
		for _, test := range all {
			b := with(good)
			if test.do == nil {
				b = b[:60<<20]
			} else {
				test.do(b)
			}
			whole(t, "FAT"+kind+", "+test.name, Read(readerOf(b), uint64(len(b))), test.want)
		}
		if kind == "32" { // the second table counts, the first is stale
			b := with(good)
			b[40], b[fat+8] = 0x81, 0xFF
			only(t, Read(readerOf(b), uint64(len(b))))
		}
	}
}

// fatBoot is a boot sector: fields of two bytes, of which the one at 13 is one of one byte, and
// the total of sectors and of a table of FAT32 of four.
func fatBoot(fields map[int]uint16) []byte {
	b := make([]byte, 512)
	for _, at := range []int{11, 13, 14, 16, 17, 19, 22, 32, 36, 40, 42} { // later ones over earlier ones
		if v, ok := fields[at]; ok && (at == 13 || at == 16) {
			b[at] = byte(v)
		} else if ok {
			binary.LittleEndian.PutUint16(b[at:], v)
		}
	}
	return b
}

// TestFATGeometry: each number of a boot sector is held against the others.
func TestFATGeometry(t *testing.T) {
	fat16 := map[int]uint16{11: 512, 13: 4, 14: 1, 16: 2, 17: 512, 19: 60000, 22: 60}
	fat32 := map[int]uint16{11: 512, 13: 1, 14: 32, 16: 2, 32: 0xFFFF, 36: 700}
	large := func(b []byte) []byte { b[34] = 2; return b } // 2 << 16 sectors more
	if f, err := parseFAT(fatBoot(fat16)); err != nil || f.bits != 16 || f.clusters != (60000-1-120-32)/4 || f.data != 153*512 {
		t.Fatalf("%+v, %v", f, err)
	}
	if f, err := parseFAT(large(fatBoot(fat32))); err == nil || f.bits != 0 {
		t.Fatalf("a table that is too short: %+v, %v", f, err)
	}
	fat32[36] = 2000
	if f, err := parseFAT(large(fatBoot(fat32))); err != nil || f.bits != 32 || f.data != 4032*512 {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, test := range []struct {
		name string
		of   map[int]uint16
		at   int
		v    uint16
		want error
	}{
		{"small sectors", fat16, 11, 256, errNoFAT},
		{"sectors of no power", fat16, 11, 768, errNoFAT},
		{"large sectors", fat16, 11, 8192, errNoFAT},
		{"clusters of nothing", fat16, 13, 0, errNoFAT},
		{"clusters of no power", fat16, 13, 3, errNoFAT},
		{"nothing reserved", fat16, 14, 0, errBadFAT},
		{"no tables", fat16, 16, 0, errBadFAT},
		{"many tables", fat16, 16, 5, errBadFAT},
		{"no root folder", fat16, 17, 0, errBadFAT},
		{"no room for files", fat16, 19, 150, errBadFAT},
		{"no clusters", fat16, 19, 155, errBadFAT},
		{"a short table", fat16, 22, 20, errBadFAT},
		{"no table", fat32, 36, 0, errBadFAT},
		{"a root folder in FAT32", fat32, 17, 512, errBadFAT},
		{"a third table that counts", fat32, 40, 0x82, errBadFAT},
		{"a version to come", fat32, 42, 1, errBadFAT},
	} {
		fields := maps.Clone(test.of)
		fields[test.at] = test.v
		b := fatBoot(fields)
		if _, is32 := test.of[36]; is32 {
			large(b)
		}
		if _, err := parseFAT(b); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// byFUSE mounts by a program of FUSE. The command has $1 for the image and $2 for the folder.
func byFUSE(command string) func(t testing.TB, path string, f func(dir string)) {
	return func(t testing.TB, path string, f func(dir string)) {
		if _, err := os.Stat("/dev/fuse"); err != nil {
			t.Skip("needs FUSE: ", err)
		}
		dir := t.TempDir()
		inMounts(t, func() {
			if out, err := exec.Command("sh", "-c", command, "sh", path, dir).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
				return
			}
			defer func() {
				if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
					t.Errorf("umount: %v: %s", err, out)
				}
			}()
			f(dir)
		})
	}
}

// exfatUsed is how many bytes are used, as dump.exfat counts.
func exfatUsed(t testing.TB, path string) (used, block uint64) {
	text := run(t, "dump.exfat", path)
	number := func(name string) uint64 {
		_, after, _ := strings.Cut(text, name)
		var n uint64
		if _, err := fmt.Sscan(strings.TrimLeft(after, ": \t"), &n); err != nil {
			t.Fatalf("no %s in %s", name, text)
		}
		return n
	}
	block = number("Cluster size")
	return number("Cluster Heap Offset (sector offset)")<<number("Sector Size Bits") + (number("Total Clusters")-number("Free Clusters"))*block, block
}

// awaitLoops waits until no loop device lies on the image: one is detached behind the last use.
const awaitLoops = `while losetup -j "$1" | grep -q .; do sleep 0.05; done`

// TestExFAT: as TestExt, by FUSE.
func TestExFAT(t *testing.T) {
	needs(t, "mkfs.exfat", "fsck.exfat", "dump.exfat", "mount.exfat-fuse", "partclone.exfat", "losetup")
	open := func(t testing.TB, path string, f func(dir string)) {
		byFUSE(`d=$(losetup -f --show "$1") && mount.exfat-fuse "$d" "$2"; losetup -d "$d"`)(t, path, f)
		run(t, "sh", "-c", awaitLoops, "sh", path)
	}
	for _, cluster := range []string{"4K", "32K", "512"} {
		t.Run(cluster, func(t *testing.T) {
			f := fileSystem{
				kind: "exfat", mib: 128, write: open, read: open, used: exfatUsed,
				mkfs: []string{"mkfs.exfat", "-c", cluster}, check: []string{"fsck.exfat", "-n"},
			}
			if cluster == "4K" {
				f.partclone = "partclone.exfat"
			}
			if cluster == "512" {
				f.most = func(used uint64) uint64 { return used + used/50 + 2*pageSize*tinyFiles }
			}
			f.test(t)
		})
	}
}

// TestExFATRefuses: each doubt about an exFAT is one that sends all of it.
func TestExFATRefuses(t *testing.T) {
	needs(t, "mkfs.exfat")
	path := emptyImage(t, 64<<20)
	run(t, "mkfs.exfat", path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only(t, Read(readerOf(good), uint64(len(good))))
	x := &exfatFS{v: &volume{disk: readerOf(good), size: uint64(len(good))}}
	if err := x.readBoot(); err != nil {
		t.Fatal(err)
	}
	root := int(x.data + uint64(x.root-2)*x.cluster)
	bitmap := root
	for good[bitmap] != exfatBitmapEntry {
		bitmap += 32
	}
	first := int(le32(good, bitmap+20))
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		sum    bool
		want   string
	}{
		{"dirty", func(b []byte) { b[106] |= 2 }, false, "was not unmounted"},
		{"its medium failed", func(b []byte) { b[106] |= 4 }, false, "has failed"},
		{"the second table", func(b []byte) { b[106] |= 1 }, false, "contradicts itself"},
		{"a damaged boot sector", func(b []byte) { b[200]++ }, false, "checksum"},
		{"two tables", func(b []byte) { b[110] = 2 }, true, "two allocation tables"},
		{"a revision to come", func(b []byte) { b[105] = 2 }, true, "revision"},
		{"huge clusters", func(b []byte) { b[109] = 200 }, false, "contradicts itself"},
		{"a huge volume", func(b []byte) { b[78] = 1 }, true, "the partition"},
		{"many clusters", func(b []byte) { b[95] = 1 }, true, "contradicts itself"},
		{"a root elsewhere", func(b []byte) { b[99] = 1 }, true, "leaves the file system"},
		{"no bitmap", func(b []byte) { b[bitmap] = 0 }, false, "no allocation bitmap"},
		{"a bitmap of a second table", func(b []byte) { b[bitmap+1] = 1 }, false, "second table"},
		{"a short bitmap", func(b []byte) { b[bitmap+24]-- }, false, "another size"},
		{"a bitmap elsewhere", func(b []byte) { b[bitmap+23] = 1 }, false, "leaves the file system"},
		{"a root of deleted entries that goes round", func(b []byte) {
			for at := root; at < root+int(x.cluster); at += 32 {
				b[at] = 5
			}
			binary.LittleEndian.PutUint32(b[int(x.fat)+int(x.root)*4:], x.root)
		}, false, "too long"},
		{"a root that ends too early", func(b []byte) {
			for at := root; at < root+int(x.cluster); at += 32 {
				b[at] = 5
			}
		}, false, "ends too early"},
		{"the end cut off", nil, false, "the partition"},
	} {
		b := with(good)
		if test.damage == nil {
			b = b[:60<<20]
		} else {
			test.damage(b)
		}
		if test.sum {
			sum := uint32(0)
			for i, c := range b[:11*512] {
				if i != 106 && i != 107 && i != 112 {
					sum = (sum<<31 | sum>>1) + uint32(c)
				}
			}
			for at := 11 * 512; at < 12*512; at += 4 {
				binary.LittleEndian.PutUint32(b[at:], sum)
			}
		}
		whole(t, test.name, Read(readerOf(b), uint64(len(b))), test.want)
	}
	_ = first
}

// TestSwap: the first page is used, and all of one that a machine is suspended to.
func TestSwap(t *testing.T) {
	needs(t, "mkswap")
	for _, page := range []int{4096, 16384, 65536} {
		path := emptyImage(t, 8<<20)
		run(t, "mkswap", "--pagesize", strconv.Itoa(page), path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if p := only(t, Read(readerOf(b), uint64(len(b)))); p.Kind != "swap" || p.Used != uint64(page) {
			t.Errorf("pages of %d: %+v", page, p)
		}
		larger := append(with(b), make([]byte, 1<<20)...)
		if p := only(t, Read(readerOf(larger), uint64(len(larger)))); p.Used != uint64(page)+1<<20 {
			t.Errorf("pages of %d: what is behind the swap space is unused: %+v", page, p)
		}
		for _, mark := range []string{"S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001", "SWAP-SPACE"} {
			suspended := with(b, change{page - 10, []byte(mark)})
			whole(t, mark, Read(readerOf(suspended), uint64(len(b))), "suspended")
		}
		whole(t, "another version", Read(readerOf(with(b, change{1024, []byte{2}})), uint64(len(b))), "contradicts itself")
		whole(t, "too large", Read(readerOf(with(b, change{1031, []byte{9}})), uint64(len(b))), "contradicts itself")
		whole(t, "cut off", Read(readerOf(b), uint64(len(b))-65536), "contradicts itself")
	}
}
