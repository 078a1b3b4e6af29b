package usedblocks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

const lvmExtent = 4 << 20

// lvmImage is a physical volume of 96 MiB with the volumes that commands make.
func lvmImage(t testing.TB, metadataCopies string, commands ...[]string) []byte {
	needs(t, "pvcreate", "vgcreate", "lvcreate")
	path := emptyImage(t, 96<<20)
	device := loopdev.Attach(t, path, 0, 512)
	config := fmt.Sprintf(`devices{filter=["a|^%s$|","r|.*|"] use_devicesfile=0} backup{backup=0 archive=0}`, device)
	lvm := func(args ...string) {
		run(t, args[0], append([]string{"--driverloaded", "n", "--config", config}, args[1:]...)...)
	}
	lvm("pvcreate", "-qq", "--pvmetadatacopies", metadataCopies, device)
	lvm("vgcreate", "-qq", "vg", device)
	for _, c := range commands {
		lvm(c...)
	}
	run(t, "sync", "-f", device)
	b, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lvcreate(name, size string) []string {
	return []string{"lvcreate", "-qq", "-an", "-Zn", "-Wn", "-L", size, "-n", name, "vg"}
}

// editLVM changes the text of the first metadata area.
func editLVM(b []byte, edit func(text string) string) []byte {
	b = with(b)
	const at = 4096
	h := b[at : at+lvmSector]
	from, n := le64(h, 40), le64(h, 48)
	text := edit(string(b[at+from:][:n]))
	binary.LittleEndian.PutUint64(h[40:], lvmSector)
	binary.LittleEndian.PutUint64(h[48:], uint64(len(text)))
	copy(b[at+lvmSector:], text)
	binary.LittleEndian.PutUint32(h[56:], lvmSum([]byte(text)))
	binary.LittleEndian.PutUint32(h, lvmSum(h[4:]))
	return b
}

// TestLVM: extents of no volume are unused, and a linear volume in one piece is looked into.
func TestLVM(t *testing.T) {
	for _, copies := range []string{"1", "2"} {
		b := lvmImage(t, copies, lvcreate("root", "32M"), lvcreate("swap", "8M"), lvcreate("data", "8M"),
			[]string{"lvextend", "-qq", "-L+8M", "vg/swap"}, lvcreate("empty", "4M"))
		const start = 1 << 20
		copy(b[start:], made(t, 32, "mkfs.ext4", "-q", "-F"))
		copy(b[start+8*lvmExtent:], made(t, 8, "mkswap"))
		copy(b[start+10*lvmExtent:], made(t, 8, "mkswap"))
		m := Read(readerOf(b), uint64(len(b)))
		var got []string
		for _, p := range m.Parts {
			got = append(got, fmt.Sprintf("%s %s %d %v", p.Volume, p.Kind, p.Size, p.Why))
		}
		want := []string{
			fmt.Sprintf(" LVM2 %d <nil>", 96<<20),
			fmt.Sprintf("vg/root ext4 %d <nil>", 32<<20),
			fmt.Sprintf("vg/swap  %d it is in several pieces", 16<<20),
			fmt.Sprintf("vg/data swap %d <nil>", 8<<20),
			fmt.Sprintf("vg/empty  %d %v", 4<<20, ErrUnknown),
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("with %s copies of the metadata:\n%s\nwant\n%s", copies, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		// root, swap in two pieces, data, empty: 8, 2+2, 2 and 1 extents.
		last := uint64(start + 15*lvmExtent)
		if p := m.Parts[0]; p.Used < last || p.Used > last+2<<20+lvmExtent {
			t.Errorf("%d bytes of the physical volume are used", p.Used)
		}
		if s, bad := overlaps(m.Unused, start+8*lvmExtent, start+10*lvmExtent); bad {
			t.Errorf("a volume in pieces is unused: %v", s)
		}
		if s, bad := overlaps(m.Unused, 0, start+1024); bad {
			t.Errorf("metadata are unused: %v", s)
		}
		if s, bad := overlaps(m.Unused, start+14*lvmExtent, last); bad {
			t.Errorf("a volume that holds nothing known is unused: %v", s)
		}
		if _, is := overlaps(m.Unused, last+lvmExtent, last+lvmExtent+pageSize); !is {
			t.Error("no extent that is free is unused")
		}
		if _, is := overlaps(m.Unused, start+10*lvmExtent+2*pageSize, start+10*lvmExtent+3*pageSize); !is {
			t.Error("swap within a volume is used")
		}
		// In a partition the same, further behind.
		disk := gptDisk(b)
		in := Read(readerOf(disk), uint64(len(disk)))
		if in.UnusedBytes() != m.UnusedBytes() || in.Unused[0].Lo != m.Unused[0].Lo+1<<20 || !strings.Contains(strings.Join(in.Lines(), "\n"), "partition 1, volume vg/root (ext4): ") {
			t.Errorf("in a partition: %q", in.Lines())
		}
	}
}

// TestLVMRefuses: each doubt about LVM is one that sends all of it, or all of the volume.
func TestLVMRefuses(t *testing.T) {
	good := lvmImage(t, "1", lvcreate("root", "16M"), lvcreate("other", "8M"))
	copy(good[1<<20:], made(t, 16, "mkfs.ext4", "-q", "-F"))
	size := uint64(len(good))
	if m := Read(readerOf(good), size); len(m.Parts) != 3 || m.Parts[1].Why != nil {
		t.Fatalf("%q", m.Lines())
	}
	if m := Read(readerOf(editLVM(good, func(s string) string { return s })), size); len(m.Parts) != 3 || m.Parts[1].Why != nil {
		t.Fatalf("the same text elsewhere: %q", m.Lines())
	}
	replace := func(old, new string) []byte {
		return editLVM(good, func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %q in %s", old, s)
			}
			return strings.Replace(s, old, new, 1)
		})
	}
	sum := func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[4096:], lvmSum(b[4096+4:][:lvmSector-4]))
		return b
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"a damaged label", with(good, change{512 + 40, []byte{1}}), "damaged"},
		{"a damaged header", with(good, change{4096 + 30, []byte{1}}), "damaged"},
		{"a damaged text", with(good, change{4096 + int(le64(good, 4096+40)) + 9, []byte{1}}), "damaged"},
		{"a huge text", sum(with(good, change{4096 + 48 + 6, []byte{1}})), "damaged"},
		{"a text elsewhere", sum(with(good, change{4096 + 40 + 6, []byte{1}})), "damaged"},
		{"metadata that are being changed", sum(with(good, change{4096 + 64, []byte{1}})), "being changed"},
		{"an area that is not used", sum(with(good, change{4096 + 60, []byte{1}})), "another physical volume"},
		{"two physical volumes", replace("physical_volumes {", "physical_volumes {\npv1 {\n}"), "one of 2"},
		{"another physical volume", replace("physical_volumes {\n\npv0 {\nid = \"", "physical_volumes {\n\npv0 {\nid = \"x"), "another physical volume's"},
		{"one that is missing", replace("status = [\"ALLOCATABLE\"]\nflags = []", "status = [\"ALLOCATABLE\"]\nflags = [\"MISSING\"]"), "state"},
		{"another format", replace(`format = "lvm2"`, `format = "lvm3"`), "state"},
		{"too many extents", replace("pe_count = ", "pe_count = 9"), "damaged"},
		{"huge extents", replace("extent_size = ", "extent_size = 9999999999999"), "damaged"},
		{"more segments", replace("segment_count = 1", "segment_count = 99999999999"), "damaged"},
		{"a segment of nothing", replace("extent_count = 4", "extent_count = 0"), "damaged"},
		{"a segment behind the end", replace("extent_count = 4", "extent_count = 400"), "stripes"},
		{"volumes that overlap", replace("extent_count = 4", "extent_count = 5"), "overlap"},
		{"stripes", replace("\"pv0\", 0\n", "\"pv0\", 0, \"pv0\", 9\n"), "stripes"},
		{"a kind to come", replace(`type = "striped"`, `type = "striped2"`), "kind"},
		{"no text", editLVM(good, func(string) string { return "vg {" }), "damaged"},
		{"deep", editLVM(good, func(string) string { return strings.Repeat("a{", 1000) }), "damaged"},
		{"many sections", editLVM(good, func(string) string {
			var s strings.Builder
			for i := range 1 << 15 {
				fmt.Fprintf(&s, "s%d{}", i)
			}
			return s.String()
		}), "damaged"},
		{"the end cut off", good[:90<<20], "the partition"},
	} {
		m := Read(readerOf(test.bytes), uint64(len(test.bytes)))
		whole(t, test.name, m, test.want)
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"a snapshot", replace("other {", "snapshot0 {\nstatus = [\"VISIBLE\"]\nsegment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 2\ntype = \"snapshot\"\norigin = \"root\"\ncow_store = \"other\"\n}\n}\nother {"), "built on it"},
		{"a state to come", replace("status = [\"READ\", \"WRITE\", \"VISIBLE\"]", "status = [\"READ\", \"WRITE\", \"VISIBLE\", \"NEW\"]"), "state"},
		{"a flag to come", replace("status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []", "status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = [\"NEW\"]"), "state"},
	} {
		m := Read(readerOf(test.bytes), uint64(len(test.bytes)))
		if len(m.Parts) < 3 || m.Parts[0].Why != nil || m.Parts[1].Volume != "vg/root" || m.Parts[1].Why == nil || !strings.Contains(m.Parts[1].Why.Error(), test.want) {
			t.Errorf("%s: want %q: %q", test.name, test.want, m.Lines())
		}
		if s, bad := overlaps(m.Unused, 1<<20, 17<<20); bad {
			t.Errorf("%s: unused is %v", test.name, s)
		}
	}
	// A name that would change a terminal.
	m := Read(readerOf(editLVM(good, func(s string) string { return strings.Replace(s, "root {", "ro\x1Bot {", 1) })), size)
	if strings.Contains(strings.Join(m.Lines(), ""), "\x1B") {
		t.Errorf("%q", m.Lines())
	}
}

// lvmText is of a volume group with one volume, of 4 of 8 extents.
const lvmText = `vg {
id = "tX912t-b7HG-cyMj-hfZX-JOvP-pwc0-c1T9mQ"
format = "lvm2"	# informational
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = 8192
physical_volumes {
pv0 {
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
status = ["ALLOCATABLE"]
pe_start = 2048
pe_count = 8
}
}
logical_volumes {
root {
status = ["READ", "WRITE", "VISIBLE"]
segment_count = 1
segment1 {
start_extent = 0
extent_count = 4
type = "striped"
stripe_count = 1
stripes = [
"pv0", 0
]
}
}
}
}
contents = "Text \"Format\" Volume Group"
`

// lvmByHand is a physical volume with a text, made without tools.
func lvmByHand(text string) []byte {
	b := make([]byte, 1<<20)
	l := b[lvmSector:]
	copy(l, "LABELONE")
	binary.LittleEndian.PutUint64(l[8:], 1)
	binary.LittleEndian.PutUint32(l[20:], 32)
	copy(l[24:], "LVM2 001"+strings.Repeat("a", 32))
	for i, v := range []uint64{40 << 20, 1 << 20, 0, 0, 0, 4096, 1<<20 - 4096} {
		binary.LittleEndian.PutUint64(l[64+8*i:], v)
	}
	binary.LittleEndian.PutUint32(l[16:], lvmSum(l[20:lvmSector]))
	h := b[4096:]
	copy(h[4:], lvmAreaMagic)
	binary.LittleEndian.PutUint32(h[20:], 1)
	binary.LittleEndian.PutUint64(h[24:], 4096)
	binary.LittleEndian.PutUint64(h[32:], 1<<20-4096)
	binary.LittleEndian.PutUint64(h[40:], lvmSector)
	return editLVM(b, func(string) string { return text })
}

// TestLVMByHand: a ring that goes round its end, a text with escapes and comments.
func TestLVMByHand(t *testing.T) {
	const size = 40 << 20
	b := lvmByHand(lvmText)
	m := Read(&longer{bytes.NewReader(b)}, size)
	if len(m.Parts) != 2 || m.Parts[0].Why != nil || m.Parts[1].Volume != "vg/root" {
		t.Fatalf("%q", m.Lines())
	}
	h := b[4096:]
	from := uint64(1<<20 - 4096 - 100)
	binary.LittleEndian.PutUint64(h[40:], from)
	copy(h[from:], lvmText[:100])
	copy(h[lvmSector:], lvmText[100:])
	binary.LittleEndian.PutUint32(h, lvmSum(h[4:lvmSector]))
	if again := Read(&longer{bytes.NewReader(b)}, size); again.ID() != m.ID() || len(again.Parts) != 2 {
		t.Errorf("round the ring's end: %q", again.Lines())
	}
	for _, bad := range []string{"a", "a =", "a = [", "a = [1", "a = \"b", "a = \"b\\\"", "}", "a = 99999999999999999999", "= 1", "a { } a { }", "a { b = 1"} {
		if _, err := parseLVM([]byte(bad)); err == nil {
			t.Errorf("%q is a text", bad)
		}
	}
}

// FuzzLVM changes the text of the metadata.
func FuzzLVM(f *testing.F) {
	f.Add([]byte(lvmText))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 500<<10 {
			return
		}
		const size = 40 << 20
		m := Read(&longer{bytes.NewReader(lvmByHand(string(text)))}, size)
		last := uint64(0)
		for _, s := range m.Unused {
			if s.Lo < last || s.Lo >= s.Hi || s.Hi > size {
				t.Fatalf("unused is %v, behind %d", s, last)
			}
			last = s.Hi
		}
		m.Lines()
	})
}

// longer reads zeros behind the end.
type longer struct{ *bytes.Reader }

func (l *longer) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < l.Size() {
		l.Reader.ReadAt(p, off)
	}
	return len(p), nil
}
