package receiver

import (
	"fmt"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Config says what a receiver receives, and where it puts it.
type Config struct {
	Receiver   wire.ReceiverID
	Image      block.Geometry
	SymbolSize uint16
	// Window is how many blocks the driver has memory for, 1 to MaxWindow. The slots are
	// numbered from 0.
	Window int
	// InOrder: the target takes the image in order only. Verified blocks keep their slots until
	// it is their turn.
	InOrder bool
	// Subblocks: the driver can compare a block of the target by the digests of its sub-blocks.
	// Otherwise a block that differs is wanted whole.
	Subblocks bool
	// TargetWaits: nothing is written before TargetReady. What waits until then does not say
	// that the disk is slow.
	TargetWaits bool
	// ManifestFirst: nothing of the image counts before Begin; the manifest does.
	ManifestFirst bool
	// SilenceLimit is how long nothing of the sender may come before the receiver
	// gives up; 0 is for ever.
	SilenceLimit time.Duration
	// Rand spreads feedback in time. Each receiver needs one of its own.
	Rand *rand.Rand
}

// Session is what a description says of a session.
type Session struct {
	ID             wire.SessionID
	ReportInterval time.Duration
	Receivers      uint32
	Completion     wire.Completion
	// Private is the number that the sender has told this receiver alone, 0 if none: without one
	// blocks have no proof. Raw: all blocks are encoded as raw, so their K is known.
	Private wire.PrivateNumber
	Raw     bool
	// Sequence is the last one sent in the receiver's stream. TellsSequence: the sender tells
	// that when it is asked, and packets far beyond it are not believed.
	Sequence      wire.Sequence
	TellsSequence bool
}

// Engine is one receiver. Times are since an origin of the driver's choice.
type Engine struct {
	cfg     Config
	session Session
	rand    *rand.Rand

	image        uint32 // blocks of the image
	manifest     uint32 // blocks of the manifest, 0 while unknown
	manifestSize uint64 // bytes
	confirmed    bool   // the sender has told it by unicast
	// blockState says where each block is, those of the image first and those of the
	// manifest after them: a slot or one of the places that are none.
	blockState []uint16
	slots      []slot
	free       []uint16 // slots that are free
	window     int      // how many slots may be in use

	missing    uint32 // blocks at blockMissing
	unverified uint32 // blocks at blockUnverified
	verified   uint32 // blocks at blockVerified
	written    uint32 // of these, those on the disk
	prefix     uint32 // InOrder: blocks of the image that are on the target, from the first on
	done       uint32 // of these, those of the image

	stream        stream
	belief        belief
	sample        sample
	recentLoss    float64       // share of packets, at the last look
	lookAt        wire.Sequence // when to look at the window next
	carouselBlock uint32        // where the sender's carousel is, as of its last heartbeat
	pass          uint32        // and its pass; 0 before the first heartbeat
	quiet         bool          // the sender says that it owes nothing, or says nothing
	quietAt       wire.Sequence // with that packet; a later one ends it
	inStream      time.Duration // when the last packet of the stream came
	heard         time.Duration // when the last packet came

	roundTrip time.Duration
	clock     wire.Clock
	clockAt   time.Duration

	report   wire.Report
	reportAt time.Duration
	measured bool          // the stream was long enough for a first report
	askAt    time.Duration // the earliest of the slots', 0 if none
	symbols  wire.List[wire.SymbolRange]
	naming   int // slot whose symbols are to be named next, in a round of WantedSymbols

	want      wantState
	subblocks subblocksState
	proving   provingState

	waits    bool // nothing is written yet
	tight    bool // the window is small: SetWindow
	slow     bool // the disk is slower than the stream
	failures int  // blocks that failed their digest

	bye      goodbyeState
	gaveUp   bool
	outcome  wire.Outcome
	reason   string
	deadline time.Duration
}

// New returns a receiver of session s that has no blocks yet. The description of s arrived at now.
func New(now time.Duration, cfg Config, s Session) *Engine {
	if cfg.Window < 1 || cfg.Window > MaxWindow {
		panic(fmt.Sprintf("receiver: window of %d blocks", cfg.Window))
	}
	e := &Engine{
		cfg:    cfg,
		rand:   cfg.Rand,
		image:  cfg.Image.BlockCount(),
		slots:  make([]slot, cfg.Window),
		window: cfg.Window,
		waits:  cfg.TargetWaits,
	}
	e.blockState = make([]uint16, e.image)
	for i := range e.blockState {
		e.blockState[i] = blockMissing
	}
	e.missing = e.image
	for p := cfg.Window - 1; p >= 0; p-- {
		e.free = append(e.free, uint16(p))
	}
	e.begin(now, s)
	return e
}

// Restart continues in another session of the same image: verified blocks stay, and partial ones
// are dropped, because a block may be encoded differently (J5).
func (e *Engine) Restart(now time.Duration, s Session) {
	for p := range e.slots {
		switch sl := &e.slots[p]; sl.state {
		case slotFilling, slotProving:
			e.drop(p)
		case slotSolving:
			sl.stale = true // the driver is at work in it
		}
	}
	e.proving = provingState{} // another program may send them
	e.begin(now, s)
}

// SwitchStream continues in the same session with its unicast or multicast stream: the symbols are
// the same and stay, but packets have other sequence numbers.
func (e *Engine) SwitchStream(now time.Duration) {
	for p := range e.slots {
		if s := &e.slots[p]; s.state == slotFilling {
			s.last, s.covered, s.passed = 0, false, false
		}
	}
	number, generation, heard := e.report.Number, e.want.generation, e.heard
	e.begin(now, e.session)
	e.belief.switched()
	e.report.Number, e.want.generation = number, generation
	e.heard = heard // to change streams is no word of the sender's
	e.rearm()
}

func (e *Engine) begin(now time.Duration, s Session) {
	e.session = s
	e.stream, e.sample = stream{}, sample{}
	e.belief.begin(now, &s)
	e.lookAt = 0
	e.carouselBlock, e.pass, e.quietAt = 0, 0, 0
	e.inStream, e.heard = now, now
	e.roundTrip = defaultRoundTrip
	e.clock, e.clockAt = 0, 0
	e.report.Number, e.measured = 0, false
	e.reportAt = now + e.spread(s.ReportInterval)
	e.askAt, e.naming = 0, 0
	e.want = wantState{retry: wantRetry}
	e.resetSubblocks()
	e.quiet = true // until the stream comes
	e.learn(s.Completion)
	e.confirmed = e.confirmed || e.manifest != 0 && s.Completion.ManifestSize == e.manifestSize
	e.schedule(now)
	e.rearm()
}

// Learn records the manifest's size as the sender has told it by unicast. A heartbeat, which may be
// anybody's, only makes room for the manifest: nothing is complete before Learn.
func (e *Engine) Learn(now time.Duration, c wire.Completion) {
	if c.ManifestSize == 0 || e.confirmed {
		return
	}
	before := e.manifest
	if e.learn(c); e.manifest == 0 {
		return // no image has such a manifest
	}
	if e.manifestSize != c.ManifestSize {
		e.giveUp(now, wire.OutcomeIntegrity, "heartbeats told of another manifest than the server: they are somebody else's")
		return
	}
	e.session.Completion, e.confirmed = c, true
	if e.manifest != before {
		e.look(now)
	}
}

// Begin ends Config.ManifestFirst: the blocks of the image are wanted from now on.
func (e *Engine) Begin(now time.Duration) {
	if e.cfg.ManifestFirst {
		e.cfg.ManifestFirst = false
		e.want.passed = true
		e.schedule(now)
	}
}

// KnowsManifest reports whether the sender has told the manifest's size.
func (e *Engine) KnowsManifest() bool { return e.confirmed }

// learn makes room for the manifest, once its size is known.
func (e *Engine) learn(c wire.Completion) {
	if c.ManifestSize == 0 || e.manifest != 0 {
		return
	}
	g := block.Geometry{ImageSize: c.ManifestSize, BlockSize: e.cfg.Image.BlockSize}
	if g.Validate() != nil || c.ManifestSize > wire.MaxManifestPerBlock*(uint64(e.image)+1) {
		return
	}
	e.manifestSize = c.ManifestSize
	e.manifest = g.BlockCount()
	for range e.manifest {
		e.blockState = append(e.blockState, blockMissing)
	}
	e.missing += e.manifest
}

// Verdict is what to do with a symbol.
type Verdict uint8

// The verdicts.
const (
	Keep       Verdict = iota // put it into the slot
	Duplicate                 // it is in already, or no longer needed
	NoRoom                    // the window has none; the block will be asked for
	Invalid                   // there is no such block, or its K is wrong
	Unbelieved                // no sender can be so far; see InDoubt
)

// Placement says what to do with a symbol.
type Placement struct {
	Verdict Verdict
	// First: the symbol begins a block in Slot; whatever was there is dropped.
	First bool
	// Complete: K symbols are in. The driver rebuilds and verifies the block, and
	// calls BlockNeedsMore, BlockVerified or BlockFailed.
	Complete bool
	Slot     int
}

// HandleSymbol decides what to do with a symbol of this session whose checksum is right. It does
// not read Data.
func (e *Engine) HandleSymbol(now time.Duration, s *wire.Symbol) Placement {
	if !e.believes(now, s.Sequence) {
		return Placement{Verdict: Unbelieved}
	}
	e.arrived(now, s.Sequence)
	if !e.stream.recordArrival(s.Sequence) {
		return Placement{Verdict: Duplicate}
	}
	t := e.handleSymbol(s)
	if e.stream.highest >= e.lookAt {
		e.look(now)
	}
	return t
}

func (e *Engine) handleSymbol(s *wire.Symbol) Placement {
	index := uint32(s.Block)
	if s.Object == wire.Manifest {
		if e.manifest == 0 {
			return Placement{Verdict: NoRoom} // nobody told its size so far
		}
		if index >= e.manifest {
			return Placement{Verdict: Invalid}
		}
		index += e.image
	} else if index >= e.image {
		return Placement{Verdict: Invalid}
	} else if e.cfg.ManifestFirst {
		return Placement{Verdict: Duplicate} // of no use yet
	}
	p := e.blockState[index]
	if p == blockVerified {
		return Placement{Verdict: Duplicate}
	}
	if s.Object != wire.Manifest && (p <= MaxWindow && e.slots[p].twin) != (s.Object == wire.Twin) {
		return Placement{Verdict: Duplicate} // the encoding that somebody else needs
	}
	first := false
	if p > MaxWindow {
		t := e.openSlot(index, s)
		if t.Verdict != Keep {
			return t
		}
		p, first = uint16(t.Slot), true
	}
	sl := &e.slots[p]
	if sl.k != s.K {
		return Placement{Verdict: Invalid}
	}
	if s.Sequence > sl.last {
		sl.last = s.Sequence
	}
	if sl.state != slotFilling || sl.proven && !s.Symbol.IsSource(int(sl.k)) || !sl.addSymbol(s.Symbol) {
		return Placement{Verdict: Duplicate}
	}
	sl.symbolsNeeded--
	if sl.symbolsNeeded == 0 {
		sl.state = slotSolving
		return Placement{First: first, Complete: true, Slot: int(p)}
	}
	return Placement{First: first, Slot: int(p)}
}

// openSlot makes room for the block of s.
func (e *Engine) openSlot(index uint32, s *wire.Symbol) Placement {
	g, id := e.cfg.Image, s.Block
	if s.Object == wire.Manifest {
		g.ImageSize = e.manifestSize
	}
	if !e.isK(g, id, s.K) {
		return Placement{Verdict: Invalid}
	}
	if index >= e.horizon() && index < e.image {
		return Placement{Verdict: NoRoom}
	}
	p, evicted, ok := e.room(s.Symbol, s.K)
	if !ok {
		e.recordNoRoom()
		return Placement{Verdict: NoRoom}
	}
	if evicted {
		e.setBlockState(e.slots[p].index, e.fallback(p))
	}
	e.slots[p].open(index, s.K, s.Symbol, e.blockState[index])
	e.slots[p].pass = e.pass
	e.setBlockState(index, uint16(p))
	e.want.retry = wantRetry
	return Placement{Slot: p}
}

// PrefixWritten records that the target of a receiver InOrder has the first count blocks
// of the image.
func (e *Engine) PrefixWritten(now time.Duration, count uint32) {
	if count <= e.prefix {
		return
	}
	e.prefix = count
	if e.missing > 0 && e.want.at == 0 {
		e.schedule(now)
		e.rearm()
	}
}

// horizon is the block of the image from which on InOrder there is no room: two slots
// stay free for what has to come first.
func (e *Engine) horizon() uint32 {
	if !e.cfg.InOrder {
		return e.image
	}
	return min(e.image, e.prefix+uint32(max(1, e.window-2)))
}

// recordNoRoom records that a block found no free slot. If the disk is the cause, the receiver
// requests from now on only what fits (R13).
func (e *Engine) recordNoRoom() {
	if e.freeSlots() > 0 {
		return
	}
	e.slow = e.slow || e.diskBound()
}

// diskBound reports whether half of the window waits for the target. In order, it does not count if
// the target waits for a block that is still to come.
func (e *Engine) diskBound() bool {
	return !e.waits && !e.waitsForNext() && e.inState(slotWriting)*2 >= e.window
}

// waitsForNext reports whether a target in order waits for a block that is still to come.
func (e *Engine) waitsForNext() bool {
	return e.cfg.InOrder && e.prefix < e.image && e.blockState[e.prefix] != blockVerified
}

// TargetReady records that the target may be written to, after Config.TargetWaits.
func (e *Engine) TargetReady() { e.waits = false }

// Crowded reports whether three quarters of the window are with the driver, for repair or writing,
// and come back without another packet. What arrives now will hardly find a slot. If the disk is
// slower than the stream, that is nothing to wait for.
func (e *Engine) Crowded() bool {
	if e.slow {
		return false
	}
	busy := e.inState(slotSolving)
	if !e.waitsForNext() {
		busy += e.inState(slotWriting)
	}
	return busy*4 >= e.window*3
}

// inState is the count of slots that are so far.
func (e *Engine) inState(s slotState) (n int) {
	for i := range e.slots {
		if e.slots[i].state == s {
			n++
		}
	}
	return n
}

// Complete reports whether every block of the image and of the manifest is in and
// written. The driver then syncs and verifies, and calls Leave.
func (e *Engine) Complete() bool {
	return e.confirmed && e.written == e.image+e.manifest && (!e.cfg.InOrder || e.prefix == e.image)
}

// BlocksDone is the count of blocks of the image that are verified and written.
func (e *Engine) BlocksDone() uint32 { return e.done }

// SocketDropped records that the receiver's own socket dropped up to count packets for lack of
// room since the last call: those that are missing are not lost on the wire. The driver calls
// it after each batch of packets, also with 0.
func (e *Engine) SocketDropped(count uint64) { e.stream.recordDrops(count) }

// Stopped records that the driver did not run for so long until now. That was no silence of the
// sender.
func (e *Engine) Stopped(now, during time.Duration) {
	e.heard = min(now, e.heard+during)
	e.inStream = min(now, e.inStream+during)
	e.rearm()
}

// Session is the session that the receiver is in.
// Only simulations use it.
func (e *Engine) Session() wire.SessionID { return e.session.ID }

// GaveUp reports whether the receiver will not go on, with the outcome and the reason.
// The driver tells its user, and calls Leave.
func (e *Engine) GaveUp() (o wire.Outcome, reason string, ok bool) {
	return e.outcome, e.reason, e.gaveUp
}

func (e *Engine) giveUp(now time.Duration, o wire.Outcome, reason string) {
	if !e.gaveUp && e.bye.state == byeNone {
		e.gaveUp, e.outcome, e.reason = true, o, reason
	}
}

// spread is a random part of d.
func (e *Engine) spread(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(e.rand.Int64N(int64(d)))
}
