//go:build linux

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"multiserver/internal/lab"
)

const (
	// watchInterval, for each host, is how exactly the stream's beginning and end are
	// known: looking costs the machine some 40 µs a host.
	watchInterval = 500 * time.Microsecond
	// dataBytes within an interval are data: more than all that any of the systems
	// says besides, and less than a packet of data of any.
	dataBytes = 600
	// streamBytes at a host are the beginning of the stream: more than what is said
	// and probed before it, and half a millisecond at 1 GbE.
	streamBytes = 64 << 10
)

// watch tells when data arrived at hosts, by the counters of their eth0: the same
// for every system.
type watch struct {
	files   []*os.File    // /proc/net/dev of each host
	first   time.Time     // when the stream began to come, anywhere
	heard   []time.Time   // when each host's last data came; zero if none did
	silence time.Duration // the longest at any host between data and data
	samples []sample      // from first on; valid after close
	stop    chan struct{} // closed by close
	stopped chan struct{} // closed by the goroutine that samples
	once    sync.Once
	err     error // that ended the goroutine early; valid after close
}

// sample is what all hosts together had received at a time.
type sample struct {
	at    time.Time
	bytes uint64
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
	w.heard = make([]time.Time, len(w.files))
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

// last is when data ceased to come, anywhere. Call it after close.
func (w *watch) last() time.Time { return slices.MaxFunc(w.heard, time.Time.Compare) }

// ignore forgets a host whose last data is nobody's. Call it after close.
func (w *watch) ignore(n int) { w.heard[n] = time.Time{} }

// streaming is from the first data to the last. Call it after close.
func (w *watch) streaming() time.Duration { return w.last().Sub(w.first) }

func (w *watch) sample() {
	defer close(w.stopped)
	tick := time.NewTicker(watchInterval * time.Duration(len(w.files)))
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
		total := uint64(0)
		for n, file := range w.files {
			size, err := file.ReadAt(buffer, 0) // io.EOF: that is all
			received, parseErr := receivedBytes(buffer[:size])
			if parseErr != nil {
				w.err = errors.Join(err, parseErr)
				return
			}
			if w.first.IsZero() && received >= streamBytes {
				w.first = now
			}
			if !w.first.IsZero() && received-before[n] >= dataBytes {
				if !w.heard[n].IsZero() {
					w.silence = max(w.silence, now.Sub(w.heard[n]))
				}
				w.heard[n] = now
			}
			before[n] = received
			total += received
		}
		if !w.first.IsZero() {
			w.samples = append(w.samples, sample{now, total})
		}
	}
}

const (
	// A rate is that of rampWindow, reckoned each rampStep.
	rampWindow = 100 * time.Millisecond
	rampStep   = 10 * time.Millisecond
	rampShare  = 0.9
)

// ramp is the time from the first data until the rate reached 0.9 of the median of
// what followed; all of the stream if it never did. Call it after close.
func (w *watch) ramp() time.Duration {
	n, _ := slices.BinarySearchFunc(w.samples, w.last(), func(s sample, t time.Time) int { return s.at.Compare(t) })
	return rampOf(w.samples[:min(n+1, len(w.samples))])
}

func rampOf(samples []sample) time.Duration {
	type rate struct {
		at       time.Time
		bytesSec float64
	}
	var rates []rate
	begin := 0 // of the window
	for _, s := range samples {
		for begin+1 < len(samples) && s.at.Sub(samples[begin+1].at) >= rampWindow {
			begin++
		}
		window := s.at.Sub(samples[begin].at)
		if window >= rampWindow && (len(rates) == 0 || s.at.Sub(rates[len(rates)-1].at) >= rampStep) {
			rates = append(rates, rate{s.at, float64(s.bytes-samples[begin].bytes) / window.Seconds()})
		}
	}
	if len(samples) == 0 {
		return 0
	}
	reached := samples[len(samples)-1].at
	var rest []float64 // sorted: those after n
	for n := len(rates) - 1; n >= 0; n-- {
		r := rates[n]
		if len(rest) > 0 && r.bytesSec >= rampShare*rest[len(rest)/2] {
			reached = r.at
		}
		at, _ := slices.BinarySearch(rest, r.bytesSec)
		rest = slices.Insert(rest, at, r.bytesSec)
	}
	return reached.Sub(samples[0].at)
}

// packetsOfMessages is how many packets came as one message to sockets of clients that
// finished. Packets are the bytes ÷ those of a full packet: super-packets that cross whole
// count as one, and so do those that are joined behind the counter.
func packetsOfMessages(j *job, clients []*process) (float64, error) {
	var packets, messages float64
	full := float64(cmp.Or(j.row.config.MTU, 1500) + 14)
	for n, h := range j.clients() {
		if clients[n].abandoned {
			continue
		}
		counters, err := h.Counters()
		if err != nil {
			return 0, err
		}
		var snmp []byte
		if err := h.Do(func() (err error) {
			snmp, err = os.ReadFile("/proc/thread-self/net/snmp")
			return err
		}); err != nil {
			return 0, err
		}
		came, err := udpMessages(snmp)
		if err != nil {
			return 0, err
		}
		packets += float64(counters.ReceivedBytes) / full
		messages += float64(came)
	}
	return packets / max(1, messages), nil
}

// udpMessages finds in /proc/net/snmp (proc_net(5)) how many messages came to UDP sockets: read
// from them or dropped at them. What UDP_GRO joined is one.
func udpMessages(snmp []byte) (uint64, error) {
	var names, values [][]byte
	for line := range bytes.Lines(snmp) {
		if fields := bytes.Fields(line); len(fields) > 0 && string(fields[0]) == "Udp:" {
			names, values = values, fields
		}
	}
	total, found := uint64(0), 0
	for n, name := range names {
		if text := string(name); n < len(values) && (text == "InDatagrams" || text == "RcvbufErrors") {
			value, err := strconv.ParseUint(string(values[n]), 10, 64)
			if err != nil {
				return 0, err
			}
			total += value
			found++
		}
	}
	if found != 2 {
		return 0, fmt.Errorf("no counters of UDP in %q", snmp)
	}
	return total, nil
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
