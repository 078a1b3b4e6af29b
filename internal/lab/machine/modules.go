package machine

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// machineModules are the drivers of a machine's disk and network card.
var machineModules = []string{"virtio_pci", "virtio_blk", "virtio_net"}

// module is a kernel module's file, decompressed.
type module struct {
	name    string // with underscores, as lsmod shows it
	content []byte
}

// moduleFiles returns the modules of these names and all that they depend on, each after
// those that it depends on. What is built into the kernel is left out.
//
// The dependencies are read from the modules themselves: modules.dep is made when a kernel
// is installed, and a package that is only unpacked has none.
func (k Kernel) moduleFiles(names ...string) ([]module, error) {
	paths, err := k.modulePaths()
	if err != nil {
		return nil, err
	}
	builtin, err := k.builtinModules()
	if err != nil {
		return nil, err
	}
	var ordered []module
	const (
		visiting = 1 + iota
		done
	)
	state := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		name = moduleName(name)
		switch {
		case state[name] == done || builtin[name]:
			return nil
		case state[name] == visiting:
			return fmt.Errorf("module %s depends on itself", name)
		}
		state[name] = visiting
		path, ok := paths[name]
		if !ok {
			return fmt.Errorf("kernel %s has no module %s in %s", k.Version, name, k.Modules)
		}
		content, err := readModule(path)
		if err != nil {
			return err
		}
		dependencies, err := moduleDependencies(content)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, each := range dependencies {
			if err := visit(each); err != nil {
				return err
			}
		}
		state[name] = done
		ordered = append(ordered, module{name, content})
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// modulePaths returns the files of all modules by name.
func (k Kernel) modulePaths() (map[string]string, error) {
	paths := map[string]string{}
	err := filepath.WalkDir(filepath.Join(k.Modules, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name, compression, ok := strings.Cut(d.Name(), ".ko"); ok && (compression == "" || strings.HasPrefix(compression, ".")) {
			paths[moduleName(name)] = path
		}
		return nil
	})
	return paths, err
}

// builtinModules returns the names of those that are part of the kernel's image.
func (k Kernel) builtinModules() (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(k.Modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	builtin := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		builtin[moduleName(strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko"))] = true
	}
	return builtin, nil
}

// moduleName returns the name of a module as the kernel has it, where a file may have dashes.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// readModule returns a module's file, decompressed: busybox loads no other.
func readModule(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	switch filepath.Ext(path) {
	case ".ko":
		return content, nil
	case ".xz": // since Debian 13
		r, err := xz.NewReader(bytes.NewReader(content))
		if err == nil {
			content, err = io.ReadAll(r)
		}
		if err != nil {
			return nil, fmt.Errorf("decompress %s: %w", path, err)
		}
		return content, nil
	default:
		return nil, fmt.Errorf("%s: only modules that xz compressed can be decompressed", path)
	}
}

// moduleDependencies returns the names that a module's section .modinfo has after
// "depends=" (kernel: scripts/mod/modpost.c).
func moduleDependencies(content []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no kernel module: it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var names []string
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if value, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(value) > 0 {
			names = append(names, strings.Split(string(value), ",")...)
		}
	}
	return names, nil
}

// checkStatic returns an error if a program needs an interpreter, which an initramfs has not.
func checkStatic(path string) error {
	file, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not statically linked", path)
		}
	}
	return nil
}
