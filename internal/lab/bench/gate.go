//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// gate stands before a file: every read of it waits for leave, which the kernel asks
// for (fanotify(7), FAN_ACCESS_PERM). Shut, it is a disk that stalls.
type gate struct {
	events  *os.File
	once    sync.Once
	closing chan struct{} // closed by close
	ended   chan struct{} // closed by the goroutine that gives leave
	err     error         // that ended it early; valid after ended

	mu    sync.Mutex
	until time.Time // shut until then
}

// newGate puts an open gate before a file. Programs that have the file open already
// pass by it (Linux 6.14). The caller must close it. It needs root outside of user
// namespaces.
func newGate(path string) (*gate, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	if err != nil {
		return nil, fmt.Errorf("a gate before a file (needs root): %w", os.NewSyscallError("fanotify_init", err))
	}
	g := &gate{events: os.NewFile(uintptr(fd), "fanotify"), closing: make(chan struct{}), ended: make(chan struct{})}
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_ACCESS_PERM, unix.AT_FDCWD, path); err != nil {
		g.events.Close()
		return nil, fmt.Errorf("a gate before %s: %w", path, os.NewSyscallError("fanotify_mark", err))
	}
	go func() {
		defer close(g.ended)
		g.err = g.giveLeave()
	}()
	return g, nil
}

// shut lets no read pass for a while.
func (g *gate) shut(stall time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Now().Add(stall)
}

// close takes the gate away; reads that wait pass. It may be called more than once,
// and returns what was wrong before.
func (g *gate) close() error {
	g.once.Do(func() {
		close(g.closing)
		g.events.Close()
		<-g.ended
	})
	return g.err
}

func (g *gate) giveLeave() error {
	buffer := make([]byte, 4096)
	for {
		n, err := g.events.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for events := bytes.NewReader(buffer[:n]); events.Len() > 0; {
			var e unix.FanotifyEventMetadata
			if err := binary.Read(events, binary.NativeEndian, &e); err != nil {
				return err
			}
			g.mu.Lock()
			until := g.until
			g.mu.Unlock()
			select {
			case <-time.After(time.Until(until)):
			case <-g.closing:
			}
			answer, err := binary.Append(nil, binary.NativeEndian, unix.FanotifyResponse{Fd: e.Fd, Response: unix.FAN_ALLOW})
			if err == nil {
				_, err = g.events.Write(answer)
			}
			unix.Close(int(e.Fd))
			if err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.ENOENT) { // who asked is gone
				return err
			}
		}
	}
}
