package target

import (
	"bytes"
	"strings"
	"testing"

	"multiserver/internal/partition"
	"multiserver/internal/target/loopdev"
)

// TestView: the latest bytes count, and what was dropped shows what is there.
func TestView(t *testing.T) {
	var v view
	v.add(partition.Write{Off: 10, Bytes: []byte("abcdefgh")}, partition.Write{Off: 16, Bytes: []byte("XY")})
	show := func(off, n int) string {
		p := bytes.Repeat([]byte("."), n)
		v.show(p, uint64(off))
		return string(p)
	}
	for _, c := range []struct {
		off, n int
		want   string
	}{{8, 12, "..abcdefXY.."}, {12, 3, "cde"}, {0, 10, ".........."}, {18, 2, ".."}} {
		if got := show(c.off, c.n); got != c.want {
			t.Errorf("%d bytes at %d: %q, want %q", c.n, c.off, got, c.want)
		}
	}
	v.drop(13, 2)
	if got := show(8, 12); got != "..abc..fXY.." {
		t.Errorf("after a drop in the middle: %q", got)
	}
	v.drop(16, 100)
	v.drop(0, 11)
	if got := show(8, 12); got != "...bc..f...." {
		t.Errorf("after drops at both ends: %q", got)
	}
	(*view)(nil).show(make([]byte, 1), 0)
}

// cutDisk writes restImage, whose partitions end at 3 MiB, to a device of size bytes, as if that held
// all partitions.
func cutDisk(t *testing.T, image []byte, size int) (r RestReport, disk []byte, err error) {
	t.Helper()
	device := loopdev.New(t, bytes.Repeat([]byte{0xEE}, size), 0)
	f := mustOpen(t, Options{Path: device, TruncateUnused: true})
	f.SetLeastDisk(uint64(size))
	if err := f.Prepare(uint64(len(image)), 512); err != nil {
		t.Fatal(err)
	}
	if got := f.CutBytes(); got != uint64(len(image)-size) {
		t.Errorf("%d bytes are cut", got)
	}
	const step = 1 << 20
	for off := 0; off < len(image); off += step {
		if err := f.WriteAt(image[off:off+step], uint64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	back, err := f.ReadBack()
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	// The run that the end cuts reads back as a whole.
	for off := 0; off < size; off += step {
		p := back.Buffer(step)
		if err := back.ReadAt(p, uint64(off)); err != nil || !bytes.Equal(p, image[off:off+step]) {
			t.Errorf("%d bytes at %d do not read back as they were written: %v", step, off, err)
		}
	}
	r, err = f.FinishRest()
	return r, readDevice(t, device), err
}

func TestCut(t *testing.T) {
	image := restImage(t)
	const size = 3<<20 + 300<<10
	r, disk, err := cutDisk(t, image, size)
	if err != nil || r.CutBytes != restImageBytes-size || r.AlteredBytes != 128*128+512+512+512 {
		t.Fatalf("%v, %+v", err, r)
	}
	if !bytes.Equal(disk[1024:3<<20], image[1024:3<<20]) || !partition.BackupInPlace(bytes.NewReader(disk), size, 512) {
		t.Error("not the image with its backup GPT at the end of the device")
	}
}

// TestCutPartition: what a server says of its image is a claim. A partition that was cut after all is
// an error, and so is a table that is none.
func TestCutPartition(t *testing.T) {
	image := restImage(t)
	if _, _, err := cutDisk(t, image, 3<<20); err == nil || !strings.Contains(err.Error(), "partition 2 reaches to sector 6143") {
		t.Errorf("a partition under the backup: %v", err)
	}
	_, _, err := cutDisk(t, random(1, restImageBytes), 3<<20)
	checkIO(t, err, "fit the partition table to", "a partition is cut, or the table is not whole")
	mbr := make([]byte, restImageBytes)
	copy(mbr[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 1, 16, 0, 0}) // 2048 to 6144
	mbr[510], mbr[511] = 0x55, 0xAA
	if _, _, err := cutDisk(t, mbr, 3<<20+512); err != nil {
		t.Errorf("an MBR: %v", err)
	}
	_, _, err = cutDisk(t, mbr, 3<<20)
	checkIO(t, err, "a partition is cut")
}
