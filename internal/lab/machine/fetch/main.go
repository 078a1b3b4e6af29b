// Fetch unpacks Debian's kernel for virtual machines where machine.FindKernel looks for it,
// unless a kernel is there already. Nothing is installed: a kernel's package makes an
// initramfs and changes the boot loader when it is.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"multiserver/internal/lab/machine"
)

// kernelPackage depends on the newest kernel, and has no files.
const kernelPackage = "linux-image-cloud-amd64"

func main() {
	kernel, err := machine.FindKernel()
	if errors.Is(err, machine.ErrUnavailable) {
		if err = fetch(); err == nil {
			kernel, err = machine.FindKernel()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
	fmt.Println(kernel.Image)
}

// fetch downloads the kernel's package and unpacks it. The folder has its name at the end
// only, when it is complete.
func fetch() (err error) {
	if err := os.MkdirAll(machine.CacheFolder(), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(machine.CacheFolder(), "fetch-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	description, err := run(work, "apt-cache", "show", "--no-all-versions", kernelPackage)
	if err != nil {
		return fmt.Errorf("%w; where apt-get update was never run, no package is known", err)
	}
	name, err := newestKernel(description)
	if err != nil {
		return err
	}
	// What apt-get does as another user could not write here.
	if _, err := run(work, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return err
	}
	if len(archives) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages", name, len(archives))
	}
	const unpacked = "unpacked"
	if _, err := run(work, "dpkg-deb", "-x", archives[0], unpacked); err != nil {
		return err
	}
	return os.Rename(filepath.Join(work, unpacked), filepath.Join(machine.CacheFolder(), machine.KernelFolderPrefix+name))
}

// newestKernel returns the package that kernelPackage depends on, by its description:
//
//	Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)
func newestKernel(description string) (string, error) {
	for line := range strings.Lines(description) {
		if depends, ok := strings.CutPrefix(line, "Depends:"); ok {
			for _, word := range strings.Fields(depends) {
				if strings.HasPrefix(word, "linux-image-") {
					return strings.TrimRight(word, ","), nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s depends on no kernel", kernelPackage)
}

// run returns what a program prints. What it prints as an error is in the error.
func run(folder, name string, arguments ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	c := exec.Command(name, arguments...)
	c.Dir, c.Stdout, c.Stderr = folder, &stdout, &stderr
	c.Env = append(os.Environ(), "LC_ALL=C")
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
