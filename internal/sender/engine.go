package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Config says what a sender sends.
type Config struct {
	Session wire.SessionID
	Image   block.Geometry
	// Unicast: the stream goes to each receiver by itself, and is numbered as one of
	// those.
	Unicast bool
}

// SetInterleave changes how many blocks are sent side by side, 1 to Interleave, because the driver
// has less memory for them, or more again.
func (e *Engine) SetInterleave(blocks int) { e.interleave = min(max(blocks, 1), Interleave) }

// Ref names a block.
type Ref struct {
	Object wire.Object
	Block  block.ID
}

// Engine is the sender of one session. Times are since an origin of the driver's
// choice.
type Engine struct {
	session  wire.SessionID
	geometry block.Geometry
	image    uint32 // blocks of the image
	manifest uint32 // blocks of the manifest, 0 while unknown

	largestK   uint16 // of the blocks so far
	interleave int    // how many blocks are sent side by side

	blocks   []state       // those of the image, then those of the manifest
	sequence wire.Sequence // the last
	origin   wire.Sequence // before the first

	// Repair: the blocks with pending repair, and the ones that take turns.
	repairPending marks
	active        [Interleave]uint32
	actives       int
	turn          int
	cursor        uint32
	jobs          jobs // source symbols by name

	subblocks subblocks
	flow      flow
	twins     twins

	regular, stragglers carousel
	stragglerJobs       jobs
	stragglerCredit     int // packets of others since the stragglers' last instalment
	stragglerBudget     int // packets of the instalment that are left
	stragglersNext      bool
	sinceRepair         int // packets of the carousel since the last one of repair had its turn

	// Proactive repair.
	proactive float64 // symbols a block
	carry     float64
	recent    recent

	peers peers
	most  int // receivers at a time

	sample     wire.Sample
	completion wire.Completion
	state      wire.SenderState
	gateClosed bool
	rate       float64 // packets a second
	roundTrip  time.Duration

	underWay    []uint32 // memory of coming
	advBlocks   []uint32 // blocks with more repair pending than was announced
	advAt       time.Duration
	acks        wire.List[wire.ReceiverID]
	ackAt       time.Duration
	advList     wire.List[wire.SymbolCount]
	idle        bool // nothing to send for the regular receivers, as announced
	regularIdle bool // the same, as Next found it
	stalled     bool // what is next to send is not ready
	beatAt      time.Duration
	beatPause   time.Duration
	news        int // heartbeats still to be sent in a row: they bring news
	checkAt     time.Duration
	pass        uint32
	passBegun   bool // and not announced yet
}

// never is later than all times.
const never = time.Duration(1<<63 - 1)

// New returns a sender without receivers.
func New(now time.Duration, cfg Config) *Engine {
	n := cfg.Image.BlockCount()
	// Room for the largest manifest: there are few blocks of it.
	most := uint64(n) + (wire.MaxManifestPerBlock*(uint64(n)+1))/uint64(cfg.Image.BlockSize) + 1
	origin := wire.Sequence(0)
	if cfg.Unicast {
		origin = wire.UnicastSequence
	}
	return &Engine{
		sequence:      origin,
		origin:        origin,
		session:       cfg.Session,
		geometry:      cfg.Image,
		interleave:    Interleave,
		image:         n,
		blocks:        make([]state, n),
		repairPending: newMarks(most + uint64(n)), // and twins
		subblocks:     newSubblocks(n),
		regular:       newCarousel(most, false),
		stragglers:    newCarousel(most, true),
		peers:         newPeers(),
		roundTrip:     defaultRoundTrip,
		rate:          10_000,
		advAt:         never,
		flow:          flow{wakeAt: never},
		ackAt:         never,
		beatAt:        never,
		checkAt:       now + peersEvery,
		idle:          true,
	}
}

// SetRate sets how many packets a second the driver sends, 1 at least.
func (e *Engine) SetRate(packetsPerSec float64) { e.rate = max(packetsPerSec, 1) }

// SetGateClosed keeps the stream from beginning, or from going on, while receivers gather.
func (e *Engine) SetGateClosed(now time.Duration, hold bool) {
	if e.gateClosed != hold {
		e.gateClosed = hold
		e.beat(now)
	}
}

// SetSample names the receivers that are to report each interval from the next heartbeat
// on.
func (e *Engine) SetSample(interval time.Duration, ids []wire.ReceiverID) {
	e.sample.Interval = interval
	e.sample.Receivers = e.sample.Receivers.Reset()
	for _, id := range ids[:min(len(ids), wire.MaxSample)] {
		e.sample.Receivers = e.sample.Receivers.Append(id)
	}
}

// End tells all receivers that the session is over; nothing more is sent but
// heartbeats that say so, until all receivers are gone. s is one of the last three
// states.
func (e *Engine) End(now time.Duration, s wire.SenderState) {
	e.state = s
	e.beat(now)
}

// Ready reports that a block can be sent, cut into k source symbols for the rest of the
// session.
func (e *Engine) Ready(r Ref, k uint16) {
	i, ok := e.index(r.Object, r.Block)
	if !ok || k == 0 {
		return
	}
	if b := &e.blocks[i]; b.k == 0 && !b.has(flagZero) {
		b.k = k
		e.largestK = max(e.largestK, k)
		b.next |= uint32(k)
		if i < e.image {
			e.subblocks.ready(i, false)
		}
	}
}

// Unready takes back what Ready said of the image's blocks, before anything was sent: they will be
// encoded otherwise.
func (e *Engine) Unready() {
	e.jobs.reset()
	e.stragglerJobs.reset()
	for i := range e.image {
		b := &e.blocks[i]
		if b.repairPending > 0 {
			e.repairPending.remove(i)
		}
		b.k, b.repairPending, b.next = 0, 0, b.next&^symbolMask
	}
}

// Learn takes over the state of the image's blocks from another sender of the session: a receiver
// that comes from there may hold parts of any block.
func (e *Engine) Learn(from *Engine) {
	for i := range e.image {
		b := &from.blocks[i]
		switch id := block.ID(i); {
		case b.has(flagZero):
			e.Zero(id)
		case b.k != 0:
			e.Ready(Ref{wire.Image, id}, b.k)
		}
	}
}

// Zero reports that a block of the image is zeros.
func (e *Engine) Zero(id block.ID) {
	if uint32(id) < e.image && e.blocks[id].k == 0 {
		e.blocks[id].set(flagZero)
		e.subblocks.ready(uint32(id), true)
	}
}

// SetCompletion sets the size of the manifest and the image's digest, once all of
// the image was read. The manifest is sent without being asked for: everybody needs it.
func (e *Engine) SetCompletion(now time.Duration, c wire.Completion) {
	if e.manifest != 0 || c.ManifestSize == 0 {
		return
	}
	e.completion = c
	g := block.Geometry{ImageSize: c.ManifestSize, BlockSize: e.geometry.BlockSize}
	e.manifest = g.BlockCount()
	e.blocks = append(e.blocks, make([]state, e.manifest)...)
	e.regular.todo.Add(block.Range{Lo: uint64(e.image), Hi: uint64(len(e.blocks))})
	e.news = newsBeats
	e.beat(now)
}

// Upcoming appends to dst those of the next n blocks of each carousel that are neither
// Ready nor Zero, and n blocks whose sub-block digests are pending, one of them first. A
// driver asks when it could read, or every few packets.
func (e *Engine) Upcoming(dst []Ref, n int) []Ref {
	dst, after := e.subblocks.upcoming(dst, 0, min(n, 1))
	for _, w := range []*carousel{&e.regular, &e.stragglers} {
		left := n
		// In the order in which admit takes them.
		for _, part := range [...]block.Range{{Lo: uint64(e.image), Hi: uint64(e.image) + uint64(e.manifest)}, {Lo: w.at, Hi: uint64(e.image)}} {
			for at := part.Lo; left > 0; left-- {
				r, ok := w.todo.Next(at)
				if !ok || r.Lo >= part.Hi {
					break
				}
				if b := &e.blocks[r.Lo]; b.k == 0 && !b.has(flagZero) {
					dst = append(dst, e.ref(uint32(r.Lo)))
				}
				at = r.Lo + 1
			}
		}
	}
	dst, _ = e.subblocks.upcoming(dst, after, n-1)
	return dst
}

// index finds a block.
func (e *Engine) index(o wire.Object, id block.ID) (uint32, bool) {
	i := uint64(id)
	switch {
	case o == wire.Manifest:
		i += uint64(e.image)
	case o == wire.Twin:
		return e.twin(id)
	case i >= uint64(e.image):
		return 0, false
	}
	return uint32(i), i < uint64(e.image)+uint64(e.manifest)
}

func (e *Engine) ref(i uint32) Ref {
	if r, ok := e.refTwin(i); ok {
		return r
	}
	if i >= e.image {
		return Ref{wire.Manifest, block.ID(i - e.image)}
	}
	return Ref{wire.Image, block.ID(i)}
}

// Receivers is the count of those that are not done.
func (e *Engine) Receivers() int { return len(e.peers.list) }

// Waits reports whether the carousels want a block that is not ready, and how many are under way
// meanwhile.
func (e *Engine) Waits() (underWay int, waits bool) {
	return len(e.regular.members) + len(e.stragglers.members), e.stalled && !e.flow.held && len(e.peers.list) > 0
}

// Knows reports whether a receiver is unfinished and sent something lately.
func (e *Engine) Knows(id wire.ReceiverID) bool { return e.peers.find(id) != nil }

// Pass counts the passes begun.
// Only simulations use it.
func (e *Engine) Pass() uint32 { return e.pass }

// Proactive is how many repair symbols go with each block, unasked.
// Only simulations use it.
func (e *Engine) Proactive() float64 { return e.proactive }
