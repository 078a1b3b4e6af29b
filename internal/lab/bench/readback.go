//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readInterval is between looks at what a client has read from its disk.
	readInterval = time.Millisecond
	// readBackBytes from the disk are its target: its program is in memory by then.
	readBackBytes = 1 << 20
	// readings of the target give a median.
	readings = 3
)

// awaitReadBack returns when a client began to read its target back, to one interval,
// and as soon as it has ended.
func awaitReadBack(p *process) (began time.Time, err error) {
	path := fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid)
	tick := time.NewTicker(readInterval)
	defer tick.Stop()
	before, first := time.Now(), int64(-1)
	for {
		select {
		case <-p.done:
			if began.IsZero() && p.err == nil {
				err = fmt.Errorf("%s read nothing back from a disk", p.name)
			}
			return began, err
		case <-tick.C:
		}
		now := time.Now()
		status, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		read, err := readFromDisk(status)
		if err != nil {
			return began, err
		}
		if first < 0 {
			first = read
		}
		if began.IsZero() && read-first >= readBackBytes {
			began = before
		}
		before = now
	}
}

// readFromDisk finds the bytes in /proc/PID/io (proc_pid_io(5)); 0 if there are none,
// as of a process that has ended.
func readFromDisk(status []byte) (int64, error) {
	_, rest, ok := bytes.Cut(status, []byte("\nread_bytes: "))
	if !ok {
		return 0, nil
	}
	number, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.ParseInt(string(number), 10, 64)
}

// readingTime is the median of how long it takes to read a file past the page cache, from
// its beginning to its end, by 1 MiB.
func readingTime(path string) (time.Duration, error) {
	var took []time.Duration
	for range readings {
		t, err := readOnce(path)
		if err != nil {
			return 0, err
		}
		took = append(took, t)
	}
	slices.Sort(took)
	return took[readings/2], nil
}

func readOnce(path string) (time.Duration, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	// What is dirty stays in memory, and is read from there, whatever the flag.
	if err := file.Sync(); err != nil {
		return 0, err
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return 0, fmt.Errorf("drop %s from memory: %w", path, err)
	}
	buffer, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Munmap(buffer) }()
	start := time.Now()
	for {
		n, err := file.Read(buffer)
		if err == io.EOF || err == nil && n < len(buffer) { // an end that is no multiple of a sector
			return time.Since(start), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// diskMissing is why targets in a folder are on no disk, or "".
func diskMissing(folder string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return err.Error()
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		return folder + " is in memory, and no disk"
	}
	return ""
}
