package usedblocks

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
)

// ntfsUsed is how many bytes are used, as ntfsinfo counts.
func ntfsUsed(t testing.TB, path string) (used, block uint64) {
	text := run(t, "ntfsinfo", "-m", path)
	number := func(name string) uint64 {
		_, after, _ := strings.Cut(text, name)
		var n uint64
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatalf("no %s in %s", name, text)
		}
		return n
	}
	block = number("Cluster Size:")
	return (number("Volume Size in Clusters:") - number("Free Clusters:")) * block, block
}

var openNTFS = byFUSE(`ntfs-3g "$1" "$2"`)

// TestNTFS: as TestExt, by FUSE.
func TestNTFS(t *testing.T) {
	needs(t, "mkntfs", "ntfs-3g", "ntfsinfo", "ntfsfix", "partclone.ntfs")
	for _, test := range []struct {
		name string
		args []string
	}{
		{"as it is", nil},
		{"clusters of 512 bytes", []string{"-c", "512"}},
		{"clusters of 64 KiB", []string{"-c", "65536"}},
		{"sectors of 4 KiB", []string{"-s", "4096"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := fileSystem{
				kind: "ntfs", mib: 192, write: openNTFS, read: openNTFS, used: ntfsUsed,
				mkfs: append([]string{"mkntfs", "-Q", "-F", "-q"}, test.args...), check: []string{"ntfsfix", "-n"},
			}
			if test.args == nil {
				f.partclone = "partclone.ntfs"
			}
			if test.name == "clusters of 512 bytes" {
				f.most = func(used uint64) uint64 { return used + used/50 + 2*pageSize*tinyFiles }
			}
			f.test(t)
		})
	}
}

// TestNTFSRefuses: each doubt about an NTFS is one that sends all of it.
func TestNTFSRefuses(t *testing.T) {
	needs(t, "mkntfs", "ntfscp")
	path := emptyImage(t, 64<<20)
	run(t, "mkntfs", "-Q", "-F", "-q", path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	only(t, Read(readerOf(good), uint64(len(good))))
	n := &ntfsFS{v: &volume{disk: readerOf(good), size: uint64(len(good))}}
	if err := n.readBoot(); err != nil {
		t.Fatal(err)
	}
	record := func(number uint64) int {
		at, _ := n.offset(n.mft, number*n.record, n.record)
		return int(at)
	}
	attr := func(b []byte, number uint64, kind uint32) int {
		at := record(number)
		for at += int(le16(b, at+20)); le32(b, at) != kind; at += int(le32(b, at+4)) {
		}
		return at
	}
	info := attr(good, ntfsVolume, ntfsVolumeInfo) + 24
	bitmap := attr(good, ntfsBitmap, ntfsData)
	log := attr(good, ntfsLogFile, ntfsData)
	runs, err := n.parseRuns(good[log+int(le16(good, log+32)):])
	if err != nil {
		t.Fatal(err)
	}
	logAt := int(runs[0].lcn * n.cluster)
	restart := func(inUse, flags uint16) []byte {
		b := make([]byte, 4096)
		copy(b, "RSTR")
		for at, v := range map[int]uint16{4: 30, 6: 9, 24: 64, 26: 1, 28: 1, 64 + 12: inUse, 64 + 14: flags} {
			binary.LittleEndian.PutUint16(b[at:], v)
		}
		binary.LittleEndian.PutUint32(b[16:], 4096)
		return b // every sector's number, and what it stands for, is 0
	}
	const ntfsStandard, ntfsSecurity = 0x10, 0x50
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"dirty", func(b []byte) { b[info+10] |= 1 }, "was not unmounted"},
		{"under chkdsk", func(b []byte) { b[info+11] |= 0x40 }, "was not unmounted"},
		{"no information on the volume", func(b []byte) { b[info-24] = 0x60 }, "damaged"},
		{"short information on the volume", func(b []byte) { b[info-24+16] = 10 }, "damaged"},
		{"a version to come", func(b []byte) { b[info+8] = 4 }, "version"},
		{"a minor version to come", func(b []byte) { b[info+9] = 2 }, "version"},
		{"no log", func(b []byte) { b[log] = 0x90 }, "damaged"},
		{"a log without runs", func(b []byte) { b[log+int(le16(b, log+32))] = 0 }, "damaged"},
		{"a log of one page", func(b []byte) { at := log + int(le16(b, log+32)); b[at+1], b[at+2] = 1, 0 }, "was not unmounted"},
		{"a client of the log", func(b []byte) { copy(b[logAt:], restart(0, 0)) }, "replayed"},
		{"the newer page counts", func(b []byte) {
			copy(b[logAt:], restart(ntfsNoClient, 0))
			copy(b[logAt+4096:], restart(0, 0))
			b[logAt+4096+64] = 9
		}, "replayed"},
		{"a log of another version", func(b []byte) { copy(b[logAt:], restart(ntfsNoClient, 0)); b[logAt+28] = 3 }, "was not unmounted"},
		{"a log of small pages", func(b []byte) {
			copy(b[logAt:], restart(ntfsNoClient, 0))
			binary.LittleEndian.PutUint32(b[logAt+16:], 512)
		}, "was not unmounted"},
		{"a torn page of the log", func(b []byte) {
			copy(b[logAt:], restart(ntfsNoClient, 0))
			b[logAt+1022] = 1
		}, "was not unmounted"},
		{"a log whose page leads elsewhere", func(b []byte) {
			copy(b[logAt:], restart(ntfsNoClient, 0))
			binary.LittleEndian.PutUint16(b[logAt+24:], 4090)
		}, "was not unmounted"},
		{"a root folder in several records", func(b []byte) { b[attr(b, ntfsRoot, ntfsSecurity)] = ntfsAttributeList }, "several records"},
		{"no root folder", func(b []byte) { b[attr(b, ntfsRoot, ntfsIndexRoot)] = 0x91 }, "damaged"},
		{"a bitmap in several records", func(b []byte) { b[attr(b, ntfsBitmap, ntfsStandard)] = ntfsAttributeList }, "several records"},
		{"a log of something", func(b []byte) { b[logAt] = 0 }, "was not unmounted"},
		{"BitLocker", func(b []byte) { copy(b[3:], "-FVE-FS-") }, "no file system"},
		{"clusters of 0 bytes", func(b []byte) { b[13] = 0 }, "contradicts itself"},
		{"huge records", func(b []byte) { b[64] = 0x80 }, "contradicts itself"},
		{"an MFT elsewhere", func(b []byte) { b[54] = 1 }, "contradicts itself"},
		{"a huge volume", func(b []byte) { b[46] = 1 }, "the partition"},
		{"a torn record", func(b []byte) { b[record(ntfsBitmap)+510]++ }, "damaged"},
		{"no record", func(b []byte) { b[record(ntfsBitmap)] = 0 }, "damaged"},
		{"a run outside", func(b []byte) {
			at := bitmap + int(le16(b, bitmap+32))
			b[at], b[at+2], b[at+3], b[at+4] = 0x31, 0xFF, 0xFF, 0x7F
		}, "damaged"},
		{"a hole in the bitmap", func(b []byte) { at := bitmap + int(le16(b, bitmap+32)); b[at] &= 0xF }, "damaged"},
		{"a short bitmap", func(b []byte) { binary.LittleEndian.PutUint64(b[bitmap+48:], 9) }, "not as long"},
		{"a compressed bitmap", func(b []byte) { b[bitmap+12] = 1 }, "not as long"},
		{"an attribute that goes on", func(b []byte) { b[bitmap+7] = 1 }, "damaged"},
		{"the end cut off", nil, "the partition"},
	} {
		b := with(good)
		if test.damage == nil {
			b = b[:60<<20]
		} else {
			test.damage(b)
		}
		whole(t, test.name, Read(readerOf(b), uint64(len(b))), test.want)
	}
	for name, page := range map[string][]byte{"no client": restart(ntfsNoClient, 0), "a clean volume": restart(0, ntfsLogClean)} {
		b := with(good, change{logAt, page})
		if only(t, Read(readerOf(b), uint64(len(b)))); t.Failed() {
			t.Error(name)
		}
	}
}

// TestNTFSIndex: entries of a folder that lead nowhere, or round, are an error.
func TestNTFSIndex(t *testing.T) {
	index := func(length, flags uint16) []byte {
		b := make([]byte, 16+2*96)
		binary.LittleEndian.PutUint32(b, 16)
		binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
		binary.LittleEndian.PutUint16(b[16+8:], length)
		binary.LittleEndian.PutUint16(b[16+12:], flags)
		binary.LittleEndian.PutUint16(b[16+96+8:], 16)
		binary.LittleEndian.PutUint16(b[16+96+12:], 2)
		return b
	}
	n := &ntfsFS{v: &volume{}}
	for _, good := range [][]byte{index(96, 0), index(16, 2)} {
		if err := n.scanIndex(good); err != nil {
			t.Error(err)
		}
	}
	long := index(96, 0)
	long[16+16+64] = 200 // characters, of a name that has room for less
	outside, end := index(16, 2), index(96, 0)
	binary.LittleEndian.PutUint32(outside, 1<<31)
	binary.LittleEndian.PutUint32(end[4:], 16+96)
	if err := n.scanIndex(long); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]byte{"no length": index(0, 0), "a short one": index(8, 0), "a long one": index(0xFFF0, 0), "outside": outside, "no last one": end} {
		if err := n.scanIndex(bad); err != errNTFSDamaged {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNTFSHibernated: a volume that Windows is hibernated on is sent whole, also if its root
// folder is large.
func TestNTFSHibernated(t *testing.T) {
	needs(t, "mkntfs", "ntfs-3g", "ntfscp")
	for _, files := range []int{0, 600} {
		path := emptyImage(t, 64<<20)
		run(t, "mkntfs", "-Q", "-F", "-q", path)
		openNTFS(t, path, func(dir string) {
			for i := range files {
				if err := os.WriteFile(fmt.Sprint(dir, "/a file with a long name ", i), nil, 0o600); err != nil {
					t.Error(err)
				}
			}
		})
		if t.Failed() {
			return
		}
		for _, test := range []struct {
			content   string
			hibernate bool
		}{{"hibr", true}, {"HIBR", true}, {"wake", true}, {"\x00\x00\x00\x00", false}} {
			from := path + ".hiberfil"
			if err := os.WriteFile(from, append([]byte(test.content), make([]byte, 9000)...), 0o600); err != nil {
				t.Fatal(err)
			}
			os.Remove(path + ".copy")
			run(t, "cp", path, path+".copy")
			run(t, "ntfscp", "-f", path+".copy", from, "/HiberFil.sys")
			if m := readMap(t, path+".copy"); test.hibernate {
				whole(t, test.content, m, "hibernated")
			} else {
				only(t, m)
			}
		}
	}
}
