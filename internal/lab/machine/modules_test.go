package machine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// madeKernel is a kernel's folder with files that a test makes.
type madeKernel struct {
	*testing.T
	root string
}

const madeVersion = "6.1.0-1-cloud-amd64"

func newMadeKernel(t *testing.T) madeKernel {
	k := madeKernel{t, t.TempDir()}
	k.write("boot/vmlinuz-"+madeVersion, []byte("image"))
	k.write("lib/modules/"+madeVersion+"/modules.builtin", []byte("kernel/lib/crc-ccitt.ko\nkernel/fs/ext4.ko\n"))
	k.add("drivers/other/other")
	return k
}

func (k madeKernel) write(path string, content []byte) {
	k.Helper()
	path = filepath.Join(k.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		k.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		k.Fatal(err)
	}
}

// add adds a module. file is its path without .ko.
func (k madeKernel) add(file string, dependencies ...string) {
	k.Helper()
	k.write("lib/modules/"+madeVersion+"/kernel/"+file+".ko", madeModule(dependencies...))
}

func (k madeKernel) kernel() Kernel {
	return Kernel{Version: madeVersion, Modules: filepath.Join(k.root, "lib/modules", madeVersion)}
}

// order returns the names that moduleFiles does.
func (k madeKernel) order(names ...string) ([]string, error) {
	modules, err := k.kernel().moduleFiles(names...)
	var got []string
	for _, m := range modules {
		got = append(got, m.name)
	}
	return got, err
}

// madeModule is as much of a module as tells of its dependencies.
func madeModule(dependencies ...string) []byte {
	info := []byte("license=GPL\x00depends=" + strings.Join(dependencies, ",") + "\x00name=x\x00")
	return madeELF(".modinfo", info)
}

// madeELF is an object file with one section besides that of names.
func madeELF(name string, content []byte) []byte {
	names := []byte("\x00" + name + "\x00.shstrtab\x00")
	const headerBytes, sectionBytes = 64, 64
	header := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Ehsize: headerBytes, Shentsize: sectionBytes, Shnum: 3, Shstrndx: 2,
		Shoff: uint64(headerBytes + len(content) + len(names)),
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: headerBytes, Size: uint64(len(content))},
		{Name: uint32(2 + len(name)), Type: uint32(elf.SHT_STRTAB), Off: uint64(headerBytes + len(content)), Size: uint64(len(names))},
	}
	var b bytes.Buffer
	for _, part := range []any{header, content, names, sections} {
		binary.Write(&b, binary.LittleEndian, part) // a Buffer takes all
	}
	return b.Bytes()
}

func TestModuleOrder(t *testing.T) {
	k := newMadeKernel(t)
	k.add("drivers/virtio/virtio")
	k.add("drivers/virtio/virtio_ring", "virtio")
	k.add("drivers/net/net_failover", "failover")
	k.add("net/core/failover")
	k.add("drivers/net/virtio-net", "virtio_ring", "virtio", "net_failover", "crc_ccitt") // of which the last is built in
	k.add("drivers/block/virtio_blk", "virtio_ring")
	k.add("drivers/other/unneeded")
	k.add("loop/a", "b")
	k.add("loop/b", "a")
	k.add("broken/c", "nowhere")

	got, err := k.order("virtio_net", "virtio_blk", "ext4")
	want := []string{"virtio", "virtio_ring", "failover", "net_failover", "virtio_net", "virtio_blk"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for name, part := range map[string]string{"a": "depends on itself", "c": "no module nowhere", "missing": "no module missing"} {
		if _, err := k.order(name); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want an error that says %q", name, err, part)
		}
	}
}

func TestModuleFiles(t *testing.T) {
	k := newMadeKernel(t)
	folder := "lib/modules/" + madeVersion + "/kernel/"
	plain := madeModule()
	var compressed bytes.Buffer
	w, err := xz.NewWriter(&compressed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	k.write(folder+"plain.ko", plain)
	k.write(folder+"packed.ko.xz", compressed.Bytes())
	for _, name := range []string{"plain", "packed"} {
		modules, err := k.kernel().moduleFiles(name)
		if err != nil || len(modules) != 1 || !bytes.Equal(modules[0].content, plain) {
			t.Errorf("%s: %d modules, %v; want one with its content", name, len(modules), err)
		}
	}

	k.write(folder+"zstd.ko.zst", plain)
	k.write(folder+"cut.ko.xz", compressed.Bytes()[:compressed.Len()/2])
	k.write(folder+"text.ko", bytes.Repeat([]byte("text"), 100))
	k.write(folder+"object.ko", madeELF(".text", nil))
	for name, part := range map[string]string{"zstd": "xz", "cut": "decompress", "text": "magic", "object": "no kernel module"} {
		if _, err := k.kernel().moduleFiles(name); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want an error that says %q", name, err, part)
		}
	}
}
