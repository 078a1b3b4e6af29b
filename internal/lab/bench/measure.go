//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

const (
	// imageSeed makes the image: noise that nothing compresses.
	imageSeed = 1
	// slowestBytesPerSec ends a transfer that hangs.
	slowestBytesPerSec = 1 << 20
	// startLimit bounds the wait for a program's socket, endLimit that for its end.
	startLimit = 10 * time.Second
	endLimit   = 10 * time.Second
)

// bench measures one row.
type bench struct {
	row     row
	folder  string
	rounds  int // that count
	discard bool
	image   string
}

// figures are what one transfer, or the median of several, gave.
type figures struct {
	wallSeconds float64 // start of the clients to the end of the last
	goodput     float64 // image bytes a second from the first data packet to the last
	toBare      float64 // goodput ÷ that of the bare loop in the same round; 0 without
	sent        float64 // bytes that left the server's interface ÷ image

	serverCPUSeconds, clientCPUSeconds float64 // of the clients, the mean
	serverPeakBytes, clientPeakBytes   float64 // of the clients, the largest
}

// result is a system's in a row.
type result struct {
	key
	median figures
	failed bool
}

type key struct{ row, system string }

// table are the results that did not fail.
type table map[key]result

// measure runs each system once a round.
func (b *bench) measure(ctx context.Context, systems []system) ([]result, error) {
	b.image = filepath.Join(b.folder, "image.img")
	if err := lab.RandomFile(b.image, b.row.sizeBytes, imageSeed); err != nil {
		return nil, err
	}
	defer os.Remove(b.image)

	systems = slices.DeleteFunc(slices.Clone(systems), func(s system) bool {
		return len(b.row.only) > 0 && !slices.Contains(b.row.only, s.name)
	})
	var failures []error
	failed := map[string]bool{}
	runs := map[string][]figures{}
	first := 1
	if b.discard {
		first = 0
	}
	for round := first; round <= b.rounds; round++ {
		bare := 0.0
		for _, s := range systems {
			if failed[s.name] {
				continue
			}
			f, err := b.transfer(ctx, s)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", s.name, err)
				fmt.Fprintf(os.Stderr, "bench: FAILED: %s: %v\n", b.row.name, err)
				failures = append(failures, err)
				failed[s.name] = true
				continue
			}
			if s.name == bareLoop {
				bare = f.goodput
			}
			if bare > 0 {
				f.toBare = f.goodput / bare
			}
			fmt.Fprintf(os.Stderr, "%s, round %d of %d, %s: %.2f s, %.1f MB/s, sent %.3f\n",
				b.row.name, round, b.rounds, s.name, f.wallSeconds, f.goodput/1e6, f.sent)
			if round > 0 {
				runs[s.name] = append(runs[s.name], f)
			}
		}
	}
	var results []result
	for _, s := range systems {
		r := result{key: key{b.row.name, s.name}, failed: failed[s.name]}
		if !r.failed {
			r.median = median(runs[s.name])
		}
		results = append(results, r)
	}
	return results, errors.Join(failures...)
}

// transfer carries the image once with a system.
func (b *bench) transfer(ctx context.Context, s system) (f figures, err error) {
	config := b.row.config
	config.Hosts = b.row.clients + 1
	l, err := lab.New(config)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if b.row.prepare != nil {
		if err := b.row.prepare(l); err != nil {
			return f, err
		}
	}
	limit := startLimit + endLimit + time.Duration(b.row.sizeBytes/slowestBytesPerSec)*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	j := &job{
		ctx: ctx, lab: l, image: b.image, sizeBytes: b.row.sizeBytes, lossPercent: config.LossPercent,
		folder: filepath.Join(b.folder, "run"),
	}
	defer os.RemoveAll(j.folder)
	for n := range j.clients() {
		if err := os.MkdirAll(j.clientFolder(n), 0o700); err != nil {
			return f, err
		}
	}
	w, err := newWatch(j.clients())
	if err != nil {
		return f, err
	}
	defer w.close()
	o, err := run(j, s)
	if err != nil {
		return f, err
	}
	w.close()
	if w.err != nil {
		return f, w.err
	}
	for n, c := range o.clients {
		if err := s.check(j, n, c.output.Bytes()); err != nil {
			return f, fmt.Errorf("WRONG OUTPUT at client %d: %w", n, err)
		}
	}
	counters, err := j.lab.Hosts[0].Counters()
	if err != nil {
		return f, err
	}
	size := float64(j.sizeBytes)
	f.wallSeconds = o.ended.Sub(o.started).Seconds()
	f.goodput = size / w.streaming().Seconds()
	f.sent = float64(counters.SentBytes) / size
	usage := lab.UsageOf(o.server.cmd.ProcessState)
	f.serverCPUSeconds, f.serverPeakBytes = usage.CPU.Seconds(), float64(usage.PeakMemoryBytes)
	for _, c := range o.clients {
		usage := lab.UsageOf(c.cmd.ProcessState)
		f.clientCPUSeconds += usage.CPU.Seconds() / float64(len(o.clients))
		f.clientPeakBytes = max(f.clientPeakBytes, float64(usage.PeakMemoryBytes))
	}
	return f, nil
}

// outcome is a transfer that went through.
type outcome struct {
	started time.Time // the side that begins it
	ended   time.Time // the last of those that end by themselves
	server  *process
	clients []*process
}

// run starts both sides and returns once all have ended.
func run(j *job, s system) (*outcome, error) {
	o := &outcome{server: newProcess("server", s.server(j))}
	for n := range j.clients() {
		o.clients = append(o.clients, newProcess(fmt.Sprint("client ", n), s.client(j, n)))
	}
	waiting, hosts, active := []*process{o.server}, j.lab.Hosts[:1], o.clients
	if s.daemons {
		waiting, hosts, active = o.clients, j.clients(), []*process{o.server}
	}
	if err := o.carry(waiting, hosts, active); err != nil {
		for _, p := range append(active, waiting...) {
			p.stop()
			err = fmt.Errorf("%w\n%s: %s", err, p.name, tail(p.output.Bytes()))
		}
		return nil, err
	}
	for _, p := range waiting {
		p.stop()
	}
	return o, nil
}

// carry starts those that wait, on hosts, then those that are active, and returns
// once these have ended.
func (o *outcome) carry(waiting []*process, hosts []*lab.Host, active []*process) error {
	if err := startAll(waiting); err != nil {
		return err
	}
	for _, h := range hosts {
		if err := awaitSocket(h); err != nil {
			return err
		}
	}
	o.started = time.Now()
	if err := startAll(active); err != nil {
		return err
	}
	for _, p := range active {
		if err := p.wait(); err != nil {
			return err
		}
		o.ended = later(o.ended, p.ended)
	}
	return nil
}

func startAll(processes []*process) error {
	for _, p := range processes {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// awaitSocket returns when a program in the host has a UDP socket.
func awaitSocket(h *lab.Host) error {
	deadline := time.Now().Add(startLimit)
	for time.Now().Before(deadline) {
		var sockets []byte
		if err := h.Do(func() (err error) {
			sockets, err = os.ReadFile("/proc/thread-self/net/udp")
			return err
		}); err != nil {
			return err
		}
		if bytes.Count(sockets, []byte("\n")) > 1 { // the first line is a head
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("host %d has no socket after %v", h.Number, startLimit)
}

// process is a running side of a system.
type process struct {
	name   string
	cmd    *lab.Cmd
	output bytes.Buffer  // complete once done is closed
	done   chan struct{} // closed by the goroutine of start after ended and err are set
	ended  time.Time
	err    error
}

func newProcess(name string, cmd *lab.Cmd) *process {
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	return p
}

func (p *process) start() error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
		p.ended = time.Now()
	}()
	return nil
}

// wait returns when it has ended by itself.
func (p *process) wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// stop ends what may serve for ever, if it was started.
func (p *process) stop() {
	if p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(unix.SIGINT) // fails if it has ended
	select {
	case <-p.done:
	case <-time.After(endLimit):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// median takes each figure's own median.
func median(runs []figures) figures {
	of := func(value func(figures) float64) float64 {
		values := make([]float64, len(runs))
		for n, f := range runs {
			values[n] = value(f)
		}
		slices.SortFunc(values, cmp.Compare[float64])
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return figures{
		wallSeconds:      of(func(f figures) float64 { return f.wallSeconds }),
		goodput:          of(func(f figures) float64 { return f.goodput }),
		toBare:           of(func(f figures) float64 { return f.toBare }),
		sent:             of(func(f figures) float64 { return f.sent }),
		serverCPUSeconds: of(func(f figures) float64 { return f.serverCPUSeconds }),
		clientCPUSeconds: of(func(f figures) float64 { return f.clientCPUSeconds }),
		serverPeakBytes:  of(func(f figures) float64 { return f.serverPeakBytes }),
		clientPeakBytes:  of(func(f figures) float64 { return f.clientPeakBytes }),
	}
}
