//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cpuPeriodMicroseconds is the kernel's default: after its part of it a group waits for the next.
const cpuPeriodMicroseconds = 100_000

// cpuGroup is a control group that holds programs to a share of a core (cgroups(7)); its zero
// holds nobody.
type cpuGroup struct{ folder string }

// cpuHierarchy is where control groups with a limit of CPU time are made. Its mount is
// detached: nobody else sees it, and it ends with this process.
type cpuHierarchy struct {
	root *os.File
	path string // of the groups' parent, through root
	v1   bool
}

// openCPUHierarchy mounts the hierarchy once: /sys is the lab's own and shows none.
var openCPUHierarchy = sync.OnceValues(func() (*cpuHierarchy, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	kind, options := "cgroup2", ""
	controllers, path, v1 := cpuControllers(string(own))
	if v1 {
		kind, options = "cgroup", controllers
	}
	folder, err := os.MkdirTemp("", "multiserver-bench-cgroup-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(folder)
	if err := unix.Mount("none", folder, kind, 0, options); err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	root, err := os.Open(folder)
	if err := errors.Join(err, unix.Unmount(folder, unix.MNT_DETACH)); err != nil {
		return nil, err
	}
	h := &cpuHierarchy{root: root, path: fmt.Sprintf("/proc/self/fd/%d", root.Fd()), v1: v1}
	if v1 {
		h.path = filepath.Join(h.path, path)
		return h, nil
	}
	// A group with processes in it, as this process's own, can have none below it.
	if err := os.WriteFile(filepath.Join(h.path, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
		return nil, fmt.Errorf("enable the cpu controller: %w", err)
	}
	return h, nil
})

// cpuControllers finds the hierarchy of version 1 with the cpu controller in /proc/self/cgroup,
// all controllers of it, and the process's own group there.
func cpuControllers(own string) (controllers, path string, v1 bool) {
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), "cpu") {
			return fields[1], fields[2], true
		}
	}
	return "", "", false
}

// newCPUGroup makes a group for a share of a core. The caller must remove it.
func newCPUGroup(share float64) (*cpuGroup, error) {
	h, err := openCPUHierarchy()
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	folder, err := os.MkdirTemp(h.path, "multiserver-bench-")
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	g := &cpuGroup{folder}
	for _, s := range cpuSettings(share, h.v1) {
		if err := os.WriteFile(filepath.Join(folder, s.file), []byte(s.value), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("control group: %w", err), g.remove())
		}
	}
	return g, nil
}

type cpuSetting struct{ file, value string }

func cpuSettings(share float64, v1 bool) []cpuSetting {
	quota, period := strconv.Itoa(int(share*cpuPeriodMicroseconds)), strconv.Itoa(cpuPeriodMicroseconds)
	if v1 {
		return []cpuSetting{{"cpu.cfs_period_us", period}, {"cpu.cfs_quota_us", quota}}
	}
	return []cpuSetting{{"cpu.max", quota + " " + period}}
}

// add puts a process into the group.
func (g *cpuGroup) add(process *os.Process) error {
	if g.folder == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(g.folder, "cgroup.procs"), []byte(strconv.Itoa(process.Pid)), 0)
}

// throttledPeriods is in how many periods the group used up its part.
func (g *cpuGroup) throttledPeriods() (int, error) {
	if g.folder == "" {
		return 0, nil
	}
	stat, err := os.ReadFile(filepath.Join(g.folder, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	return throttledIn(string(stat))
}

func throttledIn(stat string) (int, error) {
	for line := range strings.Lines(stat) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == "nr_throttled" {
			return strconv.Atoi(value)
		}
	}
	return 0, fmt.Errorf("no nr_throttled in %q", stat)
}

// remove takes the group away once its processes have ended.
func (g *cpuGroup) remove() error {
	if g.folder == "" {
		return nil
	}
	for deadline := time.Now().Add(endLimit); ; {
		err := unix.Rmdir(g.folder)
		// The kernel empties a group some time after the last process was waited for.
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return os.NewSyscallError("rmdir of a control group", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// cpuGroupMissing is why there are no groups with a limit here, or "".
func cpuGroupMissing() string {
	g, err := newCPUGroup(0.1)
	if err == nil {
		err = g.remove()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
