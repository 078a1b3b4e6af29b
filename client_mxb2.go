package multiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/receiver"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Constants of the client's driver of MXB 2.
const (
	// windowBlocks is how many blocks may be incomplete or on their way to the disk:
	// 64 MiB of the default size.
	windowBytes = 64 << 20
	// busyTick is how long one wait for packets lasts at most while blocks are being
	// rebuilt or written, whose end nothing else tells.
	busyTick = 2 * time.Millisecond
	// maxJoined is how many packets the kernel joins to one datagram, at most, which it
	// then drops as one (net/ipv4/udp_offload.c, UDP_GRO_CNT_MAX).
	maxJoined = 64
	// rejoinAfter is the silence after which the server is asked for its session
	// again, and for how long each time.
	rejoinAfter = time.Second
	// goodbyeTime is how long the server may take to acknowledge a goodbye; how the
	// client ends does not depend on it.
	goodbyeTime = 2 * time.Second
)

// symbolClient receives over MXB 2. The goroutine of loop owns the engine; solve
// rebuilds and verifies blocks, and write writes them.
type symbolClient struct {
	*Client
	conn   *udp.Conn
	stream *udp.Receiver // nil from the beginning if all comes by unicast
	iface  udp.Interface // that stream is joined on
	found  found
	origin time.Time
	out    target.Target

	engine  *receiver.Engine
	session wire.Description
	slots   []slot
	inOrder bool

	// toSolve goes from loop to solve, toWrite from loop to write, and loop closes
	// both; done from both back to loop. Each has room for all slots; runs of zeros
	// wait in pendingZeros until there is room for them.
	toSolve chan int
	toWrite chan writeJob
	done    chan event

	manifestBytes []byte
	manifestLeft  uint32 // blocks of it that are to come
	manifest      *codec.Manifest
	digests       []codec.Digest // of the image's blocks that are verified
	known         *block.Set     // those blocks
	zeroed        *block.Set     // blocks that a run made zeros before there was a manifest
	solving       int            // slots and runs with the other goroutines

	counts  ClientStats
	answers struct { // on the control socket, counted by hear
		strangers, bad atomic.Uint64
	}
	arrived    time.Time        // what is taken in now
	heard      time.Time        // the last packet of the session
	answered   time.Time        // when the server last said that the session is on
	streamed   time.Time        // the last symbol
	droppedAt  time.Time        // when the own socket last had no room
	state      wire.SenderState // of the last heartbeat
	probes     probes
	trainAsked time.Time

	// byUnicast: the stream comes to conn, and from there through direct, in which what
	// finds no room is lost. renewed is when that was last asked for.
	byUnicast   bool
	wantsDirect atomic.Bool
	direct      chan []byte
	directDrops atomic.Uint64
	renewed     time.Time
	switched    time.Time // from the group to unicast, or back
	inbox       [][]byte
	asked       time.Time // when the session was last asked for
	again       regrouping
	packet      []byte
	runs        []block.Range
	// zeros are runs that write has not been handed yet, besides those under way.
	zeros         []block.Range
	zerosUnderWay int
	checks        checking
	// compares is how many blocks write still holds against what the target has at their
	// places, because there is no manifest to sample by. write owns it.
	compares int
	leaving  bool
	over     bool // the server said that the session is
}

// slot is the memory of one block of the engine's window.
type slot struct {
	buf     []byte // K whole symbols
	decoder fec.Decoder
	object  wire.Object
	id      block.ID
	plain   []byte // once verified, of buf
	digest  codec.Digest
}

// writeJob is what write writes: a slot's block or a run of zero blocks.
type writeJob struct {
	slot  int // -1: zeros
	zeros block.Range
}

// event is what became of a slot or a run of zeros.
type event struct {
	slot     int // -1: zeros
	zeros    uint32
	kind     eventKind
	more     int // symbols, if singular
	position uint32
	check    *checkResult // if checked
}

type eventKind int

const (
	singular eventKind = iota
	verified
	damaged
	written
	reached // of a target in order: position
	checked // what the target holds: check
	there   // the target held a block already, which came in vain
)

// receiveMXB2 takes the image in and says goodbye.
func (c *Client) receiveMXB2(ctx context.Context, conn *udp.Conn, found found, out target.Target) error {
	iface, err := udp.InterfaceByName(udp.InterfaceName(found.ifIndex))
	if err != nil {
		return err
	}
	old := c.settleTarget(out) // before the clocks start: it may outlast their limits
	var stream *udp.Receiver
	byUnicast := c.cfg.Unicast == UnicastAlways || !found.session.Data.IsValid()
	if !byUnicast {
		stream, err = udp.ListenGroup(udp.ReceiverConfig{Group: found.session.Data, Interfaces: []udp.Interface{iface}})
		if err != nil {
			return err
		}
		defer stream.Close()
	}
	g := found.session.Geometry
	window := max(4, min(windowBytes/int(g.BlockSize), int(g.BlockCount())+4))
	_, inOrder := out.(*target.Stream)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &symbolClient{
		Client: c, conn: conn, stream: stream, iface: iface, found: found, out: out,
		origin: time.Now(), heard: time.Now(), answered: time.Now(), streamed: time.Now(), session: *found.session,
		direct: make(chan []byte, directQueueLen),
		slots:  make([]slot, window), inOrder: inOrder,
		toSolve: make(chan int, window),
		toWrite: make(chan writeJob, 2*window),
		done:    make(chan event, 4*window),
		digests: make([]codec.Digest, g.BlockCount()),
		known:   block.NewSet(uint64(g.BlockCount())),
		zeroed:  block.NewSet(uint64(g.BlockCount())),
		counts:  ClientStats{BadPackets: c.Stats().BadPackets}, // those of the search
	}
	limit := c.cfg.ReceiveTimeout
	if limit == NoTimeout {
		limit = 0
	}
	s.engine = receiver.New(0, receiver.Config{
		Receiver: c.id, Image: g, SymbolSize: found.session.SymbolSize, Window: window, InOrder: inOrder,
		SilenceLimit: limit, Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Subblocks: true,
	}, sessionOf(found.session))
	s.learn()
	s.beginUpdate(old)
	if byUnicast {
		s.goUnicast()
	}

	// answers go from hear, which closes it, to loop; what finds it full is dropped.
	answers := make(chan wire.Description, 8)
	go s.hear(answers, cancel)
	var work sync.WaitGroup
	work.Go(s.solve)
	work.Go(func() { s.write(cancel) })
	if s.checks.file != nil {
		for range checkers {
			work.Go(s.check)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work.Wait()
	}()

	err = s.loop(ctx, answers)
	if err == nil {
		c.update(func(st *ClientStats) { st.Phase = PhaseSyncing })
		err = s.sync(ctx, answers)
	}
	close(s.toSolve)
	close(s.toWrite)
	if s.checks.file != nil {
		close(s.checks.jobs)
	}
	for over := false; !over; { // what the others still tell is of no use
		select {
		case <-s.done:
		case <-ended:
			over = true
		}
	}
	s.goodbye(err, answers)
	conn.Close()
	for range answers { // until hear has ended
	}
	return err
}

func sessionOf(d *wire.Description) receiver.Session {
	return receiver.Session{ID: d.Session, ReportInterval: d.ReportInterval, Receivers: d.Receivers, Completion: d.Completion}
}

func (s *symbolClient) now() time.Duration { return time.Since(s.origin) }

// hear passes on the server's descriptions until the socket closes. Another server's, of
// another image, that answers this client's own offer ends a client that was told no
// host, by fail.
func (s *symbolClient) hear(answers chan<- wire.Description, fail func(error)) {
	defer close(answers)
	buf := make([]byte, wire.MaxPacketSize)
	s.conn.SetReadDeadline(time.Time{})
	for {
		n, from, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if from == s.found.server && s.wantsDirect.Load() {
			if kind, _, err := wire.Peek(buf[:n]); err == nil && kind != wire.TypeDescription {
				select {
				case s.direct <- bytes.Clone(buf[:n]):
				default:
					s.directDrops.Add(1)
				}
				continue
			}
		}
		f, err := s.parseAnswer(buf[:n])
		switch {
		case err != nil:
			s.answers.bad.Add(1)
		case f.session == nil || from != s.found.server:
			s.answers.strangers.Add(1)
			if f.server = from; f.session != nil && s.cfg.ControlHost == "" && from != s.found.server && !s.found.same(f.Description) && time.Since(s.origin) < lateGrace {
				fail(s.found.rivals(&f))
			}
		default:
			select {
			case answers <- *f.session:
			default:
			}
		}
	}
}

// loop runs until every block is written and the manifest agrees.
func (s *symbolClient) loop(ctx context.Context, answers <-chan wire.Description) error {
	in := udp.NewBatch()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.step(in, answers); err != nil {
			return err
		}
		if s.engine.Complete() && s.solving == 0 {
			if ctx.Err() != nil { // the last write failed
				return context.Cause(ctx)
			}
			s.counts.BytesDone = s.session.Geometry.ImageSize
			s.publish()
			return nil
		}
	}
}

// step waits for packets, or what else there is to do, and does it.
func (s *symbolClient) step(in *udp.Batch, answers <-chan wire.Description) error {
	if err := s.drain(answers); err != nil {
		return err
	}
	s.handChecks()
	s.say()
	wait := receiveTick
	if s.solving > 0 || s.leaving || s.checks.underWay > 0 {
		wait = busyTick
	}
	wait = min(wait, max(s.engine.Deadline()-s.now(), 0), s.probes.due(time.Now()))
	if wait > 0 {
		if err := s.receive(in, wait); err != nil {
			return err
		}
		now := s.arrived.Sub(s.origin)
		for _, packet := range s.inbox {
			s.take(now, packet)
		}
	}
	s.noteDrops()
	s.publish()
	if outcome, reason, ok := s.engine.GaveUp(); ok {
		return s.gaveUp(outcome, reason)
	}
	return s.lookAtSize()
}

// noteDrops tells the engine what the own socket had no room for.
func (s *symbolClient) noteDrops() {
	drops, joined := s.directDrops.Load(), uint64(1)
	if s.stream != nil {
		drops += s.stream.Drops()
	}
	if !s.byUnicast {
		joined = maxJoined
	}
	if more := drops - s.counts.SocketDrops; more > 0 {
		s.counts.SocketDrops, s.droppedAt = drops, time.Now()
		s.engine.SocketDropped(more * joined)
	}
}

// receive waits for packets, and puts what has come into inbox until the next call.
func (s *symbolClient) receive(in *udp.Batch, wait time.Duration) error {
	s.inbox = s.inbox[:0]
	if s.byUnicast {
		s.receiveDirect(wait)
		s.arrived = time.Now()
		return nil
	}
	s.stream.SetReadDeadline(time.Now().Add(wait))
	err := s.stream.Receive(in)
	s.arrived = time.Now()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("receive the stream: %w", err)
	}
	for _, datagram := range in.Datagrams() {
		s.inbox = append(s.inbox, datagram.Payload)
	}
	return nil
}

// drain takes in what the other goroutines have to tell.
func (s *symbolClient) drain(answers <-chan wire.Description) error {
	for {
		select {
		case e := <-s.done:
			if err := s.happened(e); err != nil {
				return err
			}
		case d, ok := <-answers:
			if !ok {
				return errClosed
			}
			if err := s.rejoin(d); err != nil {
				return err
			}
		default:
			if time.Since(s.heard) > rejoinAfter && time.Since(s.asked) > rejoinAfter {
				s.askAgain()
			}
			if !s.byUnicast {
				s.regroup(&s.again, s.stream, s.iface, s.heard)
			}
			s.keepUnicast()
			return nil
		}
	}
}

// askAgain asks for the session: the server may have been started again.
func (s *symbolClient) askAgain() {
	s.asked = time.Now()
	s.packet = s.appendOffer(s.packet[:0], int(s.session.SymbolSize)+wire.SymbolHeaderSize+udp.HeaderBytes(s.cfg.Group))
	if err := s.conn.WriteTo(s.packet, s.found.server, s.found.askFrom); err != nil {
		s.cfg.Log.Debug("ask the server", "err", err)
	}
}

// rejoin goes on in the session that the server describes now.
func (s *symbolClient) rejoin(d wire.Description) error {
	if d.Identity != s.session.Identity || d.Geometry != s.session.Geometry {
		s.over = true
		return fail(ErrIntegrity, "%s now serves %s of %d bytes; this began with another image, %s of %d bytes",
			s.found.server, d.FileName, d.Geometry.ImageSize, s.session.FileName, s.session.Geometry.ImageSize)
	}
	s.answered = time.Now()
	if d.Session == s.session.Session {
		s.session.Token = d.Token
		return nil
	}
	if d.SymbolSize != s.session.SymbolSize || d.Data != s.session.Data {
		return fmt.Errorf("%s was started again with other settings of its network: start this client again", s.found.server)
	}
	s.cfg.Log.Info("the server was started again; going on")
	if d.Completion.ManifestSize == 0 { // it is the same image
		d.Completion = s.session.Completion
	}
	s.session = d
	s.engine.Restart(s.now(), sessionOf(&d))
	s.dropPieces()
	s.learn()
	s.heard = time.Now()
	return nil
}

// say sends what the engine wants said.
func (s *symbolClient) say() {
	for {
		packet, ok := s.engine.Poll(s.now(), s.packet[:0])
		s.packet = packet
		if !ok {
			break
		}
		s.tell(packet)
	}
	if r, due := s.probes.report(time.Now()); due {
		r.Session, r.Receiver = s.session.Session, s.id
		s.tell(r.AppendTo(nil))
	}
}

// tell sends a packet to the server.
func (s *symbolClient) tell(packet []byte) {
	if err := s.conn.WriteTo(packet, s.found.server, s.found.askFrom); err != nil {
		s.cfg.Log.Debug("tell the server", "err", err)
	}
}

// take takes in one packet of the data group.
func (s *symbolClient) take(now time.Duration, b []byte) {
	var y wire.Symbol
	if wire.ParseSymbol(b, &y) == nil {
		if y.Session != s.session.Session {
			s.stranger()
			return
		}
		if !wire.Intact(b) {
			s.counts.BadPackets++
			return
		}
		s.heard = s.arrived
		s.takeSymbol(now, &y)
		return
	}
	kind, session, err := wire.Peek(b)
	if err == nil && session != s.session.Session {
		s.stranger()
		return
	}
	switch kind {
	case wire.TypeZeroRun:
		var z wire.ZeroRun
		if z, err = wire.ParseZeroRun(b); err == nil && s.manifest != nil && !s.areZeros(z) {
			err = wire.ErrBounds
		}
		if err == nil {
			s.runs = s.engine.HandleZeroRun(now, &z, s.runs[:0])
			for _, run := range s.runs {
				s.takeZeros(run)
			}
		}
	case wire.TypeRepairAdv:
		var o wire.RepairAdv
		if o, err = wire.ParseRepairAdv(b); err == nil {
			s.engine.HandleRepairAdv(now, o)
		}
	case wire.TypeHeartbeat:
		var h wire.Heartbeat
		if h, err = wire.ParseHeartbeat(b); err == nil {
			if s.session.Completion.ManifestSize == 0 { // an old one that comes again knows less
				s.session.Completion = h.Completion
			}
			s.engine.HandleHeartbeat(now, h)
			s.probes.beat(h.Sequence)
			s.state = h.State
			s.over = h.State >= wire.SenderImageChanged
			s.learn()
		}
	case wire.TypeGoodbyeAck:
		var a wire.GoodbyeAck
		if a, err = wire.ParseGoodbyeAck(b); err == nil {
			s.engine.HandleGoodbyeAck(now, a)
		}
	case wire.TypeProbe:
		var p wire.Probe
		if p, err = wire.ParseProbe(b); err == nil {
			s.probes.hear(s.arrived, p)
		}
	case wire.TypeSubblockDigests:
		var p wire.SubblockDigests
		if p, err = wire.ParseSubblockDigests(b); err == nil {
			s.takePieces(p)
		}
	case wire.TypeDescription:
		return // the announcement of this very session
	default:
		err = wire.ErrType
	}
	if err != nil {
		s.counts.BadPackets++
		return
	}
	s.heard = s.arrived
}

// stranger counts a packet of another session; if ours is silent, it may be the one
// that follows.
func (s *symbolClient) stranger() {
	s.counts.Strangers++
	if time.Since(s.heard) > rejoinAfter/4 && time.Since(s.asked) > rejoinAfter/4 {
		s.askAgain()
	}
}

// takeSymbol puts a symbol where the engine wants it.
func (s *symbolClient) takeSymbol(now time.Duration, y *wire.Symbol) {
	size := int(s.session.SymbolSize)
	if len(y.Data) != size && (len(y.Data) > size || int(y.Symbol) != int(y.K)-1) {
		s.counts.BadPackets++
		return
	}
	t := s.engine.HandleSymbol(now, y)
	s.counts.PacketsReceived++
	s.streamed = s.arrived
	switch t.Verdict {
	case receiver.Duplicate:
		s.counts.Duplicates++
		return
	case receiver.NoRoom:
		s.counts.MemoryDrops++
		return
	case receiver.Invalid:
		s.counts.BadPackets++
		return
	}
	p := &s.slots[t.Slot]
	if t.First {
		s.openSlot(p, y.Object, y.Block, y.K)
	}
	s.add(p, fec.SymbolID(y.Symbol), y.Data)
	if t.Complete {
		s.solving++
		s.toSolve <- t.Slot
	}
}

// openSlot begins a block of k source symbols, which the engine has checked.
func (s *symbolClient) openSlot(p *slot, object wire.Object, id block.ID, k uint16) {
	size := int(s.session.SymbolSize)
	p.object, p.id = object, id
	whole := int(k) * size
	if cap(p.buf) < whole {
		p.buf = make([]byte, max(whole, int(s.session.Geometry.BlockSize)+codec.HeaderSize+size))
	}
	p.buf = p.buf[:whole]
	if err := p.decoder.Reset(p.buf, size); err != nil {
		panic(fmt.Sprintf("multiserver: K of %d: %v", k, err))
	}
}

// add puts a symbol, whose size was checked, into a block.
func (s *symbolClient) add(p *slot, id fec.SymbolID, data []byte) {
	if _, err := p.decoder.Add(id, data); err != nil {
		panic(fmt.Sprintf("multiserver: symbol of %d bytes: %v", len(data), err))
	}
}

// areZeros tells whether the manifest says so too.
func (s *symbolClient) areZeros(z wire.ZeroRun) bool {
	for id := uint64(z.First); id < min(uint64(z.First)+uint64(z.Count), uint64(s.session.Geometry.BlockCount())); id++ {
		if !s.manifest.IsZeroBlock(uint32(id)) {
			return false
		}
	}
	return true
}

// takeZeros hands on a run of zero blocks. Until the manifest came, they are on trust.
func (s *symbolClient) takeZeros(run block.Range) {
	if s.manifest == nil {
		s.zeroed.Add(run)
	}
	s.solving++
	s.zeros = append(s.zeros, run)
	s.handZeros()
}

// handZeros hands write as many runs of zeros as leave room for every slot.
func (s *symbolClient) handZeros() {
	for len(s.zeros) > 0 && s.zerosUnderWay < len(s.slots) {
		s.toWrite <- writeJob{slot: -1, zeros: s.zeros[0]}
		s.zeros = s.zeros[1:]
		s.zerosUnderWay++
	}
}

// happened takes in what became of a slot or a run.
func (s *symbolClient) happened(e event) error {
	now := s.now()
	switch {
	case e.kind == checked:
		s.checkedRun(e.check)
	case e.kind == there:
		if !s.checks.doubting {
			s.cfg.Log.Info(heldAlready, "output", s.out.Name())
			s.doubt()
		}
	case e.kind == reached:
		s.engine.PrefixWritten(now, e.position)
	case e.slot < 0:
		s.solving--
		s.zerosUnderWay--
		s.engine.ZerosWritten(e.zeros)
		s.handZeros()
	case e.kind == singular:
		s.solving--
		s.engine.BlockNeedsMore(now, e.slot, e.more)
	case e.kind == damaged:
		s.solving--
		s.engine.BlockFailed(now, e.slot)
	case e.kind == verified:
		return s.verify(&s.slots[e.slot], e.slot)
	case e.kind == written:
		s.solving--
		s.engine.BlockWritten(now, e.slot)
	}
	return nil
}

// verify holds a block's digest against the manifest, if that is there already, and
// lets the block be written.
func (s *symbolClient) verify(p *slot, at int) error {
	s.engine.BlockVerified(at)
	if p.object == wire.Manifest {
		g := block.Geometry{ImageSize: uint64(len(s.manifestBytes)), BlockSize: s.session.Geometry.BlockSize}
		copy(s.manifestBytes[g.Offset(p.id):], p.plain)
		s.solving--
		s.engine.BlockWritten(s.now(), at)
		if s.manifestLeft--; s.manifestLeft == 0 {
			return s.checkManifest()
		}
		return nil
	}
	id := uint64(p.id)
	if s.manifest != nil && s.manifest.Digest(uint32(id)) != p.digest {
		return s.notTheImage(uint32(id))
	}
	s.digests[id] = p.digest
	s.known.Add(block.Range{Lo: id, Hi: id + 1})
	s.toWrite <- writeJob{slot: at}
	return nil
}

func (s *symbolClient) notTheImage(id uint32) error {
	return fail(ErrIntegrity, "block %d is not what the manifest of %s says: the image changed while it was served", id, s.session.FileName)
}

// learn makes room for the manifest once its size is known.
func (s *symbolClient) learn() {
	size := s.session.Completion.ManifestSize
	sizes := codec.Sizes(s.session.Geometry)
	if s.manifestBytes != nil || size < sizes.MinManifestSize() || size > sizes.MaxManifestSize() {
		return
	}
	s.manifestBytes = make([]byte, size)
	s.manifestLeft = block.Geometry{ImageSize: size, BlockSize: s.session.Geometry.BlockSize}.BlockCount()
}

// eachOf calls f with each block of a set, until one fails.
func eachOf(set *block.Set, f func(id uint32) error) error {
	for at := uint64(0); ; {
		run, ok := set.Next(at)
		if !ok {
			return nil
		}
		for at = run.Lo; at < run.Hi; at++ {
			if err := f(uint32(at)); err != nil {
				return err
			}
		}
	}
}

// checkManifest holds all that was verified so far against the whole.
func (s *symbolClient) checkManifest() error {
	m, err := codec.ParseManifest(s.manifestBytes, codec.Sizes(s.session.Geometry))
	if err != nil {
		return fail(ErrIntegrity, "the manifest of %s: %w", s.session.FileName, err)
	}
	if m.ImageDigest() != codec.Digest(s.session.Completion.ImageDigest) {
		return fail(ErrIntegrity, "the manifest of %s is not that of the session", s.session.FileName)
	}
	err = eachOf(s.zeroed, func(id uint32) error {
		if !m.IsZeroBlock(id) {
			return s.notTheImage(id)
		}
		return nil
	})
	if err == nil {
		err = eachOf(s.known, func(id uint32) error {
			if m.Digest(id) != s.digests[id] {
				return s.notTheImage(id)
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	s.manifest = m
	s.judgeRead()
	s.sample()
	return nil
}

// sync waits for the disk, verifies what is on it if that is asked for, and keeps
// reporting meanwhile.
func (s *symbolClient) sync(ctx context.Context, answers <-chan wire.Description) error {
	synced := make(chan error, 1)
	step := uint64(s.session.Geometry.BlockSize) // rejoin changes session meanwhile
	go func() {
		synced <- s.finish(ctx, s.out, step, func(off uint64, p []byte) bool {
			return codec.Sum(p) == s.manifest.Digest(uint32(off/step))
		})
	}()
	in := udp.NewBatch()
	s.leaving = true
	for {
		select {
		case err := <-synced:
			return err
		default:
			// What the server says now changes nothing.
			_ = s.step(in, answers)
		}
	}
}

// goodbye tells the server how it ended, until that is acknowledged or given up.
func (s *symbolClient) goodbye(err error, answers <-chan wire.Description) {
	outcome, reason := outcomeOf(err)
	s.engine.Leave(s.now(), outcome, string(wire.Text(reason)))
	in := udp.NewBatch()
	s.leaving = true
	for limit := time.Now().Add(goodbyeTime); !s.engine.Gone() && time.Now().Before(limit) && !s.over; {
		s.say()
		if s.receive(in, min(busyTick, max(s.engine.Deadline()-s.now(), time.Microsecond))) != nil {
			return
		}
		for _, packet := range s.inbox {
			if a, err := wire.ParseGoodbyeAck(packet); err == nil && a.Session == s.session.Session {
				s.engine.HandleGoodbyeAck(s.now(), a)
			}
		}
	}
}

// outcomeOf puts an error into the goodbye's terms.
func outcomeOf(err error) (wire.Outcome, string) {
	switch {
	case err == nil:
		return wire.OutcomeDone, ""
	case errors.Is(err, context.Canceled):
		return wire.OutcomeInterrupted, "ended by its user"
	case errors.Is(err, ErrTimeLimit):
		return wire.OutcomeTimeLimit, err.Error()
	case errors.Is(err, ErrIntegrity):
		return wire.OutcomeIntegrity, err.Error()
	case errors.Is(err, ErrTargetRefused):
		return wire.OutcomeTargetRefused, err.Error()
	case errors.Is(err, ErrTargetIO):
		return wire.OutcomeTargetIO, err.Error()
	case errors.Is(err, errPacketSize):
		return wire.OutcomePath, err.Error()
	}
	return wire.OutcomeFailed, err.Error()
}

// gaveUp puts the engine's reason into an error.
func (s *symbolClient) gaveUp(o wire.Outcome, reason string) error {
	switch o {
	case wire.OutcomeTimeLimit:
		return fail(ErrTimeLimit, "nothing from %s for %s: %s", s.found.server, s.cfg.ReceiveTimeout, s.silenceHint())
	case wire.OutcomeIntegrity:
		return fail(ErrIntegrity, "%s from %s: %s", s.session.FileName, s.found.server, reason)
	}
	return fmt.Errorf("%s from %s: %s", s.session.FileName, s.found.server, reason)
}

// publish makes the figures visible.
func (s *symbolClient) publish() {
	g := s.session.Geometry
	waiting := s.silence()
	s.update(func(st *ClientStats) {
		if s.counts.PacketsReceived > 0 && s.first.IsZero() {
			s.first = time.Now()
		}
		if s.engine.Missing() == 0 && s.last.IsZero() {
			s.last = time.Now()
		}
		st.BytesDone = min(uint64(s.engine.BlocksDone())*uint64(g.BlockSize), g.ImageSize)
		st.BytesKept = s.counts.BytesKept
		st.PacketsReceived = s.counts.PacketsReceived
		st.Duplicates = s.counts.Duplicates
		st.Strangers = s.counts.Strangers + s.answers.strangers.Load()
		st.BadPackets = s.counts.BadPackets + s.answers.bad.Load()
		st.MemoryDrops = s.counts.MemoryDrops
		st.SocketDrops = s.counts.SocketDrops
		st.WaitingFor = waiting
	})
}
