package multiserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/mxb1"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Constants of the client's driver.
const (
	// receiveTick is how long one wait for packets lasts at most, so that
	// descriptions, time limits and cancellation are seen.
	receiveTick = 50 * time.Millisecond
	// worryTime is how long something may stay away before that is said.
	worryTime = 3 * time.Second
	// confirmInterval is between questions whether the image is still the same.
	confirmInterval = 125 * time.Millisecond
	// Range of the port that is asked from, as the original's.
	minFromPort, maxFromPort = 32767, 65533
)

// Client receives one image. Make it by NewClient.
type Client struct {
	cfg       ClientConfig
	selection target.Selection // of cfg.Target
	id        wire.ReceiverID

	mu      sync.Mutex // guards what follows
	started time.Time
	ended   time.Time // zero while Run runs
	first   time.Time // when the first block arrived
	last    time.Time // when the last one was in
	stats   ClientStats
	plan    Plan // of a dry run
}

// NewClient checks cfg and returns a Client that has opened nothing yet. The error
// wraps ErrConfig and names the field.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, id: wire.ReceiverID(rand.Uint64())}
	if cfg.Target != "" {
		if cfg.Output != "" {
			return nil, fail(ErrConfig, "Target and Output %s exclude each other", cfg.Output)
		}
		var err error
		if c.selection, err = target.ParseSelection(cfg.Target); err != nil {
			return nil, fail(ErrConfig, "Target: %w", err)
		}
	}
	return c, nil
}

// Stats returns the state at this moment.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	st, now := c.stats, time.Now()
	if !c.ended.IsZero() {
		now = c.ended
	}
	if !c.started.IsZero() {
		st.Elapsed = now.Sub(c.started)
	}
	if !c.last.IsZero() {
		now = c.last
	}
	if !c.first.IsZero() {
		st.Streaming = now.Sub(c.first)
	}
	return st
}

// Run finds a server, receives the image, and returns nil once all of it is on the
// target and synced. Otherwise it returns an error that wraps one of the package's,
// or ctx's.
func (c *Client) Run(ctx context.Context) error {
	c.update(func(st *ClientStats) {
		c.started = time.Now()
		*st = ClientStats{Output: c.cfg.Output}
	})
	err := c.run(ctx)
	c.update(func(st *ClientStats) {
		c.ended = time.Now()
		st.WaitingFor = ""
		if err == nil && !c.cfg.DryRun {
			st.Phase = PhaseDone
		}
	})
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (c *Client) update(f func(*ClientStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *Client) run(ctx context.Context) (err error) {
	interfaces, err := candidateInterfaces(c.cfg.Interface, c.cfg.Group)
	if err != nil {
		return err
	}
	// A target that cannot be used is said before a server is troubled.
	if err := c.pickTarget(); err != nil {
		return err
	}
	var out target.Target
	if c.cfg.Output != "" {
		if out, err = c.openTarget(c.cfg.Output); err != nil {
			return err
		}
	}
	defer func() {
		if out != nil {
			if e := out.Close(); err == nil {
				err = e
			}
		}
	}()

	conn, err := c.listen(interfaces)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := udp.ListenGroup(udp.ReceiverConfig{
		Group:      netip.AddrPortFrom(c.cfg.Group, c.cfg.Port),
		Interfaces: interfaces,
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, warning := range conn.Warnings() {
		c.cfg.Log.Debug("control socket", "err", warning)
	}
	for _, warning := range stream.Warnings() {
		c.cfg.Log.Warn("the stream may lose packets here", "err", warning)
	}

	found, err := c.find(ctx, conn, interfaces)
	if err != nil {
		return err
	}
	if out == nil {
		if out, err = c.openTarget(baseName(found.Name)); err != nil {
			return err
		}
	}
	if found.session != nil && c.cfg.Unicast == UnicastNever && !found.session.Data.IsValid() {
		return fail(ErrConfig, "Unicast: %s sends by unicast only", found.server)
	}
	if c.cfg.DryRun {
		return c.makePlan(found, out)
	}
	c.settle(stream, interfaces, found)
	c.update(func(st *ClientStats) {
		st.Protocol = found.protocol()
		st.Phase, st.Name, st.Output, st.SizeBytes = PhaseReceiving, found.Name, out.Name(), found.SizeBytes
		st.Server, st.Interface, st.WaitingFor = found.server, interfaceName(found.ifIndex), ""
	})
	c.cfg.Log.Info(fmt.Sprintf("receiving %s from %s", found.Name, found.server),
		"bytes", found.SizeBytes, "interface", interfaceName(found.ifIndex), "output", out.Name())
	if err := out.Prepare(found.SizeBytes, found.sectorSize()); err != nil {
		return err
	}
	if found.session != nil {
		stream.Close()
		return c.receiveMXB2(ctx, conn, found, out)
	}
	// Without digests, what is verified is that the target holds what was written to it.
	written := &remembering{Target: out}
	to := out
	if c.cfg.Verify {
		to = written
	}
	if c.cfg.Update {
		c.cfg.Log.Warn("an original server sends no digests: all of the image is received", "server", found.server)
	}
	if err := c.receive(ctx, conn, stream, found, to); err != nil {
		return err
	}
	c.update(func(st *ClientStats) { st.Phase = PhaseSyncing })
	written.sort()
	return c.finish(ctx, out, chunkBlocks*mxb1.BlockSize, written.right)
}

func (c *Client) openTarget(path string) (target.Target, error) {
	if c.cfg.Output == "-" {
		return target.NewStream(c.cfg.Stdout, "standard output"), nil
	}
	file, err := target.Open(target.Options{
		Path:     path,
		Served:   c.cfg.Output == "",
		Allocate: c.cfg.Allocate,
		Force:    c.cfg.Force,
	})
	if err != nil {
		return nil, err
	}
	if c.cfg.Verify && !file.Readable() {
		file.Close()
		return nil, fail(ErrTargetRefused, "%s is refused: it may be written but not read, so that it could not be verified", file.Name())
	}
	return file, nil
}

// baseName is the last element of a served name: an original server describes its
// file by the path that it was given.
func baseName(served string) string {
	return served[strings.LastIndexByte(served, '/')+1:]
}

// listen opens the control socket at the port asked for, or at a random one.
func (c *Client) listen(interfaces []udp.Interface) (*udp.Conn, error) {
	cfg := udp.ConnConfig{Interfaces: interfaces, TTL: DefaultTTL}
	all := netip.IPv4Unspecified()
	if c.cfg.Group.Is6() {
		all = netip.IPv6Unspecified()
	}
	port := c.cfg.FromPort
	for tries := 0; ; tries++ {
		if c.cfg.FromPort == 0 {
			port = minFromPort + uint16(rand.IntN(maxFromPort-minFromPort+1))
		}
		cfg.Addr = netip.AddrPortFrom(all, port)
		conn, err := udp.Listen(cfg)
		var inUse *udp.PortInUseError
		if c.cfg.FromPort == 0 && tries < 100 && errors.As(err, &inUse) {
			continue
		}
		return conn, err
	}
}

// settle leaves the group on every interface but the one that the server answered
// on. A server on this very host may be heard on any.
func (c *Client) settle(stream *udp.Receiver, interfaces []udp.Interface, found found) {
	here := isOwn(found.server.Addr(), interfaces)
	known := false
	for _, each := range interfaces {
		if each.Index == found.ifIndex {
			known = true
		}
	}
	if !known && c.cfg.Interface == "" {
		if each, err := udp.InterfaceByName(interfaceName(found.ifIndex)); err == nil {
			if err := stream.Join(each); err != nil {
				c.cfg.Log.Warn("cannot join the group where the server answers", "interface", each.Name, "err", err)
			}
		}
	}
	for _, each := range interfaces {
		if known && !here && each.Index != found.ifIndex {
			if err := stream.Leave(each); err != nil {
				c.cfg.Log.Debug("leave the group", "interface", each.Name, "err", err)
			}
		}
	}
}

// isOwn tells whether addr is this host's.
func isOwn(addr netip.Addr, interfaces []udp.Interface) bool {
	for _, each := range interfaces {
		if each.Owns(addr) {
			return true
		}
	}
	return addr.IsLoopback()
}

// receiving is one reception. Its goroutine owns the engine.
type receiving struct {
	*Client
	conn   *udp.Conn
	stream *udp.Receiver
	iface  udp.Interface // that stream is joined on; its zero if that is not known
	found  found
	engine *mxb1.Receiver
	gather *gatherer

	requests []mxb1.BlockRequest // scratch
	packet   []byte              // scratch
	counts   ClientStats         // figures that are published after each batch
	answers  struct {            // on the control socket, counted by hear
		strangers, bad atomic.Uint64
	}
	conflict netip.AddrPort // one of two sources, once there are two
	again    regrouping
}

// receive takes blocks in until none is missing and all are with the target.
func (c *Client) receive(ctx context.Context, conn *udp.Conn, stream *udp.Receiver, found found, out target.Target) error {
	_, inOrder := out.(*target.Stream)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	r := &receiving{
		Client: c, conn: conn, stream: stream, found: found,
		engine: mxb1.NewReceiver(time.Now(), mxb1.ReceiverConfig{
			SizeBytes:  found.SizeBytes,
			QuietTime:  c.cfg.QuietTime,
			HasTrailer: found.HasTrailer,
			Server:     found.server,
			Seed:       uint64(c.id),
		}),
		gather: newGatherer(out, found.SizeBytes, inOrder),
		counts: ClientStats{BadPackets: c.Stats().BadPackets}, // those of the search
	}
	r.iface, _ = udp.InterfaceByName(cmp.Or(c.cfg.Interface, interfaceName(found.ifIndex)))
	// descriptions go from hear, which closes it, to this goroutine; what finds it
	// full is dropped, as any packet may be.
	descriptions := make(chan mxb1.Description, 8)
	go r.hear(descriptions)
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		r.gather.write(cancel)
	}()

	err := r.loop(ctx, descriptions)
	if err == nil {
		r.gather.flush()
	}
	r.gather.close()
	<-writing
	if err == nil && ctx.Err() != nil { // the last writes failed
		err = context.Cause(ctx)
	}
	conn.Close()
	for range descriptions { // until hear has ended
	}
	return err
}

// hear passes on the server's descriptions until the socket closes.
func (r *receiving) hear(descriptions chan<- mxb1.Description) {
	defer close(descriptions)
	buf := make([]byte, 4096)
	r.conn.SetReadDeadline(time.Time{})
	for {
		n, from, _, err := r.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		h, payload, err := mxb1.Parse(buf[:n])
		if err != nil || h.Op != mxb1.OpDescription {
			r.answers.bad.Add(1)
			continue
		}
		d, err := mxb1.ParseDescription(payload)
		switch {
		case err != nil:
			r.answers.bad.Add(1)
		case from != r.found.server:
			r.answers.strangers.Add(1)
		default:
			select {
			case descriptions <- d:
			default:
			}
		}
	}
}

func (r *receiving) loop(ctx context.Context, descriptions <-chan mxb1.Description) error {
	in := udp.NewBatch()
	for {
		now := time.Now()
		if err := r.poll(ctx, now); err != nil {
			return err
		}
		until := now.Add(receiveTick)
		if d := r.engine.Deadline(); !d.IsZero() && d.Before(until) {
			until = d
		}
		r.stream.SetReadDeadline(until)
		if err := r.stream.Receive(in); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("receive the stream: %w", err)
		}
		now = time.Now()
		// First what confirms the server, then what it sent.
		for confirmed := true; confirmed; {
			select {
			case d, ok := <-descriptions:
				if !ok {
					return errClosed
				}
				if err := r.check(d); err != nil {
					return err
				}
				r.engine.Confirmed(now)
			default:
				confirmed = false
			}
		}
		r.take(now, in.Datagrams())
		if r.conflict.IsValid() {
			return fail(ErrIntegrity, "two senders on %s: give each server a group (-g) or port (-p) of its own; one is %s",
				r.stream.LocalAddr(), r.conflict)
		}
		r.publish()
		if r.engine.Missing() == 0 {
			return r.confirm(ctx, descriptions)
		}
	}
}

// confirm returns once the server has described the same image after the last
// block. One that was killed and started again with another image within the
// silence that the engine tolerates is known only here. An original server gives
// itself away by sending from another port.
func (r *receiving) confirm(ctx context.Context, descriptions <-chan mxb1.Description) error {
	if !r.found.HasTrailer {
		return nil
	}
	var limit <-chan time.Time // nil waits for ever
	if r.cfg.ReceiveTimeout != NoTimeout {
		limit = time.After(r.cfg.ReceiveTimeout)
	}
	again := time.NewTicker(confirmInterval)
	defer again.Stop()
	r.packet = mxb1.AppendMapRequest(r.packet[:0], mxb1.Offer())
	for {
		r.ask()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return fail(ErrTimeLimit, "all blocks are in, but %s does not say any more that they are of one image: it was ended, or the network is interrupted",
				r.found.server)
		case d, ok := <-descriptions:
			if !ok {
				return errClosed
			}
			return r.check(d)
		case <-again.C:
		}
	}
}

// check returns an error if d is of another image than the one that was found.
func (r *receiving) check(d mxb1.Description) error {
	if r.found.same(d) {
		return nil
	}
	if d.Name == r.found.Name && d.SizeBytes == r.found.SizeBytes {
		return fail(ErrIntegrity, "%s now serves another %s than this began with, of the same %d bytes",
			r.found.server, d.Name, d.SizeBytes)
	}
	return fail(ErrIntegrity, "%s now serves %s of %d bytes; this began with %s of %d bytes",
		r.found.server, d.Name, d.SizeBytes, r.found.Name, r.found.SizeBytes)
}

var errClosed = errors.New("the control socket was closed")

// poll does what the engine wants and watches the time limit.
func (r *receiving) poll(ctx context.Context, now time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	silence := now.Sub(r.engine.Heard())
	if r.cfg.ReceiveTimeout != NoTimeout && silence > r.cfg.ReceiveTimeout {
		return fail(ErrTimeLimit, "no block from %s for %s: %s", r.found.server, r.cfg.ReceiveTimeout, r.silenceHint())
	}
	if r.iface.Index != 0 {
		r.regroup(&r.again, r.stream, r.iface, r.engine.Heard())
	}
	if lo, hi, ok := r.gather.window(); ok {
		r.engine.SetWindow(block.Range{Lo: lo, Hi: hi})
	}
	d := r.engine.Deadline()
	if d.IsZero() || now.Before(d) {
		return nil
	}
	actions := r.engine.Poll(now, r.requests)
	r.requests = actions.Requests
	if actions.Describe {
		r.packet = mxb1.AppendMapRequest(r.packet[:0], mxb1.Offer())
		r.ask()
	}
	for _, q := range actions.Requests {
		r.packet = q.AppendTo(r.packet[:0])
		r.ask()
	}
	return nil
}

// ask sends r.packet to the server. A failure is not final: the engine asks again.
func (r *receiving) ask() {
	if err := r.conn.WriteTo(r.packet, r.found.server, r.found.askFrom); err != nil {
		r.cfg.Log.Debug("ask the server", "err", err)
	}
}

// take hands each datagram's block to the engine and its bytes to the gatherer.
func (r *receiving) take(now time.Time, in []udp.Datagram) {
	for _, datagram := range in {
		id, data, err := mxb1.ParseBlock(datagram.Payload)
		if err != nil {
			r.counts.BadPackets++
			continue
		}
		verdict := r.engine.Block(now, datagram.Source, id, len(data))
		switch verdict {
		case mxb1.Invalid:
			r.counts.BadPackets++
			continue
		case mxb1.Stranger:
			r.counts.Strangers++
			continue
		case mxb1.Conflict:
			r.conflict = datagram.Source
			continue
		case mxb1.Unconfirmed:
			continue
		case mxb1.Duplicate:
			r.counts.Duplicates++
		case mxb1.Outside:
			r.counts.MemoryDrops++
		case mxb1.Keep:
			if r.gather.put(uint64(id), data) {
				r.counts.BytesDone += uint64(len(data))
			} else {
				r.engine.MarkMissing(id)
				r.counts.MemoryDrops++
			}
		}
		r.counts.PacketsReceived++
	}
}

// publish makes the figures of this batch visible.
func (r *receiving) publish() {
	silence := time.Since(r.engine.Heard())
	r.update(func(st *ClientStats) {
		if r.counts.PacketsReceived > 0 && r.first.IsZero() {
			r.first = time.Now()
		}
		if r.engine.Missing() == 0 {
			r.last = time.Now()
		}
		st.BytesDone = r.counts.BytesDone
		st.PacketsReceived = r.counts.PacketsReceived
		st.Duplicates = r.counts.Duplicates
		st.Strangers = r.counts.Strangers + r.answers.strangers.Load()
		st.BadPackets = r.counts.BadPackets + r.answers.bad.Load()
		st.MemoryDrops = r.counts.MemoryDrops
		st.SocketDrops = r.stream.Drops()
		st.AskedAgainBytes = r.engine.AskedAgain() * mxb1.BlockSize
		st.WaitingFor = ""
		if silence > worryTime {
			st.WaitingFor = fmt.Sprintf("no block from %s for %s: %s", r.found.server, silence.Round(time.Second), r.silenceHint())
		}
	})
}

// silenceHint names the likely causes of a stream that stays away.
func (r *receiving) silenceHint() string {
	switch {
	case r.counts.PacketsReceived > 0:
		return "the server was ended or its disk is stalled, or the network is interrupted"
	case r.counts.Strangers > 0:
		return "another server sends to the same group: is this the right -g and -p?"
	default:
		return fmt.Sprintf("it answers, but its stream to %s does not arrive: a firewall (UDP port %d, %s), a switch without multicast, or another -g or -p there",
			r.stream.LocalAddr(), r.cfg.Port, membershipProtocol(r.cfg.Group))
	}
}

func (c *ClientConfig) validate() error {
	for _, limit := range []struct {
		name string
		t    *time.Duration
		zero time.Duration
	}{
		{"QuietTime", &c.QuietTime, DefaultQuietTime},
		{"StartTimeout", &c.StartTimeout, DefaultStartTimeout},
		{"ReceiveTimeout", &c.ReceiveTimeout, DefaultReceiveTimeout},
	} {
		if *limit.t == 0 {
			*limit.t = limit.zero
		}
		if *limit.t < 0 && (*limit.t != NoTimeout || limit.name == "QuietTime") {
			return fail(ErrConfig, "%s: %v is negative", limit.name, *limit.t)
		}
	}
	switch {
	case c.Update && c.Fresh:
		return fail(ErrConfig, "Update and Fresh exclude each other")
	case c.Output == "-" && (c.Update || c.Verify):
		return fail(ErrConfig, "Update and Verify read the target, and what went to standard output cannot be read")
	case c.OnlyMXB1 && c.Update:
		return fail(ErrConfig, "Update needs digests, which MXB 1 has not")
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	setLogDefault(&c.Log)
	if err := setGroupDefaults(&c.Group, &c.Port, &c.ControlPort); err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(c.ControlHost); err == nil { // a name is looked up later
		if _, err := controlAddr(addr, c.Group, c.Interface); err != nil {
			return err
		}
	}
	return nil
}
