package format

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// vectors are the first bytes of files that the programs named made, of a disk of 1 MiB.
var vectors = []struct {
	file string // in testdata
	want Format
}{
	{"disk.img", Raw},
	{"disk.gz", Gzip}, {"disk.xz", XZ}, {"disk.zst", Zstd}, {"disk.bz2", Bzip2}, {"empty.bz2", Bzip2}, {"disk.lz4", LZ4},
	{"legacy.lz4", LZ4}, {"skippable.zst", Zstd}, {"disk.zip", Zip}, {"gnu.tar", Tar}, {"posix.tar", Tar},
	{"disk.qcow2", Qcow2}, {"sparse.vmdk", VMDK}, {"flat.vmdk", VMDK}, {"dynamic.vhd", VHD}, {"fixed.vhd", Raw},
	{"disk.vhdx", VHDX}, {"disk.vdi", VDI}, {"disk.bmap", Bmap}, {"cd.iso", ISO},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		head, err := os.ReadFile(filepath.Join("testdata", v.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := Of(head); got != v.want {
			t.Errorf("%s: %v (%#x), want %v", v.file, got, uint8(got), v.want)
		}
	}
}

// TestPrograms: what the programs that are there make today.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	b := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(b[:4096])
	if err := os.WriteFile(disk, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range []struct {
		command, file string
		want          Format
	}{
		{"gzip -c disk >x.gz", "x.gz", Gzip}, {"xz -c disk >x.xz", "x.xz", XZ}, {"zstd -qc disk >x.zst", "x.zst", Zstd},
		{"bzip2 -c disk >x.bz2", "x.bz2", Bzip2}, {"lz4 -qc disk >x.lz4", "x.lz4", LZ4}, {"zip -q x.zip disk", "x.zip", Zip},
		{"tar -cf x.tar disk", "x.tar", Tar}, {"tar --format=posix -cf p.tar disk", "p.tar", Tar},
		{"qemu-img convert -O qcow2 disk x.qcow2", "x.qcow2", Qcow2}, {"qemu-img convert -O vmdk disk x.vmdk", "x.vmdk", VMDK},
		{"qemu-img convert -O vpc disk x.vhd", "x.vhd", VHD}, {"qemu-img convert -O vhdx disk x.vhdx", "x.vhdx", VHDX},
		{"qemu-img convert -O vdi disk x.vdi", "x.vdi", VDI}, {"genisoimage -quiet -o x.iso disk", "x.iso", ISO},
	} {
		program, _, _ := strings.Cut(c.command, " ")
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%s is not installed", program)
			continue
		}
		shell := exec.Command("sh", "-c", c.command)
		shell.Dir = dir
		if out, err := shell.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", c.command, err, out)
			continue
		}
		head, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := Of(head[:min(len(head), HeadSize)]); got != c.want {
			t.Errorf("%s: %v, want %v", c.command, got, c.want)
		}
		ran++
	}
	if ran == 0 {
		t.Skip("none of the programs is installed")
	}
}

// TestHybrid: an ISO image with a partition table before it is a disk.
func TestHybrid(t *testing.T) {
	head, err := os.ReadFile("testdata/cd.iso")
	if err != nil {
		t.Fatal(err)
	}
	head[mbrEntryAt], head[mbrTypeAt] = 0x80, 0x17
	copy(head[bootMagicAt:], "\x55\xAA")
	if got := Of(head); got != Raw {
		t.Errorf("a hybrid image: %v", got)
	}
}

// TestNoFormat: what disks begin with, and heads of any length.
func TestNoFormat(t *testing.T) {
	random := make([]byte, HeadSize)
	rand.NewChaCha8([32]byte{2}).Read(random)
	fat := append([]byte("\xEB\x3C\x90mkfs.fat"), make([]byte, HeadSize)...)
	for name, head := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, HeadSize), "random": random, "FAT": fat,
		"gzip by another method": []byte("\x1F\x8B\x07 and more"), "BZh of a text": []byte("BZh9 is no bzip2 file"),
		"XML": []byte("<?xml version=\"1.0\"?>\n<domain type='kvm'>"),
	} {
		if got := Of(head); got != Raw {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, v := range vectors {
		head, err := os.ReadFile(filepath.Join("testdata", v.file))
		if err != nil {
			t.Fatal(err)
		}
		for n := range min(len(head), 1024) {
			if got := Of(head[:n]); got != Raw && got != v.want {
				t.Errorf("%d bytes of %s: %v", n, v.file, got)
			}
		}
	}
}

// TestNumbers: each format has a text and a number that says whether it is a disk; numbers of
// later versions say so too.
func TestNumbers(t *testing.T) {
	for n := range 256 {
		f := Numbered(uint8(n))
		_, known := texts[f]
		switch {
		case n >= foreignFrom:
			if uint8(f) != uint8(n) || !f.Foreign() || f.String() == "" || f.Advice() == "" {
				t.Errorf("%#x: %v, foreign %v", n, f, f.Foreign())
			}
		case f != Raw && !known || f.Foreign():
			t.Errorf("%#x: %v, foreign %v", n, f, f.Foreign())
		}
	}
	if Numbered(0x6F) != Raw || Numbered(uint8(ISO)) != ISO || Raw.String() != "" || Raw.Advice() != "" {
		t.Error("numbers below foreignFrom")
	}
	for _, m := range magics {
		if _, known := texts[m.format]; !known {
			t.Errorf("%#x has no text", uint8(m.format))
		}
		if head := append(make([]byte, m.at), bytes.Clone([]byte(m.bytes))...); Of(head) != m.format {
			t.Errorf("the magic of %v is %v", m.format, Of(head))
		}
	}
}

func TestCaution(t *testing.T) {
	for _, c := range []struct {
		f            Format
		size         uint64
		text, advice string
	}{
		{Raw, 1 << 20, "", ""},
		{Raw, 1<<20 + 511, "has 1049087 bytes, no multiple of 512 as a disk has", "make sure that it was not cut short"},
		{Gzip, 1000, "is a gzip file and is sent as it is: no machine starts from a disk that it is written to", "unpack it with gunzip"},
		{ISO, 2048, "is an ISO 9660 image without a partition table", "if machines are to start from the disk, take a hybrid image"},
	} {
		if text, advice := Caution(c.f, c.size); text != c.text || advice != c.advice {
			t.Errorf("%v of %d bytes: %q, %q", c.f, c.size, text, advice)
		}
	}
}
