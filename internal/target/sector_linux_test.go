package target

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"testing"

	"multiserver/internal/target/loopdev"
)

// gptImage is an image of a MiB whose partition table is for sectors of that many bytes.
func gptImage(sector int) []byte {
	image := random(1, diskBytes)
	clear(image[:32<<10])
	h := image[sector:]
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint32(h[12:], 92)
	binary.LittleEndian.PutUint64(h[24:], 1)
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return image
}

// sectorDevice is a loopDevice with logical sectors of that many bytes.
func sectorDevice(t *testing.T, sector int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	writeFile(t, path, bytes.Repeat([]byte{0xFF}, diskBytes))
	return loopdev.Attach(t, path, 0, uint32(sector))
}

func TestSectorsDiffer(t *testing.T) {
	for _, sectors := range [][2]int{{512, 4096}, {4096, 512}} {
		device, image := sectorDevice(t, sectors[0]), gptImage(sectors[1])
		why := fmt.Sprintf("it has sectors of %d bytes, and the image's partition table is for sectors of %d: it would not be found (ClientConfig.Force writes anyway)", sectors[0], sectors[1])
		f := mustOpen(t, Options{Path: device})
		checkRefused(t, f.Fits(diskBytes, uint32(sectors[1])), device, why)
		checkRefused(t, f.Prepare(diskBytes, uint32(sectors[1])), device, why)
		for _, sector := range []int{0, sectors[0]} {
			if err := f.Fits(diskBytes, uint32(sector)); err != nil {
				t.Errorf("an image for %d on a device of %d: %v", sector, sectors[0], err)
			}
		}
		// Where nobody told, the table does.
		if err := f.Prepare(diskBytes, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteAt(image[64<<10:], 64<<10); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, f.WriteAt(image[:64<<10], 0), device, why)
		checkRefused(t, f.Sync(), device, why)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readDevice(t, device)[:64<<10], bytes.Repeat([]byte{0xFF}, 64<<10)) {
			t.Error("the table was written")
		}
		for _, told := range []uint32{0, uint32(sectors[1])} {
			f := mustOpen(t, Options{Path: device, Force: true})
			if err := f.Prepare(diskBytes, told); err != nil {
				t.Fatal(err)
			}
			if err := f.WriteAt(image, 0); err != nil {
				t.Errorf("with Force: %v", err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(readDevice(t, device), image) {
			t.Error("with Force: not the image")
		}
	}
}

func TestSectorsEqual(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		for _, told := range []uint32{0, uint32(sector)} {
			device, image := sectorDevice(t, sector), gptImage(sector)
			f := mustOpen(t, Options{Path: device})
			if err := f.Prepare(diskBytes, told); err != nil {
				t.Fatal(err)
			}
			if err := f.WriteAt(image, 0); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readDevice(t, device), image) {
				t.Error("not the image")
			}
		}
	}
}

// TestSectorsOfFile: a file has no sectors.
func TestSectorsOfFile(t *testing.T) {
	path, image := filepath.Join(t.TempDir(), "out.img"), gptImage(4096)
	f := mustOpen(t, Options{Path: path})
	if err := f.Prepare(diskBytes, 4096); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path, image)
}

// TestTableInPieces: the table may come in any pieces and any order; zeros count.
func TestTableInPieces(t *testing.T) {
	device, image := sectorDevice(t, 512), gptImage(4096)
	f := mustOpen(t, Options{Path: device})
	if err := f.Prepare(diskBytes, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image[5<<10:64<<10], 5<<10); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteZeros(0, 2<<10); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteAt(image[4<<10:5<<10], 4<<10); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, f.WriteAt(image[2<<10:4<<10], 2<<10), device, "sectors of 4096")
}
