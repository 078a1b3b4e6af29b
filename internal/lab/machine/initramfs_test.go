package machine

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

func TestInitramfs(t *testing.T) {
	k := newMadeKernel(t)
	k.add("drivers/virtio/virtio")
	k.add("drivers/net/virtio-net", "virtio")
	program := madeELF(".text", []byte("program"))
	k.write("busybox", madeELF(".text", []byte("busybox")))
	k.write("multiclient", program)
	i := Initramfs{Init: "#!/bin/sh\necho\n", Modules: []string{"virtio_net"}, Programs: map[string]string{"multiclient": filepath.Join(k.root, "multiclient")}}
	programs := Programs{Busybox: filepath.Join(k.root, "busybox")}
	file := filepath.Join(t.TempDir(), "initramfs")
	if err := i.WriteFile(file, k.kernel(), programs); err != nil {
		t.Fatal(err)
	}

	type entry struct {
		mode    cpio.FileMode
		content string
	}
	got := map[string]entry{}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := cpio.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content := []byte(h.Linkname)
		if h.Mode.IsRegular() {
			if content, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if folder := filepath.Dir(h.Name); folder != "." && got[folder].mode&cpio.TypeDir == 0 {
			t.Errorf("%s comes before its folder, and would get lost", h.Name)
		}
		got[h.Name] = entry{h.Mode, string(content)}
	}
	for name, want := range map[string]entry{
		"init":               {cpio.TypeReg | 0o755, i.Init},
		"bin/sh":             {cpio.TypeSymlink | 0o777, "busybox"},
		"bin/multiclient":    {cpio.TypeReg | 0o755, string(program)},
		"modules/order":      {cpio.TypeReg | 0o644, "virtio\nvirtio_net\n"},
		"modules/virtio_net": {cpio.TypeReg | 0o644, string(madeModule("virtio"))},
		"proc":               {cpio.TypeDir | 0o755, ""},
	} {
		if got[name] != want {
			t.Errorf("%s is %+v, want %+v", name, got[name], want)
		}
	}
}

func TestInitramfsTakesNoDynamicProgram(t *testing.T) {
	sh, err := os.ReadFile("/bin/sh")
	if err != nil || !bytes.Contains(sh, []byte("/ld-")) {
		t.Skip("needs a dynamically linked program, which /bin/sh is on most systems:", err)
	}
	k := newMadeKernel(t)
	k.write("busybox", madeELF(".text", nil))
	i := Initramfs{Programs: map[string]string{"sh": "/bin/sh"}}
	err = i.Write(io.Discard, k.kernel(), Programs{Busybox: filepath.Join(k.root, "busybox")})
	if err == nil || !strings.Contains(err.Error(), "not statically linked") {
		t.Errorf("%v, want that it is not statically linked", err)
	}
}
