package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ErrUnavailable tells that something a machine is made of is not here. Its text says what
// would install it.
var ErrUnavailable = errors.New("no virtual machines here")

const (
	// kernelVariable names a folder with boot/vmlinuz-VERSION and lib/modules/VERSION in
	// it, as a kernel's package has when it is unpacked.
	kernelVariable = "MULTISERVER_LAB_KERNEL"
	// FetchCommand unpacks a kernel where FindKernel looks for it.
	FetchCommand = "go run ./internal/lab/machine/fetch"
)

// Kernel is a Linux kernel with its modules.
type Kernel struct {
	Version string
	Image   string // the file that is booted
	Modules string // the folder with kernel/ and modules.builtin
}

// FindKernel returns the kernel in the folder that MULTISERVER_LAB_KERNEL names. If that is
// not set, it returns one that is installed, or else one that FetchCommand unpacked.
func FindKernel() (Kernel, error) {
	if folder := os.Getenv(kernelVariable); folder != "" {
		kernel, err := findKernel(folder)
		if err != nil {
			return Kernel{}, fmt.Errorf("the variable %s: %w", kernelVariable, err)
		}
		return kernel, nil
	}
	unpacked, _ := filepath.Glob(filepath.Join(CacheFolder(), KernelFolderPrefix+"*")) // the pattern is well-formed
	for _, folder := range append([]string{"/"}, unpacked...) {
		if kernel, err := findKernel(folder); err == nil {
			return kernel, nil
		}
	}
	return Kernel{}, fmt.Errorf("%w: no kernel in /boot or %s: %s unpacks Debian's there", ErrUnavailable, CacheFolder(), FetchCommand)
}

// KernelFolderPrefix begins the name of a folder in CacheFolder that holds a kernel.
const KernelFolderPrefix = "kernel-"

// CacheFolder is where a kernel is kept once it is unpacked.
func CacheFolder() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = os.TempDir()
	}
	return filepath.Join(folder, "multiserver-lab")
}

// findKernel returns a kernel in a folder that can be read and has the drivers of a
// machine; if there are several, one that is made for virtual machines, since it boots
// faster.
func findKernel(folder string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(folder, "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	slices.SortFunc(images, func(a, b string) int {
		if cloud := strings.Contains(b, "-cloud-"); cloud != strings.Contains(a, "-cloud-") {
			if cloud {
				return 1
			}
			return -1
		}
		return strings.Compare(b, a)
	})
	var errs []error
	for _, image := range images {
		version := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		for _, modules := range []string{"lib/modules", "usr/lib/modules"} {
			kernel := Kernel{Version: version, Image: image, Modules: filepath.Join(folder, modules, version)}
			if _, err := os.Stat(kernel.Modules); err != nil {
				continue
			}
			if err := kernel.check(); err != nil {
				errs = append(errs, err)
				continue
			}
			return kernel, nil
		}
	}
	return Kernel{}, errors.Join(append(errs, fmt.Errorf("no usable boot/vmlinuz-VERSION with lib/modules/VERSION in %s", folder))...)
}

func (k Kernel) check() error {
	image, err := os.Open(k.Image) // some systems let root alone read it
	if err != nil {
		return err
	}
	defer image.Close()
	_, err = k.moduleFiles(machineModules...)
	return err
}

// Programs are the paths of the programs of others that a machine needs.
type Programs struct {
	QEMU    string
	Busybox string // statically linked
}

// FindPrograms looks for them in PATH.
func FindPrograms() (Programs, error) {
	var p Programs
	var packages []string
	for _, each := range []struct {
		path          *string
		name, pkgName string
	}{
		{&p.QEMU, "qemu-system-x86_64", "qemu-system-x86"},
		{&p.Busybox, "busybox", "busybox-static"},
	} {
		path, err := exec.LookPath(each.name)
		if err == nil && each.path == &p.Busybox {
			err = checkStatic(path)
		}
		if err != nil {
			packages = append(packages, each.pkgName)
		}
		*each.path = path
	}
	if len(packages) > 0 {
		return Programs{}, fmt.Errorf("%w: apt-get install --no-install-recommends %s", ErrUnavailable, strings.Join(packages, " "))
	}
	return p, nil
}
