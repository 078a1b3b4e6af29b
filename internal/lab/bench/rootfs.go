//go:build linux

package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Two images of one root file system: before and after Debian packages were installed.
// They are made once and kept in the user's cache folder, since that takes a minute or
// two and a network, which the lab has not.

const (
	rootImageBytes = 2 << 30
	rootSuite      = "bookworm"
	rootMirror     = "http://deb.debian.org/debian"
	// rootPrograms are all that it takes.
	rootPrograms = "debootstrap mkfs.ext4 mount umount fstrim chroot"
	// rootPackages are of all sizes; what they depend on comes with them.
	rootPackages = "bash-completion bc bind9-dnsutils bzip2 ca-certificates curl ed file git htop " +
		"iproute2 iputils-ping jq less lsof make man-db nano nginx-light openssh-client openssh-server " +
		"patch perl-modules psmisc python3-minimal rsync screen sqlite3 strace sudo tcpdump tmux " +
		"traceroute unzip vim-tiny wget xz-utils zip"
)

const (
	// rootRole makes this program make the images in the folder that it is given.
	rootRole = "make root images"
	// rootVariable names the folder of the images to this program in the lab, and
	// rootMissingVariable says why there are none.
	rootVariable        = "MULTISERVER_BENCH_ROOT"
	rootMissingVariable = "MULTISERVER_BENCH_ROOT_MISSING"
)

func rootImage(name string) string { return filepath.Join(os.Getenv(rootVariable), name) }
func rootBefore() string           { return rootImage("before.img") }
func rootAfter() string            { return rootImage("after.img") }

// rootMissing is why there are no root images, or "".
func rootMissing() string { return os.Getenv(rootMissingVariable) }

// findRootImages makes the images unless they are there. Call it outside of the lab.
func findRootImages() {
	if os.Getenv(rootVariable) != "" {
		return
	}
	recipe := fnv.New32a()
	fmt.Fprintln(recipe, rootImageBytes, rootSuite, rootPackages)
	folder := filepath.Join(cacheFolder(), fmt.Sprintf("root-%08x", recipe.Sum32()))
	os.Setenv(rootVariable, folder)
	if _, err := os.Stat(folder); err == nil {
		return
	}
	if err := makeRootImages(folder); err != nil {
		os.Setenv(rootMissingVariable, strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// makeRootImages has this program make them in namespaces of its own: with it end its
// mounts and whatever a package starts.
func makeRootImages(folder string) error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root to make a root file system")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		installPackages("debootstrap")
	}
	for _, name := range strings.Fields(rootPrograms) {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("there is no %s here", name)
		}
	}
	fmt.Fprintln(os.Stderr, "bench: making root file systems, once, in", folder)
	unfinished := folder + ".new"
	if err := errors.Join(os.RemoveAll(unfinished), os.MkdirAll(unfinished, 0o700)); err != nil {
		return err
	}
	runtime.LockOSThread() // what is started ends with this thread
	defer runtime.UnlockOSThread()
	c := exec.Command("/proc/self/exe", unfinished)
	c.Env = append(os.Environ(), roleVariable+"="+rootRole)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if output, err := c.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%w: %s", err, tail(output)), os.RemoveAll(unfinished))
	}
	return os.Rename(unfinished, folder)
}

// playRoot makes both images in a folder, in namespaces of its own.
func playRoot(folder string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	before, after, root := filepath.Join(folder, "before.img"), filepath.Join(folder, "after.img"), filepath.Join(folder, "root")
	if err := errors.Join(os.Mkdir(root, 0o755), os.WriteFile(before, nil, 0o600), os.Truncate(before, rootImageBytes)); err != nil {
		return err
	}
	install := append([]string{root, "apt-get", "-o", "DPkg::Options::=--force-unsafe-io", "install", "-y", "--no-install-recommends"}, strings.Fields(rootPackages)...)
	for _, step := range []func() error{
		program("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", before),
		program("mount", "-o", "loop", before, root),
		program("debootstrap", "--variant=minbase", rootSuite, root, rootMirror),
		func() error { // no package starts what it installs
			return os.WriteFile(filepath.Join(root, "usr/sbin/policy-rc.d"), []byte("#!/bin/sh\nexit 101\n"), 0o755)
		},
		program("chroot", root, "apt-get", "update"),
		program("chroot", root, "apt-get", "clean"),
		program("umount", root),
		program("mount", "-o", "loop", before, root),
		// What is free holds zeros again, and not what was deleted; what was deleted a
		// moment ago becomes free some time later.
		program("fstrim", root),
		program("umount", root),
		func() error { return copyData(before, after) },
		program("mount", "-o", "loop", after, root),
		program("mount", "-t", "proc", "proc", filepath.Join(root, "proc")),
		program("chroot", install...),
		program("chroot", root, "apt-get", "clean"),
		program("umount", filepath.Join(root, "proc")),
		program("umount", root),
		program("mount", "-o", "loop", after, root),
		program("fstrim", root),
		program("umount", root),
		func() error { return os.Remove(root) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// program is a step that runs a program.
func program(name string, arguments ...string) func() error {
	return func() error {
		c := exec.Command(name, arguments...)
		c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		if output, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, tail(output))
		}
		return nil
	}
}
