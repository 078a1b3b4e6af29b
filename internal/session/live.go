package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/codec"
	"multiserver/internal/congestion"
	"multiserver/internal/failure"
	"multiserver/internal/guard"
	"multiserver/internal/image"
	"multiserver/internal/memory"
	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// gateTick is how often the session checks whether the stream may begin.
	gateTick = 5 * time.Millisecond
	// lingerTime is how long the session stays when all are done: a receiver repeats its
	// goodbye if the acknowledgement is lost.
	lingerTime = 500 * time.Millisecond
	// longestLinger is how long those that ask anew keep it, and then do not join.
	longestLinger = 3 * time.Second
	// otherTrains is how often hosts that have not proved their address get a train of probes.
	otherTrains = 2 * time.Second
	// fitEvery is how often the memory is looked at.
	fitEvery = time.Second
	// lastWords is how often the end of a session is announced.
	lastWords = 3
)

// live is a session from the first offer on, when the size of packets is known.
type live struct {
	cfg *Config
	facts
	board   *board
	busy    *atomic.Bool // the session's
	streams *streams
	store   *blockstore.Store
	pace    *pace
	compose *composer
	proofs  proofBudget

	packetSize int // bytes of a full packet

	numbers *guard.Numbers
	answers guard.Answers
	links   udp.Links

	emptyAt   time.Time     // since when nobody is unfinished, or asks
	doneAt    time.Time     // since when nobody is unfinished
	inVain    int           // unfinished receivers that nobody waits for
	noticedAt time.Duration // when twins were last told
	trainAt   time.Duration // when the last train of probes went out
	fittedAt  time.Duration // when the memory was last looked at
	stalled   bool          // reading the image takes long, and that was said
	ahead     []sender.Ref  // scratch
}

// newLive makes the engine and the store, for packets that fill the MTU of the interface
// that the first offer came in on.
func newLive(cfg *Config, f facts, b *board, busy *atomic.Bool, ifIndex int) (*live, error) {
	if cfg.Interface != 0 {
		ifIndex = cfg.Interface
	}
	symbolSize, err := symbolSizeOn(cfg, ifIndex)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	l := &live{cfg: cfg, facts: f, board: b, busy: busy, numbers: guard.NewNumbers()}
	packetSize := wire.SymbolHeaderSize + int(symbolSize)
	packetBits := float64(8 * udp.PacketWireBytes(cfg.Group, packetSize))
	symbols := float64(codec.HeaderSize+int(f.geometry.BlockSize)) / float64(symbolSize)
	l.packetSize = packetSize
	l.streams = newStreams(cfg, congestion.Config{
		PacketBits: packetBits, BlockBits: symbols * packetBits, PacketSize: packetSize,
	}, &l.facts, secret, b.setNetworks)
	l.store, err = blockstore.New(blockstore.Config{
		Source: cfg.Source, Geometry: f.geometry, SymbolSize: symbolSize, CacheFolder: cfg.CacheFolder, Expected: cfg.SignedDigest,
		Compress: cfg.Compress,
		Ready:    l.streams.ready,
		Zero:     l.streams.zero,
		Complete: func(c wire.Completion) { l.streams.complete(l.now(), c) },
		Log:      cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	if _, text := l.store.FitMemory(memory.Available()); text != "" {
		cfg.Log.Warn(text)
	}
	l.streams.setInterleave(l.store.Interleave())
	if err := l.streams.addNetwork(f.now(), ifIndex); err != nil {
		return nil, err
	}
	l.streams.complete(f.now(), l.store.Completion())
	l.pace = newPace(cfg, f.id, packetSize, packetBits, l.streams.group.queue.Paced())
	l.compose = &composer{
		session: f.id, symbolSize: int(symbolSize), group: cfg.Group,
		store: l.store, streams: l.streams,
	}
	l.streams.setGate(f.now(), true, false)
	// Clients of an earlier session learn of the new one at once.
	l.streams.group.send(l.announcement(), cfg.Log)
	return l, nil
}

// symbolSizeOn is the size of symbols whose packets fill the MTU on an interface.
func symbolSizeOn(cfg *Config, ifIndex int) (uint16, error) {
	mtu := DefaultMTU
	if each, err := udp.InterfaceByName(udp.InterfaceName(ifIndex)); err == nil {
		mtu = min(mtu, each.MTU)
		if cfg.MTU != 0 {
			mtu = min(cfg.MTU, each.MTU)
		}
	}
	size, err := wire.SymbolSizeFor(mtu - udp.HeaderBytes(cfg.Group))
	if err != nil {
		return 0, fmt.Errorf("send packets for an MTU of %d: %w", mtu, err)
	}
	return size, nil
}

// announcement tells that there is a session.
func (l *live) announcement() []byte { return l.description().AppendTo(nil) }

// describe is the answer to a receiver at an address whose offer came in by an interface. The
// session's private number is told only to a receiver whose offer is private.
func (l *live) describe(receiver wire.ReceiverID, to netip.AddrPort, ifIndex int, private bool) []byte {
	if l.cfg.Interface != 0 {
		ifIndex = l.cfg.Interface
	}
	st := l.streams.of(receiver)
	engine := st.engine
	d := l.description()
	if st.raw {
		d.Codecs, d.Data = 1<<codec.Raw, l.rawData
	}
	d.Receiver, d.Token = receiver, l.streams.peers.Token(receiver, to)
	d.Answer = wire.Answer{
		Given: true, State: engine.State(), Sequence: engine.Sequence(), Source: l.cfg.Conn.Source(d.Data.Addr(), ifIndex),
	}
	if private {
		d.Answer.Private, d.Answer.Proof = l.streams.peers.Private(receiver), l.streams.peers.Proof(receiver, to)
		l.board.notice(receiver, &d)
	}
	return d.AppendTo(nil)
}

// describeTaken is the answer to a receiver whose number another address has proved.
func (l *live) describeTaken(receiver wire.ReceiverID, in packet) []byte {
	d := l.description()
	d.Receiver, d.Token = receiver, l.streams.peers.Token(receiver, in.From)
	d.Answer = wire.Answer{Given: true, State: l.streams.group.engine.State(), Sequence: l.streams.group.engine.Sequence(), Notice: wire.NumberTaken}
	return d.AppendTo(nil)
}

// description is what all receivers are told of the session.
func (l *live) description() wire.Description {
	d := wire.Description{
		Session:        l.id,
		Codecs:         1 << codec.Raw,
		Geometry:       l.geometry,
		Identity:       l.identity,
		Data:           l.data,
		SymbolSize:     uint16(l.compose.symbolSize),
		Completion:     l.store.Completion(),
		ReportInterval: l.streams.group.engine.Interval(),
		Receivers:      uint32(l.streams.unfinished()),
		SectorSize:     l.sectorSize,
		FileName:       []byte(wire.FileName(l.cfg.Source.Name())),
		Format:         l.format,
		LeastDiskSize:  l.leastDisk,
	}
	if l.store.Coded() {
		d.Codecs = codec.Decodable
	}
	if l.cfg.Unicast == routes.Always {
		d.Data = netip.AddrPort{}
	}
	return d
}

// isBusy reports whether the stream has begun and has receivers: MXB 1 then gets less.
func (l *live) isBusy() bool { return !l.pace.closed && l.streams.unfinished() > 0 }

// step does what is due. It returns how long nothing will be due unless something comes in; 0
// if there is more to send.
func (l *live) step() (wait time.Duration, err error) {
	l.tick()
	l.busy.Store(l.isBusy())
	if l.isOver() {
		return 0, l.verdict()
	}
	l.hurry()
	if !l.store.Full() {
		l.ahead = l.streams.upcoming(l.ahead[:0], l.store.Ahead())
		l.store.ReadAhead(l.ahead, l.compose.idle)
	}
	filled, err := l.compose.next(l.now())
	if err != nil || filled {
		return 0, err
	}
	wait = rateInterval
	if l.streams.unfinished() > 0 && !l.pace.closed {
		wait = pollInterval
	}
	if l.compose.idle { // else what is due waits for a batch that comes back
		wait = min(wait, l.streams.deadline()-l.now())
	}
	if l.pace.closed {
		wait = min(wait, gateTick)
	}
	return max(wait, 1), nil // incoming packets go first, whatever is overdue
}

// hurry does not let a stream wait for the compression of its next block.
func (l *live) hurry() {
	if !l.store.Compressing() || l.pace.closed {
		return
	}
	for _, st := range l.streams.all {
		if underWay, waits := st.engine.Waits(); waits && !st.raw {
			l.ahead = st.engine.Upcoming(l.ahead[:0], l.store.Ahead())
			l.store.Hurry(l.ahead, underWay)
		}
	}
}

// tick opens the gate when the receivers that the stream waits for have come and probes
// are answered, and lets the controllers decide. Each rateInterval it does what need not be
// done at once: it measures what was sent, and drops who and what has gone silent.
func (l *live) tick() {
	now := l.now()
	if l.pace.closed {
		if l.pace.openGate(now, l.streams.receivers(), l.board.refused()) {
			l.sendTrain(now)
		}
		if !l.pace.closed {
			l.beginEncoding(now)
		}
	}
	l.streams.setGate(now, l.pace.closed, l.pace.prober.Unreached())
	l.streams.poll(now)
	since, due := l.pace.due()
	if !due {
		return
	}
	for _, st := range l.streams.all {
		st.measure(since)
	}
	l.streams.lapse(now)
	l.numbers.Retain(l.streams.knows)
	l.fitMemory(now)
	l.warnOfStall()
	if l.pace.prober.SeekDue(now, l.streams.group.engine.Receivers()) {
		l.sendTrain(now)
	}
	limit, reason := l.streams.shownRate()
	l.board.setRate(!l.pace.gate.Opened(), limit, reason)
	l.board.endSilent(l.streams.knows)
	l.inVain = l.board.giveUp(!l.pace.closed && !l.store.Stalled(), func(id wire.ReceiverID) bool {
		return l.streams.of(id).engine.Stuck(now, id)
	})
	l.warnOfTwins(now)
}

// fitMemory adapts what is kept of the image to the memory that there is now.
func (l *live) fitMemory(now time.Duration) {
	if now-l.fittedAt < fitEvery {
		return
	}
	l.fittedAt = now
	changed, text := l.store.FitMemory(memory.Available())
	if !changed {
		return
	}
	l.streams.setInterleave(l.store.Interleave())
	if text != "" {
		l.cfg.Log.Debug(text)
		debug.FreeOSMemory()
	}
}

// warnOfStall warns, once for each stall, that reading the image takes long.
func (l *live) warnOfStall() {
	stalled := l.store.Stalled()
	if stalled && !l.stalled {
		l.cfg.Log.Warn("the image is not read: its disk does not answer", "file", l.cfg.Source.String())
	}
	l.stalled = stalled
}

// sendTrain sends one train of probes to the data group, and measures at what rate the own
// interface takes it.
func (l *live) sendTrain(now time.Duration) {
	l.trainAt = now
	small, full := l.pace.prober.Train(now)
	l.streams.group.send(small, l.cfg.Log)
	begun := time.Now()
	for _, to := range l.streams.group.to {
		if err := to.Send(full, l.packetSize); err != nil {
			l.cfg.Log.Debug("send probes", "err", err)
		}
	}
	packets := len(full) / l.packetSize
	bits := float64(packets) * l.streams.rates.PacketBits
	if l.pace.closed {
		l.pace.prober.Taken(l.rateTaken(begun, len(full), bits))
	}
	l.streams.group.control.composed(bits)
	l.streams.group.control.sent(l.now(), 0, bits, true)
}

// rateTaken is the rate, in bits a second, at which the own interface takes what was sent
// since begun: it waits until most of that has left the socket's memory, takenPatience at
// most. 0: at once.
func (l *live) rateTaken(begun time.Time, bytes int, bits float64) float64 {
	const (
		takenPatience = 20 * time.Millisecond
		takenPause    = 200 * time.Microsecond
		atOnce        = time.Millisecond
	)
	queued := l.cfg.Conn.QueuedBytes()
	all := max(queued, bytes)
	for queued > all/8 && time.Since(begun) < takenPatience {
		udp.Sleep(takenPause)
		queued = l.cfg.Conn.QueuedBytes()
	}
	took := time.Since(begun)
	if took < atOnce {
		return 0
	}
	return bits * float64(max(0, all-queued)) / float64(all) / took.Seconds()
}

// isOver reports whether the session is over because all receivers are done or gone. It stays for a
// moment, in case the last goodbye is repeated.
func (l *live) isOver() bool {
	if !l.cfg.ExitAfterDone || !l.pace.gate.Opened() || l.streams.unfinished() > l.inVain || l.board.waits(l.cfg.Gate.MinReceivers > 0) {
		l.emptyAt, l.doneAt = time.Time{}, time.Time{}
		return false
	}
	if l.emptyAt.IsZero() {
		l.emptyAt = time.Now()
	}
	if l.doneAt.IsZero() {
		l.doneAt = l.emptyAt
	}
	return time.Since(l.emptyAt) > lingerTime || time.Since(l.doneAt) > longestLinger
}

// verdict is the error that a session with ExitAfterDone ends with.
func (l *live) verdict() error {
	failed, all := l.board.verdict()
	if failed > 0 {
		return failure.New(failure.ErrReceiversFailed, "%d of %d clients did not get the image", failed, all)
	}
	return ErrAllDone
}

// outOfTime is the error that a session ends with after Config.MaxTime.
func (b *board) outOfTime(limit time.Duration) error {
	failed, all := b.verdict()
	switch {
	case all == 0:
		return failure.New(failure.ErrTimeLimit, "ServerConfig.MaxTime of %s has passed, and no client came", limit)
	case failed > 0:
		return failure.New(failure.ErrReceiversFailed, "ServerConfig.MaxTime of %s has passed: %d of %d clients did not get the image", limit, failed, all)
	}
	return ErrAllDone
}

// sendLastWords tells the receivers that the session is over, and why. It waits until no batch
// is on its way, so that it overtakes none. Once ctx has ended, none is.
func (l *live) sendLastWords(ctx context.Context, cause error) {
	for _, st := range l.streams.all {
		for st.queue.InFlight() > 0 && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case b := <-st.queue.Sent():
				l.recycle(st, b)
			}
		}
	}
	state := wire.SenderStopped
	switch {
	case errors.Is(cause, image.ErrChanged):
		state = wire.SenderImageChanged
	case !errors.Is(cause, context.Canceled):
		state = wire.SenderImageFailed
	}
	for range lastWords {
		l.streams.end(l.now(), state)
	}
}

// recycle takes back a batch of a stream.
func (l *live) recycle(st *stream, b *transmit.Batch) {
	st.sent += uint64(b.Packets)
	st.control.sent(b.SentAt.Sub(l.origin), wire.Sequence(b.Sequence), float64(8*b.WireBytes(l.cfg.Group)), b.Taken)
	st.queue.Recycle(b)
}

// recycleAll takes back all batches that were sent: what a report speaks of has to be known
// as sent before it.
func (l *live) recycleAll() {
	for _, st := range l.streams.all {
		for len(st.queue.Sent()) > 0 {
			l.recycle(st, <-st.queue.Sent())
		}
	}
}

// comeBack is how many batches have come back and are not taken back yet.
func (l *live) comeBack() (n int) {
	for _, st := range l.streams.all {
		n += len(st.queue.Sent())
	}
	return n
}
