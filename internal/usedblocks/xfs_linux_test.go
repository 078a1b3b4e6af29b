package usedblocks

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"
)

// xfsUsed is how many bytes are used, as the superblock counts.
func xfsUsed(t testing.TB, path string) (used, block uint64) {
	text := run(t, "xfs_db", "-r", "-c", "sb 0", "-c", "p fdblocks dblocks blocksize", path)
	var free, all uint64
	if n, err := fmt.Sscanf(text, "fdblocks = %d\ndblocks = %d\nblocksize = %d", &free, &all, &block); n != 3 {
		t.Fatalf("%v: %s", err, text)
	}
	return (all - free) * block, block
}

// TestXFS: as TestExt.
func TestXFS(t *testing.T) {
	needs(t, "mkfs.xfs", "xfs_db", "xfs_repair", "partclone.xfs")
	for _, test := range []struct {
		name string
		args []string
	}{
		{"as it is", nil},
		{"blocks of 1 KiB", []string{"-b", "size=1024"}},
		{"sectors of 4 KiB", []string{"-s", "size=4096"}},
		{"reverse map, wide log units", []string{"-m", "rmapbt=1", "-l", "su=262144"}},
		{"without the newer trees", []string{"-m", "reflink=0,finobt=0"}},
		{"another UUID", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := fileSystem{
				kind: "xfs", mib: 320, frozen: "ro,norecovery,nouuid", used: xfsUsed,
				mkfs:  append([]string{"mkfs.xfs", "-q", "-f", "-K"}, test.args...),
				check: []string{"xfs_repair", "-n", "-f"},
			}
			if test.args == nil {
				f.partclone = "partclone.xfs"
			}
			if strings.HasPrefix(test.name, "another") {
				f.mkfs = []string{"sh", "-c", `mkfs.xfs -q -f -K "$0" && xfs_admin -U generate "$0"`}
			}
			f.test(t)
		})
	}
}

// TestXFSRefuses: each doubt about an XFS is one that sends all of it.
func TestXFSRefuses(t *testing.T) {
	needs(t, "mkfs.xfs", "xfs_db")
	path := emptyImage(t, 320<<20)
	run(t, "mkfs.xfs", "-q", "-f", "-K", path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only(t, Read(readerOf(good), uint64(len(good))))
	v := &volume{disk: readerOf(good), size: uint64(len(good))}
	x := &xfsFS{v: v}
	s, err := x.readSuper()
	if err != nil {
		t.Fatal(err)
	}
	logAt := int((be64(s, 48)>>s[124]*x.groupBlocks + be64(s, 48)&(1<<s[124]-1)) * x.blockSize)
	root := int(be32(good[512:], 16)) * int(x.blockSize)
	resum := func(b []byte, at, size, sum int) {
		binary.LittleEndian.PutUint32(b[at+sum:], 0)
		binary.LittleEndian.PutUint32(b[at+sum:], crc32.Checksum(b[at:at+size], castagnoli))
	}
	// damaged is the image until restored is called.
	restored := func() {}
	damaged := func(damage func(b []byte)) []byte {
		saved := map[int][]byte{0: with(good[:8192]), root: with(good[root:][:x.blockSize]), logAt: with(good[logAt:][:8192])}
		restored = func() {
			for at, b := range saved {
				copy(good[at:], b)
			}
		}
		damage(good)
		return good
	}
	// agf sets a byte of the first AGF, and node makes a node of its root.
	agf := func(at int, v byte) func([]byte) {
		return func(b []byte) { b[512+at] = v; resum(b, 512, 512, 216) }
	}
	node := func(records uint16, left uint32) func([]byte) {
		return func(b []byte) {
			agf(31, 2)(b)
			binary.BigEndian.PutUint16(b[root+4:], 1)
			binary.BigEndian.PutUint16(b[root+6:], records)
			binary.BigEndian.PutUint32(b[root+8:], left)
			resum(b, root, int(x.blockSize), 52)
		}
	}
	put := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) }
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"version 4", func(b []byte) { b[101] = b[101]&0xF0 | 4 }, "no checksums"},
		{"interrupted", func(b []byte) { b[126] = 1 }, "interrupted"},
		{"needs repair", put(216, xfsRepair), "xfs_repair"},
		{"a feature to come", put(216, 1<<30), "incompat 0x40000000"},
		{"real-time groups", put(216, 0x100), "incompat 0x100"},
		{"a feature to come, only to write", put(212, 1<<30), "ro_compat 0x40000000"},
		{"a feature of the log", put(220, 1), "was not unmounted"},
		{"real time", put(20, 1), "real-time"},
		{"a log elsewhere", func(b []byte) { clear(b[48:56]) }, "another device"},
		{"64 TiB", put(8, 4), "contradicts itself"},
		{"no groups", put(88, 0), "contradicts itself"},
		{"huge blocks", put(4, 1<<30), "contradicts itself"},
		{"a log outside", put(52, 1<<31), "nowhere"},
		{"no log", put(96, 0), "nowhere"},
		{"a log behind its group", func(b []byte) { binary.BigEndian.PutUint64(b[48:], x.groupBlocks+100) }, "nowhere"},
		{"another kind to come", put(208, 1), "compat 0x1"},
	} {
		b := damaged(test.damage)
		resum(b, 0, int(x.sector), 224)
		whole(t, test.name, Read(readerOf(b), uint64(len(b))), test.want)
		restored()
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"a superblock that is damaged", func(b []byte) { b[200]++ }, "checksum of its superblock"},
		{"an AGF that is damaged", func(b []byte) { b[512+52]++ }, "checksum of its AGF"},
		{"an AGF of another group", func(b []byte) { b[512+11]++; resum(b, 512, 512, 216) }, "another group"},
		{"no AGF", agf(0, 'Y'), "checksum of its AGF"},
		{"an AGF of another version", agf(7, 2), "checksum of its AGF"},
		{"an AGF of another size", agf(15, 1), "another group"},
		{"an AGF of another file system", agf(64, good[512+64]+1), "another group"},
		{"a tree without levels", agf(31, 0), "another group"},
		{"a tree of many levels", agf(28, 1), "another group"},
		{"a node without records", node(0, xfsNullBlock), "damaged"},
		{"a node with too many records", node(0xFFFF, xfsNullBlock), "damaged"},
		{"a root with a left neighbour", node(1, 1), "damaged"},
		{"a leaf with too many records", func(b []byte) {
			binary.BigEndian.PutUint16(b[root+6:], 0xFFFF)
			resum(b, root, int(x.blockSize), 52)
		}, "damaged"},
		{"extents that overlap", func(b []byte) {
			binary.BigEndian.PutUint16(b[root+6:], 2)
			copy(b[root+xfsShortHead+8:], b[root+xfsShortHead:][:8])
			resum(b, root, int(x.blockSize), 52)
		}, "contradict"},
		{"an extent of nothing", func(b []byte) {
			binary.BigEndian.PutUint32(b[root+xfsShortHead+4:], 0)
			resum(b, root, int(x.blockSize), 52)
		}, "contradict"},
		{"an extent that reaches into the next group", func(b []byte) {
			binary.BigEndian.PutUint32(b[root+xfsShortHead+4:], uint32(x.groupBlocks)-be32(b, root+xfsShortHead)+10)
			resum(b, root, int(x.blockSize), 52)
		}, "contradict"},
		{"a count that is wrong", func(b []byte) { b[512+55]++; resum(b, 512, 512, 216) }, "free blocks"},
		{"a root outside", func(b []byte) { b[512+16]++; resum(b, 512, 512, 216) }, "leaves the group"},
		{"a leaf that is damaged", func(b []byte) { b[root+60]++ }, "damaged"},
		{"a leaf that is its own right neighbour", func(b []byte) { copy(b[root+12:], b[512+16:512+20]); resum(b, root, int(x.blockSize), 52) }, "damaged"},
		{"an extent behind the group", func(b []byte) { b[root+xfsShortHead+4]++; resum(b, root, int(x.blockSize), 52) }, "contradict"},
		{"another tree's leaf", func(b []byte) { b[root+51]++; resum(b, root, int(x.blockSize), 52) }, "damaged"},
		{"a log without an unmount", func(b []byte) { b[logAt+512+9] = 0 }, "replayed"},
		{"a log with more behind it", func(b []byte) { binary.BigEndian.PutUint32(b[logAt+1024:], 1) }, "replayed"},
		{"a record of two operations", func(b []byte) { b[logAt+43] = 2 }, "replayed"},
		{"a record that ends elsewhere", func(b []byte) { b[logAt+13] = 9 }, "replayed"},
		{"a record that is all headers", func(b []byte) {
			for at, v := range map[int]uint32{8: 2, 12: 0, 320: 2 * xfsHeaderData} {
				binary.BigEndian.PutUint32(b[logAt+at:], v)
			}
		}, "replayed"},
		{"a log of zeros", func(b []byte) { clear(b[logAt : logAt+4096]) }, "replayed"},
		{"the end cut off", nil, "the partition"},
	} {
		b := good[:300<<20]
		if test.damage != nil {
			b = damaged(test.damage)
		}
		whole(t, test.name, Read(readerOf(b), uint64(len(b))), test.want)
		restored()
	}
}

// TestXFSLogCycles: the end of a log has the cycle before that of its beginning, or the same.
func TestXFSLogCycles(t *testing.T) {
	good := made(t, 300, "mkfs.xfs", "-q", "-f", "-K")
	x := &xfsFS{v: &volume{disk: readerOf(good), size: uint64(len(good))}}
	s, err := x.readSuper()
	if err != nil {
		t.Fatal(err)
	}
	at := int((be64(s, 48)>>s[124]*x.groupBlocks + be64(s, 48)&(1<<s[124]-1)) * x.blockSize)
	end := at + int(uint64(be32(s, 96))*x.blockSize) - xfsLogSector
	first := be32(good, at+4)
	if err := x.checkLog(s); err != nil {
		t.Fatal(err)
	}
	for _, cycle := range []uint32{first + 1, first + 7} {
		binary.BigEndian.PutUint32(good[end:], cycle)
		if err := x.checkLog(s); err != errXFSLog {
			t.Errorf("cycle %d at the beginning and %d at the end: %v", first, cycle, err)
		}
	}
}

// TestXFSMounted: a copy that is made while the file system is mounted is sent whole, also a
// copy of one that was synced, with a log that went round.
func TestXFSMounted(t *testing.T) {
	needs(t, "mkfs.xfs")
	path := emptyImage(t, 320<<20)
	run(t, "mkfs.xfs", "-q", "-f", "-K", path)
	copied := path + ".copy"
	for round := range 3 {
		mounted(t, path, "rw", func(dir string) {
			for i := range 1500 {
				if err := os.WriteFile(fmt.Sprint(dir, "/", i), make([]byte, 100*round), 0o600); err != nil {
					t.Error(err)
				}
			}
			run(t, "sh", "-c", fmt.Sprintf("sync -f %s && cp --sparse=always %s %s", dir, path, copied))
		})
		whole(t, "mounted", readMap(t, copied), "replayed")
		only(t, readMap(t, path))
	}
}
