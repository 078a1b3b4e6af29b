package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVariable marks the environment of a program that is inside the lab's
// namespaces. Programs started from there inherit it, rightly: Go's fuzzing
// workers are the test binary run once more.
const insideVariable = "MULTISERVER_LAB_INSIDE"

// ErrUnavailable reports that this machine, or this user, may not have the
// namespaces that a lab is made of.
var ErrUnavailable = errors.New("no lab here")

// errNotEntered is why New cannot work, or nil once inside.
var errNotEntered = fmt.Errorf("%w: neither lab.Enter nor lab.Main was called", ErrUnavailable)

// Main runs the tests of a package inside the lab's namespaces and ends the
// process with their result. Where namespaces are not allowed the tests run
// outside, and NewTest skips.
func Main(m interface{ Run() int }) {
	Enter()
	code := m.Run()
	removePrograms()
	os.Exit(code)
}

// Enter returns inside fresh network, mount and process namespaces: it runs
// this very program again there, with the same arguments, environment and
// standard streams, passes signals on to it and ends with its status. It must
// be the first thing that main does. Where namespaces are not allowed it
// returns outside, and New tells why.
func Enter() {
	if os.Getenv(insideVariable) != "" {
		errNotEntered = settle()
		return
	}
	// The child dies with the thread that started it (Pdeathsig): this one
	// has to stay.
	runtime.LockOSThread()
	var err error
	if os.Geteuid() == 0 {
		err = reenter(0)
	}
	// Root in a container may lack what a user namespace of its own gives.
	if err == nil || isRefusal(err) {
		err = reenter(syscall.CLONE_NEWUSER)
	}
	runtime.UnlockOSThread()
	if isRefusal(err) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	errNotEntered = err
}

// reenter runs this program in new namespaces and ends with its status. It
// returns only if the program could not be started.
func reenter(flags uintptr) error {
	inside := &exec.Cmd{
		Path: "/proc/self/exe",
		Args: os.Args,
		Env: append(os.Environ(), insideVariable+"=1",
			// What this machine was started with is no part of a test.
			"MULTICLIENT_KERNEL_CMDLINE="+os.DevNull),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{
			// As the first process of its process namespace it takes all
			// others along when it dies.
			Cloneflags: flags | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
			Pdeathsig:  syscall.SIGKILL,
		},
	}
	if flags&syscall.CLONE_NEWUSER != 0 {
		inside.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		inside.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}

	// Before the start, so that no signal falls between the two. Room for one
	// of each: signal.Notify drops what does not fit.
	passed := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2}
	signals := make(chan os.Signal, len(passed))
	for _, s := range passed {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	if err := inside.Start(); err != nil {
		signal.Stop(signals)
		return fmt.Errorf("start inside new namespaces: %w", err)
	}
	go func() {
		for s := range signals {
			// It fails once the program has ended, which Wait tells.
			_ = inside.Process.Signal(s)
		}
	}()
	err := inside.Wait()
	if inside.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "lab: wait for the program inside:", err)
		os.Exit(1)
	}
	status := inside.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		os.Exit(128 + int(status.Signal())) // as a shell says it
	}
	os.Exit(status.ExitStatus())
	return nil
}

// settle makes /proc and /sys show the new namespaces.
func settle() error {
	if os.Getpid() != 1 {
		return nil // started from inside: done already
	}
	// This fails in a user namespace without rights, as AppArmor makes it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: make mounts private: %w", ErrUnavailable, err)
	}
	for _, m := range []struct{ kind, path string }{{"proc", "/proc"}, {"sysfs", "/sys"}} {
		// In a container that hides a part of these two, the kernel refuses to
		// show them whole. The old ones do: nothing here depends on the new.
		if err := unix.Mount("none", m.path, m.kind, 0, ""); err != nil && !isRefusal(err) {
			return fmt.Errorf("%w: mount %s: %w", ErrUnavailable, m.path, err)
		}
	}
	return nil
}

// isRefusal reports whether the kernel would not, rather than failed to.
func isRefusal(err error) bool {
	for _, refusal := range []error{
		unix.EPERM, unix.EACCES,
		unix.ENOSPC, // user.max_user_namespaces and its like are exhausted, or 0
		unix.EINVAL, // a kernel without that kind of namespace
		unix.ENOSYS,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
