package partition

import (
	"bytes"
	"slices"
	"testing"
)

// TestList: GPT, its backup alone, MBR with logical partitions, and no table.
func TestList(t *testing.T) {
	const size = 8 << 20
	gpt := gptDisk(t, size)
	m, err := MoveBackup(bytes.NewReader(gpt), size, 512)
	if err != nil {
		t.Fatal(err)
	}
	apply(gpt, m)
	named := bytes.Clone(gpt)
	clear(named[:2048])
	dos := make([]byte, size)
	copy(dos, mbr([3]uint32{0x83, 64, 10}, [3]uint32{0x0F, 2048, 4000}, [3]uint32{0x82, 7000, 100_000}))
	copy(dos[2048*512:], mbr([3]uint32{0x83, 63, 100}, [3]uint32{0x05, 500, 500}))
	copy(dos[2548*512:], mbr([3]uint32{0x83, 10, 20}))
	span := func(lo, hi uint64) Span { return Span{lo * 512, hi * 512} }
	two := []Part{{span(2048, 4096), 1, "Linux filesystem"}, {span(4096, 6144), 2, "Linux filesystem"}}
	for i := range two { // what sgdisk calls them
		two[i].Name = entryName(gpt[1024+i*128:][:128])
	}
	for _, c := range []struct {
		name  string
		disk  []byte
		table string
		want  []Part
	}{
		{"GPT", gpt, "GPT", two},
		{"the backup", named, "GPT", two},
		{"MBR", dos, "MBR", []Part{{span(64, 74), 1, ""}, {span(7000, size/512), 3, ""}, {span(2111, 2211), 5, ""}, {span(2558, 2578), 6, ""}}},
		{"none", make([]byte, size), "", nil},
		{"tiny", make([]byte, 512), "", nil},
	} {
		table, parts := List(bytes.NewReader(c.disk), uint64(len(c.disk)), 512)
		if table != c.table || !slices.Equal(parts, c.want) {
			t.Errorf("%s: %q %v, want %q %v", c.name, table, parts, c.table, c.want)
		}
	}
	named = append(make([]byte, nameAt), 'r', 0, 0xF6, 0, 'o', 0, 0, 0, 'x', 0)
	if got := entryName(named); got != "röo" {
		t.Errorf("a name: %q", got)
	}
}
