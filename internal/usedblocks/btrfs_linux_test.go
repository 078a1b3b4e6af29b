package usedblocks

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"multiserver/internal/partition"
)

// btrfsUsed is how many bytes chunks take, as the device's item counts.
func btrfsUsed(t testing.TB, path string) (used, block uint64) {
	_, after, _ := strings.Cut(run(t, "btrfs", "inspect-internal", "dump-super", path), "dev_item.bytes_used")
	if _, err := fmt.Sscan(after, &used); err != nil {
		t.Fatal(err)
	}
	return used + btrfsReserved, 4096
}

// btrfsPhysical are the extents of files by dump-tree, with logical addresses, and the chunks'
// places by the same program.
func btrfsPhysical(t testing.TB, path string, logical []extent) (physical []extent) {
	type chunk struct{ logical, length, at uint64 }
	var chunks []chunk
	for line := range strings.Lines(run(t, "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", path)) {
		var c chunk
		var device int
		line = strings.TrimSpace(line)
		if i := strings.Index(line, "FIRST_CHUNK_TREE CHUNK_ITEM "); i >= 0 {
			if _, err := fmt.Sscan(line[i+len("FIRST_CHUNK_TREE CHUNK_ITEM "):][:strings.Index(line[i+len("FIRST_CHUNK_TREE CHUNK_ITEM "):], ")")], &c.logical); err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, c)
		} else if n, _ := fmt.Sscanf(line, "length %d", &c.length); n == 1 && len(chunks) > 0 {
			chunks[len(chunks)-1].length = c.length
		} else if n, _ := fmt.Sscanf(line, "stripe 0 devid %d offset %d", &device, &c.at); n == 2 {
			chunks[len(chunks)-1].at = c.at
		}
	}
	for _, x := range logical {
		for _, c := range chunks {
			if x.physical >= c.logical && x.physical < c.logical+c.length {
				physical = append(physical, extent{x.path, x.physical - c.logical + c.at, x.length})
			}
		}
	}
	if len(physical) != len(logical) {
		t.Fatalf("%d of %d extents are in a chunk of %v", len(physical), len(logical), chunks)
	}
	return physical
}

// TestBtrfs: as TestExt. Chunks count in whole.
func TestBtrfs(t *testing.T) {
	needs(t, "mkfs.btrfs", "btrfs")
	for _, test := range []struct {
		name string
		args []string
	}{
		{"as it is", nil},
		{"single", []string{"-m", "single", "-n", "4096"}},
		{"sha256", []string{"--csum", "sha256"}},
		{"mixed", []string{"-M"}},
		{"DUP data", []string{"-d", "dup", "-n", "32k"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fileSystem{
				kind: "btrfs", mib: 768, frozen: "ro,norecovery", used: btrfsUsed, physical: btrfsPhysical,
				mkfs:  append([]string{"mkfs.btrfs", "-q", "-f", "-K"}, test.args...),
				check: []string{"btrfs", "check", "--readonly", "--check-data-csum"},
			}.test(t)
		})
	}
}

// TestBtrfsRefuses: each doubt about a btrfs is one that sends all of it.
func TestBtrfsRefuses(t *testing.T) {
	good := made(t, 128, "mkfs.btrfs", "-q", "-f", "-K", "-m", "single")
	only(t, Read(readerOf(good), uint64(len(good))))
	const s = btrfsSuperAt
	b := &btrfsFS{v: &volume{disk: readerOf(good), size: uint64(len(good))}}
	if err := b.readSuper(); err != nil {
		t.Fatal(err)
	}
	if err := b.readSystem(); err != nil {
		t.Fatal(err)
	}
	root, err := b.find(le64(b.super, 88))
	if err != nil {
		t.Fatal(err)
	}
	node := int(root)
	item := node + btrfsNodeHead // of a chunk
	for good[item+8] != btrfsChunkItem {
		item += btrfsItemSize
	}
	chunk := node + btrfsNodeHead + int(le32(good, item+btrfsKeySize))
	put64 := func(at int, v uint64) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[at:], v) }
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		sum    bool
		want   string
	}{
		{"a damaged superblock", func(b []byte) { b[s+300]++ }, false, "checksum"},
		{"a superblock of another place", put64(s+48, 64<<20), true, "checksum"},
		{"another kind to come", put64(s+172, 1), true, "compat 0x1"},
		{"small nodes", func(b []byte) { binary.LittleEndian.PutUint32(b[s+148:], 2048) }, false, "checksum"},
		{"nodes of 2 KiB", func(b []byte) { binary.LittleEndian.PutUint32(b[s+148:], 2048) }, true, "contradicts itself"},
		{"nodes of 12 KiB", func(b []byte) { binary.LittleEndian.PutUint32(b[s+148:], 12288) }, true, "contradicts itself"},
		{"a small device", put64(s+209, 65536), true, "contradicts itself"},
		{"short system chunks", func(b []byte) { binary.LittleEndian.PutUint32(b[s+160:], 30) }, true, "damaged"},
		{"a system chunk that is cut", func(b []byte) { binary.LittleEndian.PutUint32(b[s+160:], btrfsKeySize+btrfsChunkHead+8) }, true, "damaged"},
		{"a system chunk that is none", func(b []byte) { b[s+811+8] = 1 }, true, "damaged"},
		{"a system chunk without a place", func(b []byte) { b[s+811+btrfsKeySize+44] = 0 }, true, "damaged"},
		{"an item behind its node", func(b []byte) { binary.LittleEndian.PutUint32(b[item+btrfsKeySize:], 1<<20) }, true, "damaged"},
		{"a short chunk", func(b []byte) { binary.LittleEndian.PutUint32(b[item+btrfsKeySize+4:], 40) }, true, "damaged"},
		{"another tree's node", put64(node+88, 5), true, "damaged"},
		{"a node of another place", put64(node+48, 1<<20), true, "damaged"},
		{"two devices", put64(s+136, 2), true, "2 devices"},
		{"a seed", put64(s+56, 1<<32|1), true, "seed"},
		{"errors", put64(s+56, 4|1), true, "errors"},
		{"zones", put64(s+188, 0x1000), true, "incompat 0x1000"},
		{"another extent tree", put64(s+188, 0x2000), true, "incompat 0x2000"},
		{"RAID 5", put64(s+188, 0x80), true, "incompat 0x80"},
		{"a feature to come", put64(s+180, 1<<40), true, "compat_ro 0x10000000000"},
		{"xxhash", func(b []byte) { b[s+196] = 1 }, true, "not known"},
		{"huge nodes", put64(s+148, 1<<30), true, "contradicts itself"},
		{"a large device", put64(s+209, 1<<40), true, "the partition"},
		{"a root elsewhere", put64(s+88, 1<<50), true, "damaged"},
		{"a root at the end of its chunk", put64(s+88, b.system[0].logical+b.system[0].length-4096), true, "damaged"},
		{"another level", func(b []byte) { b[s+199] = 1 }, true, "damaged"},
		{"long system chunks", func(b []byte) { binary.LittleEndian.PutUint32(b[s+160:], 1<<20) }, true, "damaged"},
		{"a damaged node", func(b []byte) { b[item+3]++ }, false, "damaged"},
		{"a node of another file system", func(b []byte) { b[node+32]++ }, true, "damaged"},
		{"a chunk of RAID 1", put64(chunk+24, 0x10|1), true, "RAID"},
		{"a chunk outside", put64(chunk+btrfsChunkHead+8, 1<<40), true, "damaged"},
		{"a chunk of another device", put64(chunk+btrfsChunkHead, 7), true, "damaged"},
		{"many items", func(b []byte) { binary.LittleEndian.PutUint32(b[node+96:], 1<<30) }, true, "damaged"},
		{"no items", func(b []byte) { binary.LittleEndian.PutUint32(b[node+96:], 0) }, true, "damaged"},
		{"the end cut off", nil, false, "the partition"},
	} {
		b := with(good)
		if test.damage == nil {
			b = b[:100<<20]
		} else {
			test.damage(b)
		}
		if test.sum {
			sumBtrfs(b, node)
		}
		whole(t, test.name, Read(readerOf(b), uint64(len(b))), test.want)
	}
}

// sumBtrfs makes the checksums of the superblock and of one node right.
func sumBtrfs(b []byte, node int) {
	binary.LittleEndian.PutUint32(b[btrfsSuperAt:], crc32.Checksum(b[btrfsSuperAt+32:][:btrfsSuperSize-32], castagnoli))
	if size := int(le32(b, btrfsSuperAt+148)); size >= 4096 && size <= 65536 {
		binary.LittleEndian.PutUint32(b[node:], crc32.Checksum(b[node+32:][:size-32], castagnoli))
	}
}

// TestBtrfsMirrors: the copies of the superblock are used, where they are.
func TestBtrfsMirrors(t *testing.T) {
	needs(t, "mkfs.btrfs")
	path := emptyImage(t, 300<<30)
	defer os.Remove(path)
	run(t, "mkfs.btrfs", "-q", "-f", "-K", path)
	m := readMap(t, path)
	only(t, m)
	for _, at := range btrfsMirrors {
		if s, bad := overlaps(m.Unused, at, at+btrfsSuperSize); bad {
			t.Errorf("the copy at %d is unused: %v", at, s)
		}
	}
	if s, bad := overlaps(m.Unused, 0, btrfsReserved); bad {
		t.Errorf("the beginning is unused: %v", s)
	}
	if _, is := overlaps(m.Unused, 200<<30, 200<<30+pageSize); !is {
		t.Errorf("nothing is unused: %v", []partition.Span(m.Unused))
	}
}
