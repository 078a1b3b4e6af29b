package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindKernel(t *testing.T) {
	k := newMadeKernel(t)
	t.Setenv(kernelVariable, k.root)
	if found, err := FindKernel(); err == nil || !strings.Contains(err.Error(), kernelVariable) || !strings.Contains(err.Error(), "virtio_pci") {
		t.Errorf("a kernel without drivers is taken, %+v, or the error does not tell which is missing: %v", found, err)
	}
	for _, name := range machineModules {
		k.add(name)
	}
	image := filepath.Join(k.root, "boot/vmlinuz-"+madeVersion)
	if found, err := FindKernel(); err != nil || found.Image != image || found.Version != madeVersion {
		t.Errorf("%+v, %v; want %s", found, err, image)
	}

	// Neither a newer one that is not made for virtual machines, nor one without modules.
	k.write("boot/vmlinuz-6.9.0-1-amd64", nil)
	k.write("boot/vmlinuz-6.9.0-1-cloud-amd64", nil)
	if err := os.CopyFS(filepath.Join(k.root, "lib/modules/6.9.0-1-amd64"), os.DirFS(filepath.Join(k.root, "lib/modules", madeVersion))); err != nil {
		t.Fatal(err)
	}
	if found, err := FindKernel(); err != nil || found.Image != image {
		t.Errorf("%+v, %v; want %s", found, err, image)
	}
	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	if found, err := FindKernel(); err != nil || found.Version != "6.9.0-1-amd64" {
		t.Errorf("%+v, %v; want 6.9.0-1-amd64", found, err)
	}

	t.Setenv(kernelVariable, t.TempDir())
	if found, err := FindKernel(); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("%+v, %v; want an error that does not skip tests: somebody named that folder", found, err)
	}
}

func TestFindPrograms(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("PATH", folder)
	_, err := FindPrograms()
	if !errors.Is(err, ErrUnavailable) || !strings.HasSuffix(err.Error(), " qemu-system-x86 busybox-static") {
		t.Errorf("%v; want ErrUnavailable and what would install both", err)
	}
	for _, name := range []string{"qemu-system-x86_64", "busybox"} {
		if err := os.WriteFile(filepath.Join(folder, name), madeELF(".text", nil), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := FindPrograms(); err != nil || filepath.Dir(p.QEMU) != folder || filepath.Dir(p.Busybox) != folder {
		t.Errorf("%+v, %v; want both in %s", p, err, folder)
	}
	// This is a busybox of which not all is in the file.
	if err := os.WriteFile(filepath.Join(folder, "busybox"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindPrograms(); !errors.Is(err, ErrUnavailable) || !strings.HasSuffix(err.Error(), " busybox-static") || strings.Contains(err.Error(), "qemu") {
		t.Errorf("%v; want ErrUnavailable and what would install busybox", err)
	}
}
