package machine

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// receive.sh is the first process of a machine that receives an image.
//
//go:embed receive.sh
var receive string

// Initramfs is a root file system in memory: busybox, modules and programs.
type Initramfs struct {
	Init     string            // the script that is the first process, for busybox's sh
	Modules  []string          // names; those that they depend on come with them
	Programs map[string]string // names in /bin, and their files here; statically linked
}

// ReceiverInitramfs is that of a machine that does what the kernel's command line tells
// multiclient, reports the status on its console, and switches itself off.
func ReceiverInitramfs(multiclient string) Initramfs {
	return Initramfs{Init: receive, Modules: machineModules, Programs: map[string]string{"multiclient": multiclient}}
}

// WriteFile writes it to a file, as Write does.
func (i Initramfs) WriteFile(file string, k Kernel, p Programs) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return i.Write(f, k, p)
}

// Write writes it as the kernel reads it (kernel:
// Documentation/driver-api/early-userspace/buffer-format.rst): /init, /bin with the
// programs, /modules with the modules and their order, and folders to mount on.
func (i Initramfs) Write(w io.Writer, k Kernel, p Programs) error {
	modules, err := k.moduleFiles(i.Modules...)
	if err != nil {
		return err
	}
	a := archive{w: cpio.NewWriter(w)}
	for _, folder := range []string{"bin", "dev", "modules", "proc", "run", "sys", "tmp"} {
		a.add(&cpio.Header{Name: folder, Mode: cpio.TypeDir | 0o755, Links: 2}, nil)
	}
	a.add(&cpio.Header{Name: "init", Mode: 0o755}, []byte(i.Init))
	a.addProgram("bin/busybox", p.Busybox)
	a.addLink("bin/sh", "busybox")
	for _, name := range slices.Sorted(maps.Keys(i.Programs)) {
		a.addProgram(path.Join("bin", name), i.Programs[name])
	}
	var order strings.Builder
	for _, m := range modules {
		fmt.Fprintln(&order, m.name)
		a.add(&cpio.Header{Name: "modules/" + m.name, Mode: 0o644}, m.content)
	}
	a.add(&cpio.Header{Name: "modules/order", Mode: 0o644}, []byte(order.String()))
	if a.err != nil {
		return fmt.Errorf("write initramfs: %w", a.err)
	}
	return a.w.Close()
}

// archive writes entries until the first error.
type archive struct {
	w   *cpio.Writer
	err error
}

func (a *archive) add(h *cpio.Header, content []byte) {
	if a.err != nil {
		return
	}
	h.Size = int64(len(content))
	if a.err = a.w.WriteHeader(h); a.err == nil && len(content) > 0 {
		_, a.err = a.w.Write(content)
	}
}

func (a *archive) addProgram(name, file string) {
	if a.err != nil {
		return
	}
	var content []byte
	if a.err = checkStatic(file); a.err != nil {
		return
	}
	if content, a.err = os.ReadFile(file); a.err == nil {
		a.add(&cpio.Header{Name: name, Mode: 0o755}, content)
	}
}

func (a *archive) addLink(name, target string) {
	a.add(&cpio.Header{Name: name, Mode: cpio.TypeSymlink | 0o777, Links: 1}, []byte(target))
}
