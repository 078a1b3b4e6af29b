package partition

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

// putRecord writes an entry of a boot record, and its mark.
func putRecord(record []byte, slot int, kind byte, first, count uint32) {
	e := record[mbrEntriesAt+slot*mbrEntrySize:]
	e[4] = kind
	binary.LittleEndian.PutUint32(e[mbrFirstAt:], first)
	binary.LittleEndian.PutUint32(e[mbrCountAt:], count)
	record[510], record[511] = 0x55, 0xAA
}

// logicalDisk is a disk of 8192 sectors with partitions 1, 2, 5 and 6.
func logicalDisk() []byte {
	b := make([]byte, 8192*512)
	putRecord(b, 0, 0x83, 64, 1000)
	putRecord(b, 1, 0x07, 1064, 936)
	putRecord(b, 2, 0x05, 2000, 4000)
	putRecord(b[2000*512:], 0, 0x83, 50, 950)
	putRecord(b[2000*512:], 1, 0x05, 1000, 1000)
	putRecord(b[3000*512:], 0, 0x82, 50, 950)
	return b
}

func TestExactMBR(t *testing.T) {
	b := logicalDisk()
	table, parts, err := Exact(bytes.NewReader(b), uint64(len(b)))
	if err != nil || table != "MBR" || len(parts) != 4 || parts[3].Number != 6 || parts[3].Lo != 3050*512 || parts[3].Hi != 4000*512 {
		t.Fatalf("%s %v %v", table, parts, err)
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"a logical partition over the next record", func(b []byte) { putRecord(b[2000*512:], 0, 0x83, 50, 951) }, "overlap"},
		{"a broken chain", func(b []byte) { b[3000*512+510] = 0 }, "broken"},
		{"a loop", func(b []byte) { putRecord(b[3000*512:], 1, 0x05, 1000, 1000) }, "broken"},
		{"logical ones behind their partition", func(b []byte) { putRecord(b[3000*512:], 0, 0x82, 50, 3000) }, "broken"},
		{"two extended ones", func(b []byte) { putRecord(b, 1, 0x0F, 1064, 936); putRecord(b[1064*512:], 0, 0x83, 1, 10) }, "two extended"},
	} {
		b := logicalDisk()
		test.damage(b)
		if _, parts, err := Exact(bytes.NewReader(b), uint64(len(b))); err == nil || !strings.Contains(err.Error(), test.want) || parts != nil {
			t.Errorf("%s: %v, %v", test.name, parts, err)
		}
	}
	if table, parts, err := Exact(bytes.NewReader(make([]byte, 100)), 100); table != "" || parts != nil || err != nil {
		t.Errorf("no table: %q %v %v", table, parts, err)
	}
}

func TestExactGPT(t *testing.T) {
	good := gptDisk(t, gptImageBytes)
	table, parts, err := Exact(bytes.NewReader(good), gptImageBytes)
	if err != nil || table != "GPT" || len(parts) != 2 || parts[1].Number != 2 || parts[1].Hi != 6144*512 {
		t.Fatalf("%s %v %v", table, parts, err)
	}
	// resum makes the checksums right.
	resum := func(b []byte) {
		header, entries := b[512:1024], b[1024:][:128*128]
		binary.LittleEndian.PutUint32(header[entriesSumAt:], crc32.ChecksumIEEE(entries))
		binary.LittleEndian.PutUint32(header[headerSumAt:], gpt{header: header}.sum())
	}
	for _, test := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"damaged entries", func(b []byte) { b[1024+40]++ }, "damaged"},
		{"a hybrid", func(b []byte) { putRecord(b, 1, 0x83, 2048, 100) }, "beside the GPT"},
		{"two that overlap", func(b []byte) { binary.LittleEndian.PutUint64(b[1024+lastSectorAt:], 4096); resum(b) }, "overlap"},
		{"one over the table", func(b []byte) { binary.LittleEndian.PutUint64(b[1024+firstSectorAt:], 20); resum(b) }, "overlap"},
		{"one over the backup", func(b []byte) { binary.LittleEndian.PutUint64(b[1024+128+lastSectorAt:], 8191); resum(b) }, "overlap"},
		{"one for other sectors", func(b []byte) {
			copy(b[4096:], b[512:1024])
			b[4096+headerSizeAt] = 92
		}, "512"},
	} {
		b := bytes.Clone(good)
		test.damage(b)
		if _, parts, err := Exact(bytes.NewReader(b), gptImageBytes); err == nil || !strings.Contains(err.Error(), test.want) || parts != nil {
			t.Errorf("%s: %v, %v", test.name, parts, err)
		}
	}
}
