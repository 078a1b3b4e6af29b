//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"multiserver/internal/lab"
)

const (
	// watchInterval is how exactly the stream's beginning and end are known.
	watchInterval = 2 * time.Millisecond
	// dataBytes within an interval are data: more than all that any of the systems
	// says besides, and less than a packet of data of any.
	dataBytes = 600
)

// watch tells when data arrived at hosts, by the counters of their eth0: the same
// for every system.
type watch struct {
	files       []*os.File    // /proc/net/dev of each host
	first, last time.Time     // when data began and ceased to come, anywhere
	stop        chan struct{} // closed by close
	stopped     chan struct{} // closed by the goroutine that samples
	once        sync.Once
	err         error // that ended the goroutine early; valid after close
}

// newWatch begins to watch. The caller must close it.
func newWatch(hosts []*lab.Host) (*watch, error) {
	w := &watch{stop: make(chan struct{}), stopped: make(chan struct{})}
	for _, h := range hosts {
		// An open file shows the namespace that it was opened in.
		err := h.Do(func() error {
			file, err := os.Open("/proc/thread-self/net/dev")
			if err == nil {
				w.files = append(w.files, file)
			}
			return err
		})
		if err != nil {
			closeAll(w.files)
			return nil, err
		}
	}
	go w.sample()
	return w, nil
}

// close ends the watch; it may be called more than once.
func (w *watch) close() {
	w.once.Do(func() {
		close(w.stop)
		<-w.stopped
		closeAll(w.files)
	})
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// streaming is from the first data to the last. Call it after close.
func (w *watch) streaming() time.Duration { return w.last.Sub(w.first) }

func (w *watch) sample() {
	defer close(w.stopped)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	before := make([]uint64, len(w.files))
	buffer := make([]byte, 4096)
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		for n, file := range w.files {
			size, err := file.ReadAt(buffer, 0) // io.EOF: that is all
			received, parseErr := receivedBytes(buffer[:size])
			if parseErr != nil {
				w.err = errors.Join(err, parseErr)
				return
			}
			if received-before[n] >= dataBytes {
				if w.first.IsZero() {
					w.first = now
				}
				w.last = now
			}
			before[n] = received
		}
	}
}

// receivedBytes finds eth0's first counter in /proc/net/dev (proc_net(5)).
func receivedBytes(dev []byte) (uint64, error) {
	_, line, ok := bytes.Cut(dev, []byte("eth0:"))
	fields := bytes.Fields(line)
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("no eth0 in %q", dev)
	}
	return strconv.ParseUint(string(fields[0]), 10, 64)
}
