//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"multiserver/internal/lab"
)

const (
	// imageSeed makes the image: noise that nothing compresses.
	imageSeed = 1
	// slowestBytesPerSec ends a transfer that hangs.
	slowestBytesPerSec = 1 << 20
	// slowestHoleBytesPerSec is for an image that has little else.
	slowestHoleBytesPerSec = 1 << 30
	// startLimit bounds the wait for a program's socket, endLimit that for its end.
	startLimit = 10 * time.Second
	endLimit   = 10 * time.Second
)

// bench measures one row.
type bench struct {
	row     row
	folder  string
	disk    string // a folder on a disk, for targets that are to be there
	rounds  int    // that count
	discard bool
	trials  int // of a search for the best fixed rate, at most
	image   string
	// rateBitsPerSec is the best fixed rate, once it was searched for, and during the search
	// the one that is tried.
	rateBitsPerSec int64
}

// figures are what one transfer, or the median of several, gave.
type figures struct {
	wallSeconds float64 // start of the clients to the end of the last
	// othersSeconds is the same without the last client, which is the one that
	// something happens to; 0 if there is only one.
	othersSeconds float64
	lastSeconds   float64 // the last client's own time; 0 if it did not finish
	goodput       float64 // image bytes a second from the first data to the last
	toBare        float64 // goodput ÷ that of the bare loop in the same round; 0 without
	sent          float64 // bytes that left the server's interface ÷ image

	startSeconds   float64 // start of the clients to the first data at any
	endSeconds     float64 // last data packet at any client to the end of the last
	rampSeconds    float64 // as watch.ramp
	silenceSeconds float64 // as watch.silence

	// sentToDiffering is the bytes that left the server's interface ÷ those of the image
	// that are in pieces of 4 KiB which a target did not hold before; 0 unless targets held
	// something.
	sentToDiffering float64
	// rest is the bytes that left the server's interface after the last client was started
	// again ÷ image; 0 if it was not.
	rest float64
	// readBack is the time from the first byte that the client read of its target to its
	// end ÷ that of reading the target; 0 unless the row is about that.
	readBack float64

	// packetsPerMessage is how many packets came as one message to the clients' sockets, joined
	// on the way.
	packetsPerMessage float64
	// tcpShare is TCP's of the ports' line rate, the lowest; 0 unless the row has that.
	tcpShare float64

	// throttledPeriods is in how many periods clients used up their share of a core.
	throttledPeriods float64

	packedBytes float64 // of the packed image, if the system sends one

	serverCPUSeconds, clientCPUSeconds float64 // of the clients, the mean
	serverPeakBytes, clientPeakBytes   float64 // of the clients, the largest
}

// result is a system's in a row.
type result struct {
	key
	runs           []figures
	median         figures
	rateBitsPerSec int64 // that was found; 0 unless the system has a fixed one
	failed         bool
}

type key struct{ row, system string }

// table are the results that did not fail.
type table map[key]result

// measure runs each system once a round.
func (b *bench) measure(ctx context.Context, systems []system) ([]result, error) {
	b.image = filepath.Join(b.folder, "image.img")
	systems = slices.DeleteFunc(slices.Clone(systems), func(s system) bool {
		if len(b.row.only) == 0 {
			return s.optional
		}
		return !slices.Contains(b.row.only, s.name)
	})
	if len(systems) == 0 {
		return nil, nil
	}
	defer os.Remove(b.image)
	if err := b.makeImage(); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.cache())

	var failures []error
	failed := map[string]bool{}
	runs := map[string][]figures{}
	first := 1
	if b.discard {
		first = 0
	}
	fail := func(s system, err error) {
		err = fmt.Errorf("%s: %w", s.name, err)
		fmt.Fprintf(os.Stderr, "bench: FAILED: %s: %v\n", b.row.name, err)
		failures = append(failures, err)
		failed[s.name] = true
	}
	for _, s := range systems {
		if s.pack != nil {
			if err := s.pack(ctx, b.image); err != nil {
				fail(s, err)
			}
			defer os.Remove(b.image + packedSuffix)
		}
		if !s.fixedRate || failed[s.name] {
			continue
		}
		err := b.search(ctx, s)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			fail(s, err)
		}
	}
	last := b.rounds
	if b.rounds > 1 {
		last = max(last, b.row.worstOf)
	}
	for round := first; round <= last; round++ {
		bare := 0.0
		for _, s := range systems {
			if failed[s.name] || round > b.rounds && s.name != ours && s.name != bareLoop {
				continue
			}
			f, err := b.transfer(ctx, s)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				fail(s, err)
				continue
			}
			if s.name == bareLoop {
				bare = f.goodput
			}
			if bare > 0 {
				f.toBare = f.goodput / bare
			}
			fmt.Fprintf(os.Stderr, "%s, round %d of %d, %s: %.2f s, %.1f MB/s, sent %.3f\n",
				b.row.name, round, last, s.name, f.wallSeconds, f.goodput/1e6, f.sent)
			if round > 0 {
				runs[s.name] = append(runs[s.name], f)
			}
		}
	}
	var results []result
	for _, s := range systems {
		r := result{key: key{b.row.name, s.name}, failed: failed[s.name]}
		if !r.failed {
			r.runs, r.median = runs[s.name], median(runs[s.name])
			if s.fixedRate {
				r.rateBitsPerSec = b.rateBitsPerSec
			}
		}
		results = append(results, r)
	}
	return results, errors.Join(failures...)
}

func (b *bench) makeImage() error {
	if b.row.source != nil {
		return copyData(b.row.source(), b.image)
	}
	return lab.SparseFile(b.image, b.row.sizeBytes, imageSeed, b.row.data()...)
}

// cache is where servers keep manifests; it lasts for a row.
func (b *bench) cache() string { return filepath.Join(b.folder, "cache") }

// transfer carries the image once with a system.
func (b *bench) transfer(ctx context.Context, s system) (f figures, err error) {
	config := b.row.config
	config.Hosts = b.row.clients + 1
	if b.row.besideTCP {
		config.Hosts++
	}
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
	var dataBytes int64
	for _, e := range b.row.data() {
		dataBytes += e.SizeBytes
	}
	limit := startLimit + endLimit + time.Duration(dataBytes/cmp.Or(b.row.slowestBytesPerSec, slowestBytesPerSec)+b.row.sizeBytes/slowestHoleBytesPerSec)*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	j := &job{
		ctx: ctx, lab: l, image: b.image, sizeBytes: b.row.sizeBytes, lossPercent: config.LossPercent,
		folder: filepath.Join(b.folder, "run"), cache: b.cache(), row: b.row,
	}
	if s.fixedRate {
		j.rateBitsPerSec = b.rateBitsPerSec
	}
	if b.row.readsBack {
		j.folder = filepath.Join(b.disk, "run")
	}
	defer os.RemoveAll(j.folder)
	for n := range j.clients() {
		if err := os.MkdirAll(j.clientFolder(n), 0o700); err != nil {
			return f, err
		}
	}
	if b.row.gated {
		if j.gate, err = newGate(j.image); err != nil {
			return f, err
		}
		defer j.gate.close()
	}
	var differing int64
	if b.row.holds != nil {
		if differing, err = j.fillTargets(); err != nil {
			return f, err
		}
	}
	if b.row.crowded {
		busy := exec.CommandContext(ctx, "taskset", "-c", "0", "sh", "-c", "while :; do :; done")
		if err := busy.Start(); err != nil {
			return f, err
		}
		defer func() { _ = busy.Process.Kill(); _ = busy.Wait() }()
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
		if c.abandoned {
			w.ignore(n)
		}
	}
	if j.gate != nil {
		if err := j.gate.close(); err != nil {
			return f, err
		}
	}
	if b.row.readsBack {
		reading, err := readingTime(j.output(0))
		if err != nil {
			return f, err
		}
		f.readBack = o.ended.Sub(o.readBack).Seconds() / reading.Seconds()
		fmt.Fprintf(os.Stderr, "read back in %v, read in %v\n", o.ended.Sub(o.readBack), reading)
	}
	for n, c := range o.clients {
		switch {
		case c.abandoned:
			continue
		case c.pipe != nil:
			err = c.pipe.err
		default:
			err = s.check(j, n, c.output.Bytes())
		}
		if err != nil {
			return f, fmt.Errorf("WRONG OUTPUT at client %d: %w", n, err)
		}
	}
	counters, err := j.lab.Hosts[0].Counters()
	if err != nil {
		return f, err
	}
	if f.packetsPerMessage, err = packetsOfMessages(j, o.clients); err != nil {
		return f, err
	}
	for n, share := range o.tcpShares {
		if got := <-share; n == 0 || got < f.tcpShare {
			f.tcpShare = got
		}
	}
	size := float64(j.sizeBytes)
	f.wallSeconds = o.ended.Sub(o.started).Seconds()
	f.goodput = size / w.streaming().Seconds()
	if s.pack != nil {
		about, err := os.Stat(j.image + packedSuffix)
		if err != nil {
			return f, err
		}
		f.packedBytes = float64(about.Size())
	}
	f.sent = float64(counters.SentBytes) / size
	if differing > 0 {
		f.sentToDiffering = float64(counters.SentBytes) / float64(differing)
	}
	if o.sentBefore > 0 {
		f.rest = float64(counters.SentBytes-o.sentBefore) / size
	}
	f.startSeconds = w.first.Sub(o.started).Seconds()
	f.endSeconds = o.ended.Sub(w.last()).Seconds()
	f.rampSeconds, f.silenceSeconds = w.ramp().Seconds(), w.silence.Seconds()
	last := o.clients[len(o.clients)-1]
	if !last.abandoned {
		f.lastSeconds = last.ended.Sub(last.started).Seconds()
	}
	for _, c := range o.clients[:len(o.clients)-1] {
		f.othersSeconds = max(f.othersSeconds, c.ended.Sub(o.started).Seconds())
	}
	for _, p := range o.servers {
		usage := lab.UsageOf(p.cmd.ProcessState)
		f.serverCPUSeconds += usage.CPU.Seconds()
		f.serverPeakBytes = max(f.serverPeakBytes, float64(usage.PeakMemoryBytes))
	}
	finished := 0.0
	for _, c := range o.clients {
		if c.abandoned {
			continue
		}
		usage := lab.UsageOf(c.cmd.ProcessState)
		finished++
		f.throttledPeriods += float64(c.throttledPeriods)
		f.clientCPUSeconds += usage.CPU.Seconds()
		f.clientPeakBytes = max(f.clientPeakBytes, float64(usage.PeakMemoryBytes))
	}
	f.clientCPUSeconds /= finished
	if j.row.coreShares != nil {
		fmt.Fprintf(os.Stderr, "clients used up their share of a core in %.0f periods\n", f.throttledPeriods)
	}
	return f, nil
}

// outcome is a transfer that went through.
type outcome struct {
	started time.Time  // the side that begins it
	ended   time.Time  // the last of those that end by themselves
	servers []*process // more than one if it was started again
	clients []*process
	// sentBefore is what had left the server's interface when the last client was started
	// again; 0 if it was not.
	sentBefore uint64
	// tcpShares are those of the TCP flows; each comes once when its client has ended.
	tcpShares []chan float64
	readBack  time.Time // when client 0 began to read its target; zero unless the row is about that
}

// fillTargets has each target hold what the row says, and returns how much of the image
// is in pieces that differ in at least one of them.
func (j *job) fillTargets() (differing int64, err error) {
	var targets []string
	for n := range j.clients() {
		if err := j.row.holds(j, n); err != nil {
			return 0, err
		}
		targets = append(targets, j.output(n))
	}
	return differingBytes(j.image, targets)
}

// run starts both sides and returns once all have ended.
func run(j *job, s system) (*outcome, error) {
	o := &outcome{servers: []*process{newProcess("server", s.server(j))}}
	for n := range j.clients() {
		p := newProcess(fmt.Sprint("client ", n), s.client(j, n))
		if rate := j.pipeBytesPerSec(n); rate > 0 {
			p.pipe = &pipe{image: j.image, bytesPerSec: rate}
		}
		p.duty, p.coreShare = j.row.duty, j.row.coreShare(n)
		o.clients = append(o.clients, p)
	}
	waiting, hosts, active := o.servers, j.lab.Hosts[:1], o.clients
	if s.daemons {
		waiting, hosts, active = o.clients, j.clients(), o.servers
	}
	err := o.carry(j, s, waiting, hosts, active)
	for _, p := range append(slices.Clone(o.clients), o.servers...) {
		p.stop()
		if err != nil {
			err = fmt.Errorf("%w\n%s: %s", err, p.name, tail(p.output.Bytes()))
		}
	}
	return o, err
}

// carry starts those that wait, on hosts, then those that are active, lets happen
// what the row says, and returns once those that are active have ended.
func (o *outcome) carry(j *job, s system, waiting []*process, hosts []*lab.Host, active []*process) error {
	if err := startAll(waiting); err != nil {
		return err
	}
	for _, h := range hosts {
		if err := awaitSocket(h); err != nil {
			return err
		}
	}
	o.started = time.Now()
	first, during := active, j.row.during
	if during != nil && during.startsLast {
		first = active[:len(active)-1]
	}
	if err := startAll(first); err != nil {
		return err
	}
	if j.row.readsBack {
		var err error
		if o.readBack, err = awaitReadBack(active[0]); err != nil {
			return err
		}
	}
	if during != nil {
		if err := awaitSent(j, during.at, first); err != nil {
			return err
		}
		if err := during.do(j, s, o); err != nil {
			return err
		}
	}
	for _, p := range active {
		if p.abandoned {
			continue
		}
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

// median takes each figure's own median.
func median(runs []figures) figures {
	var m figures
	values := make([]float64, len(runs))
	for n, to := range m.each() {
		for run := range runs {
			values[run] = *runs[run].each()[n]
		}
		slices.SortFunc(values, cmp.Compare[float64])
		*to = (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return m
}

// each points to all figures, always in the same order.
func (f *figures) each() []*float64 {
	return []*float64{
		&f.wallSeconds, &f.othersSeconds, &f.lastSeconds,
		&f.goodput, &f.toBare, &f.sent,
		&f.startSeconds, &f.endSeconds, &f.rampSeconds, &f.silenceSeconds,
		&f.sentToDiffering, &f.rest, &f.readBack,
		&f.packetsPerMessage, &f.tcpShare, &f.throttledPeriods, &f.packedBytes,
		&f.serverCPUSeconds, &f.clientCPUSeconds, &f.serverPeakBytes, &f.clientPeakBytes,
	}
}
