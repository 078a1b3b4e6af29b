package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waitDelay bounds the wait for grandchildren that keep a killed command's
// output open.
const waitDelay = 10 * time.Second

// Cmd is an exec.Cmd that starts inside a host. What starts it is replaced;
// code that is given the inner exec.Cmd and starts that starts it outside. Its
// SysProcAttr must not set Pdeathsig: the starting thread ends at once.
type Cmd struct {
	*exec.Cmd
	host *Host
	wait func() error // once: the owner calls it, and perhaps Close
}

// Command prepares a program to run in the host. It is killed when ctx ends or
// the lab is closed.
func (h *Host) Command(ctx context.Context, path string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, path, args...), host: h}
	c.WaitDelay = waitDelay
	c.wait = sync.OnceValue(c.Cmd.Wait)
	return c
}

// Start starts the program inside the host and does not wait for it to end.
func (c *Cmd) Start() error {
	l := c.host.lab
	// Under the lock, so that Close either sees the command or comes first.
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bridges == nil {
		return errors.New("start in a closed lab")
	}
	err := c.host.Do(func() error {
		// /sys shows the namespace it was mounted in.
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("new mount namespace: %w", err)
		}
		if err := unix.Mount("none", "/sys", "sysfs", 0, ""); err != nil && !isRefusal(err) { // as in settle
			return fmt.Errorf("mount /sys: %w", err)
		}
		return c.Cmd.Start()
	})
	if err != nil {
		return fmt.Errorf("start in host %d: %w", c.host.Number, err)
	}
	l.commands = append(l.commands, c)
	return nil
}

// Wait waits for the program to end, as exec.Cmd.Wait. It may be called more
// than once.
func (c *Cmd) Wait() error { return c.wait() }

// Run starts the program and waits for it to end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output.
func (c *Cmd) Output() ([]byte, error) {
	var output bytes.Buffer
	c.Stdout = &output
	err := c.Run()
	return output.Bytes(), err
}

// CombinedOutput runs the program and returns its standard output and error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	err := c.Run()
	return output.Bytes(), err
}

// Usage is what a process used, with the children that it waited for.
type Usage struct {
	CPU time.Duration // user and system
	// PeakMemoryBytes is the largest resident set. It is never below that of
	// the process which started it: the kernel hands the figure on at exec.
	PeakMemoryBytes int64
}

// UsageOf returns what an ended process used.
func UsageOf(state *os.ProcessState) Usage {
	return Usage{
		CPU:             state.UserTime() + state.SystemTime(),
		PeakMemoryBytes: state.SysUsage().(*syscall.Rusage).Maxrss << 10, // KiB on Linux
	}
}
