package partition

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gptOf is gptDisk for sectors of 4096 bytes too: the same table, with the same sector numbers.
func gptOf(t testing.TB, sector, sectors int) []byte {
	small := gptDisk(t, gptImageBytes)
	if sector == 512 {
		return append(small, make([]byte, (sectors-gptImageBytes/512)*512)...)
	}
	g, err := readGPT(bytes.NewReader(small), 1, gptImageBytes, 512)
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, sector*sectors)
	copy(disk, small[:512])
	copy(disk[sector:], g.header)
	copy(disk[2*sector:], g.entries)
	return disk
}

// mbr makes a boot record of entries: kind, first sector, count.
func mbr(entries ...[3]uint32) []byte {
	r := make([]byte, 512)
	r[510], r[511] = 0x55, 0xAA
	for i, e := range entries {
		at := r[mbrEntriesAt+i*mbrEntrySize:]
		at[4] = byte(e[0])
		binary.LittleEndian.PutUint32(at[mbrFirstAt:], e[1])
		binary.LittleEndian.PutUint32(at[mbrCountAt:], e[2])
	}
	return r
}

// TestLeastDisk: all partitions fit, and the backup of a GPT, and one sector less would not do.
func TestLeastDisk(t *testing.T) {
	const sectors = 8192
	with := func(records map[int][]byte) []byte {
		disk := make([]byte, sectors*512)
		for at, r := range records {
			copy(disk[at*512:], r)
		}
		return disk
	}
	edited := func(edit func(disk []byte)) []byte {
		disk := gptOf(t, 512, sectors)
		edit(disk)
		return disk
	}
	for name, c := range map[string]struct {
		disk   []byte
		sector uint32
		want   uint64 // in sectors
	}{
		"a GPT":                       {gptOf(t, 512, sectors), 512, 6144 + 32 + 1},
		"a GPT for 4096":              {gptOf(t, 4096, sectors), 4096, 6144 + 4 + 1},
		"a GPT that just fits":        {gptOf(t, 512, sectors)[:(6144+33)*512], 512, 6144 + 33},
		"a GPT that is cut":           {gptOf(t, 512, sectors)[:(6144+32)*512], 512, 0},
		"a GPT for other sectors":     {gptOf(t, 512, sectors), 4096, 0},
		"an entry that is not whole":  {edited(func(d []byte) { d[1024+40] ^= 1 }), 512, 0},
		"a GPT without an MBR":        {edited(func(d []byte) { d[510] = 0 }), 512, 0},
		"a hybrid table":              {edited(func(d []byte) { copy(d, mbr([3]uint32{protective, 1, 2047}, [3]uint32{0x83, 2048, 5000})) }), 512, 7048 + 33},
		"no table":                    {make([]byte, sectors*512), 512, 0},
		"sectors unknown":             {gptOf(t, 512, sectors), 0, 0},
		"two partitions":              {with(map[int][]byte{0: mbr([3]uint32{0x83, 5000, 100}, [3]uint32{0x82, 2048, 10})}), 512, 5100},
		"a partition behind the end":  {with(map[int][]byte{0: mbr([3]uint32{0x83, 5000, sectors})}), 512, 0},
		"an extended partition":       {with(map[int][]byte{0: mbr([3]uint32{0x83, 64, 10}, [3]uint32{0x0F, 2048, 4000}), 2048: mbr([3]uint32{0x83, 63, 100})}), 512, 6048},
		"an empty extended partition": {with(map[int][]byte{0: mbr([3]uint32{0x83, 64, 10}, [3]uint32{0x05, 2048, 4000}), 2048: mbr()}), 512, 6048},
		"logical ones beyond it": {with(map[int][]byte{0: mbr([3]uint32{0x05, 2048, 100}), 2048: mbr([3]uint32{0x83, 63, 100}, [3]uint32{0x05, 3000, 500}),
			5048: mbr([3]uint32{0x83, 63, 2000})}), 512, 7111},
		"a link beyond it":       {with(map[int][]byte{0: mbr([3]uint32{0x85, 2048, 100}), 2048: mbr([3]uint32{0x83, 63, 20}, [3]uint32{0x05, 3000, 500}), 5048: mbr()}), 512, 5548},
		"a record that is none":  {with(map[int][]byte{0: mbr([3]uint32{0x05, 2048, 4000})}), 512, 0},
		"a broken link":          {with(map[int][]byte{0: mbr([3]uint32{0x05, 2048, 4000}), 2048: mbr([3]uint32{0x83, 63, 9}, [3]uint32{0x05, 99, 9})}), 512, 0},
		"a link behind the end":  {with(map[int][]byte{0: mbr([3]uint32{0x05, 2048, 4000}), 2048: mbr([3]uint32{0x05, sectors, 9})}), 512, 0},
		"a chain without an end": {with(map[int][]byte{0: mbr([3]uint32{0x05, 2048, 4000}), 2048: mbr([3]uint32{0x05, 10, 9}), 2058: mbr([3]uint32{0x05, 10, 9})}), 512, 0},
	} {
		size := uint64(len(c.disk))
		if got := LeastDisk(bytes.NewReader(c.disk), size, c.sector); got != c.want*uint64(c.sector) {
			t.Errorf("%s: %d sectors of %d, want %d", name, got/uint64(max(c.sector, 1)), c.sector, c.want)
		}
	}
}

// TestLeastDiskOfTools: what sfdisk writes ends where it says.
func TestLeastDiskOfTools(t *testing.T) {
	sfdisk, err := exec.LookPath("sfdisk")
	if err != nil {
		t.Skip("sfdisk is not installed: it would write tables")
	}
	for script, want := range map[string]uint64{
		"label: dos\nstart=2048, size=2048, type=83\nstart=4096, size=20480, type=5\nstart=6144, size=4096, type=83\nstart=12288, size=8192, type=82\n": 24576,
		"label: dos\nstart=2048, size=30000, type=83\n":                                                  32048,
		"label: gpt\nstart=2048, size=2048\nstart=4096, size=20480\n":                                    24576 + 33,
		"label: gpt\ntable-length: 256\nfirst-lba: 2048\nstart=20480, size=2048\nstart=2048, size=512\n": 22528 + 65,
	} {
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, make([]byte, 32<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(sfdisk, "-q", path)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		disk, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := LeastDisk(bytes.NewReader(disk), 32<<20, SectorSize(disk[:HeadSize])); got != want*512 {
			t.Errorf("%q: %d sectors, want %d", script, got/512, want)
		}
	}
}

// TestCutDisk: an image that was cut to the least disk is one to sgdisk, once its backup was
// moved.
func TestCutDisk(t *testing.T) {
	disk := gptOf(t, 512, 8192)
	least := LeastDisk(bytes.NewReader(disk), uint64(len(disk)), 512)
	for _, size := range []uint64{least, least + 512, gptImageBytes - 512} {
		cut := bytes.Clone(disk[:size])
		m, err := MoveBackup(bytes.NewReader(cut), size, 512)
		if err != nil || len(m.Backup) != 2 || len(m.Primary) != 2 {
			t.Fatalf("%d bytes: %v, %+v", size, err, m)
		}
		apply(cut, m)
		checkBySgdisk(t, cut)
	}
}

// TestUnfit: from a fitted disk, larger or smaller, the image comes back.
func TestUnfit(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		// The image as sgdisk would write it: with its backup.
		const sectors = 8192
		image := gptOf(t, sector, sectors)
		size := uint64(len(image))
		m, err := MoveBackup(bytes.NewReader(image), size, uint32(sector))
		if err != nil {
			t.Fatal(err)
		}
		apply(image, m)
		if _, _, ok := Unfit(bytes.NewReader(image), size, size, uint32(sector)); ok {
			t.Error("a disk of the image's size was fitted")
		}
		for _, more := range []int{-1000, -40, -1, 1, 5000} {
			fitted := make([]byte, len(image)+more*sector)
			copy(fitted, image)
			n := uint64(len(fitted))
			if _, _, ok := Unfit(bytes.NewReader(fitted), n, size, uint32(sector)); ok {
				t.Errorf("%+d sectors: it was not fitted yet", more)
			}
			m, err := MoveBackup(bytes.NewReader(fitted), n, uint32(sector))
			if err != nil {
				t.Fatal(err)
			}
			apply(fitted, m)
			writes, again, ok := Unfit(bytes.NewReader(fitted), n, size, uint32(sector))
			if !ok {
				t.Fatalf("%+d sectors of %d: it was fitted", more, sector)
			}
			if again.Bytes() != m.Bytes() || m.Bytes() != uint64(128*128+2*sector+512) {
				t.Errorf("%+d sectors of %d: %d bytes were moved, and %d again", more, sector, m.Bytes(), again.Bytes())
			}
			back := append(bytes.Clone(fitted), make([]byte, max(0, -more*sector))...)[:size]
			for _, w := range writes {
				w.CopyTo(back, 0)
			}
			if !bytes.Equal(back, image) {
				t.Errorf("%+d sectors of %d: not the image", more, sector)
			}
			// What is not quite a fitted disk is none.
			for what, at := range map[string]int{"backup": len(fitted) - sector, "entry": len(fitted) - 2*sector, "primary": sector + 16, "record": mbrEntriesAt + mbrCountAt} {
				other := bytes.Clone(fitted)
				other[at] ^= 1
				if _, _, ok := Unfit(bytes.NewReader(other), n, size, uint32(sector)); ok {
					t.Errorf("%+d sectors of %d: with another %s it counts as fitted", more, sector, what)
				}
			}
		}
	}
}

// TestMoveBackupMends what is missing although the table tells of it: a backup that is not there,
// and a protective MBR of an earlier size.
func TestMoveBackupMends(t *testing.T) {
	disk := gptDisk(t, 8<<20)
	m, err := MoveBackup(bytes.NewReader(disk), 8<<20, 512)
	if err != nil {
		t.Fatal(err)
	}
	apply(disk, m)
	without := bytes.Clone(disk)
	clear(without[4<<20:])
	if m, err = MoveBackup(bytes.NewReader(without), 8<<20, 512); err != nil || len(m.Backup) != 2 {
		t.Fatalf("no backup: %v, %+v", err, m)
	}
	apply(without, m)
	if !bytes.Equal(without, disk) {
		t.Error("no backup: not the same disk")
	}
	older := bytes.Clone(disk)
	binary.LittleEndian.PutUint32(older[mbrEntriesAt+mbrCountAt:], 8191)
	if m, err = MoveBackup(bytes.NewReader(older), 8<<20, 512); err != nil || len(m.Backup) != 0 || len(m.Primary) != 1 {
		t.Fatalf("an older record: %v, %+v", err, m)
	}
	apply(older, m)
	if !bytes.Equal(older, disk) {
		t.Error("an older record: not the same disk")
	}
	binary.LittleEndian.PutUint32(older[mbrEntriesAt+mbrCountAt:], mbrTotal)
	if m, err = MoveBackup(bytes.NewReader(older), 8<<20, 512); err != nil || len(m.Primary) != 0 {
		t.Errorf("a record that covers all there can be: %v, %+v", err, m)
	}
}

// FuzzLeastDisk: whatever an image holds, no disk needs more than the image has.
func FuzzLeastDisk(f *testing.F) {
	f.Add(gptDisk(f, gptImageBytes)[:64<<10])
	f.Add(append(mbr([3]uint32{0x05, 1, 9}), mbr([3]uint32{0x83, 1, 2})...))
	f.Fuzz(func(t *testing.T, image []byte) {
		size := uint64(len(image))
		for _, sector := range []uint32{512, 4096} {
			if least := LeastDisk(bytes.NewReader(image), size, sector); least > size {
				t.Errorf("%d of %d bytes", least, size)
			}
			for _, other := range []uint64{size / 2, size + 8192} {
				Unfit(bytes.NewReader(image), size, other, sector)
			}
		}
	})
}
