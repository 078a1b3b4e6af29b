package mxb1

import (
	"net/netip"
	"time"

	"multiserver/internal/block"
)

// Constants of the receiver's engine.
const (
	// MaxBurst is how many requests go to one of our servers at once: so many fit any
	// receive buffer.
	MaxBurst = 128
	// minLimit is the least that may be outstanding, in blocks: two batches of the
	// sender, so that one is under way while the next is asked for.
	minLimit = 32
	// reorderBlocks is how far behind the newest block one may arrive late without
	// meaning that the server's walk began anew.
	reorderBlocks = 1024
	// minEvidence is how many blocks must have come or been passed over before the
	// limit is judged again.
	minEvidence = 64
	// askInterval keeps bursts of requests apart: about ten batches at 1 Gbit/s.
	askInterval = 2 * time.Millisecond
	// minIdle is the shortest silence after which one of our servers is asked
	// again: a few times the scheduling delays of a busy host.
	minIdle = 20 * time.Millisecond
	// firstIdle is that silence before anything has come: a server may have to wake
	// its disk.
	firstIdle = 250 * time.Millisecond
	// confirmAfter is the silence after which a block is taken only once the server
	// has described the same image again: a process that was killed takes longer to
	// come back with another image and to be asked for it.
	confirmAfter = 250 * time.Millisecond
)

// ReceiverConfig says what a Receiver receives.
type ReceiverConfig struct {
	SizeBytes uint64
	// QuietTime is how long nothing may arrive before missing blocks are asked for.
	QuietTime time.Duration
	// HasTrailer: the description had our trailer. Then blocks come from Server only and
	// requests cost nothing if they are early, since the server coalesces them.
	HasTrailer bool
	Server     netip.AddrPort // where the description came from
	// Seed spreads the requests of several clients to an original server. Each client
	// has one of its own.
	Seed uint64
}

// Receiver is the client's engine: what is missing, and what to ask for when. It
// follows the server's walk: of what it asked for, everything that lies between
// two blocks that arrive was sent and is lost.
//
// The driver calls Block for every block that arrives, Confirmed for every
// description that matches, and Poll when Deadline has passed; early calls are
// harmless.
type Receiver struct {
	cfg     ReceiverConfig
	missing *block.Set
	asked   *block.Set // asked for and not yet come or passed; a subset of missing
	window  block.Range
	source  netip.AddrPort // whence the blocks come; not valid before the first

	limit     uint64 // blocks that may be asked for and outstanding
	burst     uint64 // outstanding after the last burst
	cut       bool   // the last burst left missing blocks of the window unasked
	highWater uint64 // end of what was ever asked for
	again     uint64

	pos      uint64 // behind the block that arrived last of those asked for
	posKnown bool
	got      uint64 // of those asked for, arrived since the limit was last judged
	lost     uint64 // and passed over

	// Of an original server:
	request   request
	rival     netip.AddrPort // sends from its address too: started again, or another
	rivalAt   time.Time
	elsewhere time.Time // the last block from another address while there is no source

	lastBlock  time.Time // the last block of our server
	useful     time.Time // the last one that was missing
	askedAt    time.Time
	describeAt time.Time // when the server was last asked for its description
	confirmed  time.Time // when it last described the same image
	idle       time.Duration
	meanGap    time.Duration // between arrivals, smoothed
}

// NewReceiver returns a Receiver to which every block is missing. The description
// that it rests on has just arrived, at now.
func NewReceiver(now time.Time, cfg ReceiverConfig) *Receiver {
	n := BlockCount(cfg.SizeBytes)
	return &Receiver{
		cfg:       cfg,
		missing:   block.NewFullSet(n),
		asked:     block.NewSet(n),
		window:    block.Range{Lo: 0, Hi: n},
		limit:     n,
		cut:       true,
		lastBlock: now, useful: now, confirmed: now, describeAt: now,
		idle:    min(firstIdle, cfg.QuietTime),
		request: newRequest(cfg.Seed),
	}
}

// Verdict is what to do with a block that arrived.
type Verdict int

// The verdicts.
const (
	// Keep: the block was missing; the caller keeps its bytes, or calls MarkMissing.
	Keep Verdict = iota
	// Duplicate: it is in already.
	Duplicate
	// Outside: it is missing, but the window does not hold it now.
	Outside
	// Invalid: the image has no such block, or one of another length.
	Invalid
	// Stranger: it comes from somebody else than the server.
	Stranger
	// Unconfirmed: after a silence, or from what may be the server started again,
	// it must describe its image first.
	Unconfirmed
	// Conflict: a second source sends blocks, and nobody knows which is right.
	Conflict
)

// Block records that block id, of length bytes, came from src.
func (r *Receiver) Block(now time.Time, src netip.AddrPort, id uint32, length int) Verdict {
	if length != BlockLen(r.cfg.SizeBytes, uint64(id)) {
		return Invalid
	}
	if v := r.admit(now, src); v != Keep {
		return v
	}
	r.request.arrived(now.Sub(r.lastBlock), uint64(id))
	r.recordServed(now)
	i := uint64(id)
	one := block.Range{Lo: i, Hi: i + 1}
	switch {
	case !r.missing.Has(i):
		return Duplicate
	case i < r.window.Lo || i >= r.window.Hi:
		return Outside
	}
	r.missing.Remove(one)
	r.useful = now
	r.idle = min(max(minIdle, 8*r.meanGap), r.cfg.QuietTime)
	if r.asked.Remove(one) == 1 {
		r.got++
		r.pass(i)
	}
	return Keep
}

// admit judges where a block comes from.
func (r *Receiver) admit(now time.Time, src netip.AddrPort) Verdict {
	if r.cfg.HasTrailer {
		if src != r.cfg.Server {
			return Stranger
		}
		if r.silence(now) > confirmAfter && now.Sub(r.confirmed) > confirmAfter {
			return Unconfirmed
		}
		return Keep
	}
	return r.admitToOriginal(now, src)
}

// admitToOriginal judges a source while the server is an original, which sends from
// a port that nobody knows and, on a host with several addresses, perhaps from
// another one.
func (r *Receiver) admitToOriginal(now time.Time, src netip.AddrPort) Verdict {
	atServer := src.Addr() == r.cfg.Server.Addr()
	switch {
	case src == r.source:
		if r.rival.IsValid() { // both send
			return Conflict
		}
		return Keep
	case !r.source.IsValid():
		if !atServer && !r.answersUs(now) {
			return Stranger
		}
		r.source = src
		return Keep
	case src.Addr() != r.source.Addr():
		if r.source.Addr() == r.cfg.Server.Addr() {
			return Stranger
		}
		return Conflict
	}
	// The server may have been started again, and been asked by others first: then
	// the old source stays silent and the image is still the same.
	if r.silence(now) >= r.cfg.QuietTime && r.confirmed.After(r.lastBlock) {
		r.source, r.rival = src, netip.AddrPort{}
		return Keep
	}
	r.rival, r.rivalAt = src, now
	r.request.ended = false
	return Unconfirmed
}

// answersUs reports whether a block from another address than the server's can be the
// answer to our request: nobody sent from elsewhere in the quiet time before it. A
// stream that was there already is another server's, for all we know.
func (r *Receiver) answersUs(now time.Time) bool {
	before := r.elsewhere
	r.elsewhere = now
	return !r.askedAt.IsZero() && before.Add(r.cfg.QuietTime).Before(r.askedAt)
}

func (r *Receiver) silence(now time.Time) time.Duration { return now.Sub(r.lastBlock) }

// recordServed records that the server sends.
func (r *Receiver) recordServed(now time.Time) {
	if gap := r.silence(now); gap > 0 && gap < r.cfg.QuietTime {
		r.meanGap += (gap - r.meanGap) / 8
	}
	r.lastBlock = now
}

// pass strikes off what the server's walk must have sent before block i.
func (r *Receiver) pass(i uint64) {
	switch {
	case r.posKnown && i >= r.pos:
		r.lost += r.asked.Remove(block.Range{Lo: r.pos, Hi: i})
	case r.posKnown && r.pos-i <= reorderBlocks:
		return
	case r.posKnown: // round again from the start
		r.lost += r.asked.Remove(block.Range{Lo: r.pos, Hi: r.asked.N()})
		r.lost += r.asked.Remove(block.Range{Lo: 0, Hi: i})
	}
	r.pos, r.posKnown = i+1, true
}

// MarkMissing makes block id, which Keep was said of, missing again: there was no room for it.
func (r *Receiver) MarkMissing(id uint32) {
	r.missing.Add(block.Range{Lo: uint64(id), Hi: uint64(id) + 1})
	if r.got > 0 {
		r.got--
	}
	r.lost++
	r.cut = true
}

// Confirmed records that the server described the same image again.
func (r *Receiver) Confirmed(now time.Time) { r.confirmed = now }

// SetWindow says which blocks can be taken now. The window only moves forward.
func (r *Receiver) SetWindow(w block.Range) {
	if w != r.window {
		r.window = w
		r.cut = true
	}
}

// Missing is the count of blocks that are not in.
func (r *Receiver) Missing() uint64 { return r.missing.Count() }

// AskedAgain is the count of blocks that were asked for when they, or later ones,
// had been asked for before.
func (r *Receiver) AskedAgain() uint64 { return r.again }

// LastBlock is when the last block of the server arrived, or of what may be it, started
// again; or the start.
func (r *Receiver) LastBlock() time.Time { return later(r.lastBlock, r.rivalAt) }

// Actions are what Poll wants done.
type Actions struct {
	// Describe: send the server a map request, before the requests.
	Describe bool
	// Requests: send each as a packet of its own. The slice is valid until the next
	// Poll and at most MaxBurst long, to an original server one.
	Requests []BlockRequest
}

// Deadline is when Poll wants to be called next if nothing arrives; the zero time
// if never.
func (r *Receiver) Deadline() time.Time {
	if r.missing.Count() == 0 {
		return time.Time{}
	}
	ask, _ := r.askDeadline()
	return earlier(ask, r.describeDeadline())
}

// Poll returns what is due at now. dst is the slice to append requests to.
func (r *Receiver) Poll(now time.Time, dst []BlockRequest) Actions {
	var a Actions
	if r.missing.Count() == 0 {
		return a
	}
	if !now.Before(r.describeDeadline()) {
		a.Describe = true
		r.describeAt = now
	}
	at, quiet := r.askDeadline()
	if now.Before(at) {
		return a
	}
	if quiet {
		r.giveUpOnAsked(now)
	}
	r.judge()
	if r.cfg.HasTrailer {
		a.Requests = r.ask(now, dst)
	} else {
		a.Requests = r.askOriginal(now, dst)
	}
	return a
}

// askDeadline is when to ask for blocks, and whether it is a silence that ends then.
func (r *Receiver) askDeadline() (at time.Time, quiet bool) {
	if !r.cfg.HasTrailer {
		return later(r.LastBlock(), r.askedAt).Add(r.request.silence(r.cfg.QuietTime)), true
	}
	outstanding := r.asked.Count()
	if outstanding == 0 && r.askable() || r.cut && outstanding <= min(r.burst, r.limit)/2 {
		return r.askedAt.Add(askInterval), false
	}
	// A server that is busy with others' ranges will come to ours.
	return earlier(
		later(r.lastBlock, r.askedAt).Add(r.idle),
		later(r.useful, r.askedAt).Add(r.cfg.QuietTime)), true
}

// askable reports whether a block of the window is missing.
func (r *Receiver) askable() bool {
	g, ok := r.missing.Next(r.window.Lo)
	return ok && g.Lo < r.window.Hi
}

// describeDeadline is when to ask for the description again.
func (r *Receiver) describeDeadline() time.Time {
	after := r.cfg.QuietTime
	if r.cfg.HasTrailer {
		after = confirmAfter / 2
	}
	return later(later(r.lastBlock, r.confirmed), r.describeAt).Add(after)
}

// giveUpOnAsked treats what is outstanding after a silence as lost.
func (r *Receiver) giveUpOnAsked(now time.Time) {
	given := r.asked.Remove(block.Range{Lo: 0, Hi: r.asked.N()})
	if r.silence(now) >= r.idle {
		// An original server may have been ended in mid-walk, which says nothing of the path.
		if r.got > 0 && r.cfg.HasTrailer {
			r.lost += given
		}
		r.idle = min(2*r.idle, r.cfg.QuietTime)
	}
	r.cut = true
}

// judge adapts the limit to what the path and the target could take.
func (r *Receiver) judge() {
	total := r.got + r.lost
	if total < minEvidence {
		return
	}
	switch {
	case 4*r.lost > total:
		r.limit = max(minLimit, min(r.limit, r.burst)*r.got/total)
	case 50*r.lost < total:
		r.limit = min(r.limit+r.limit/8, r.missing.N())
	}
	r.got, r.lost = 0, 0
}

// ask appends requests for missing blocks that are not outstanding, from the first.
func (r *Receiver) ask(now time.Time, dst []BlockRequest) []BlockRequest {
	dst = dst[:0]
	r.cut = false
	at := r.window.Lo
	for {
		g, ok := r.nextUnasked(at)
		if !ok {
			break
		}
		if len(dst) == MaxBurst || r.asked.Count() >= r.limit {
			r.cut = true
			break
		}
		g.Hi = min(g.Hi, g.Lo+r.limit-r.asked.Count())
		dst = append(dst, BlockRequest{First: uint32(g.Lo), Last: uint32(g.Hi - 1)})
		r.recordAsked(g)
		at = g.Hi
	}
	r.askedAt = now
	if len(dst) > 0 {
		r.burst, r.posKnown = r.asked.Count(), false
	}
	return dst
}

// recordAsked records that missing blocks are asked for.
func (r *Receiver) recordAsked(g block.Range) {
	r.asked.Add(g)
	if g.Lo < r.highWater {
		r.again += min(g.Hi, r.highWater) - g.Lo
	}
	r.highWater = max(r.highWater, g.Hi)
}

// nextUnasked returns the first run of missing blocks from at on that lies in the
// window and is not outstanding.
func (r *Receiver) nextUnasked(at uint64) (block.Range, bool) {
	for {
		g, ok := r.missing.Next(at)
		if !ok || g.Lo >= r.window.Hi {
			return block.Range{}, false
		}
		g.Hi = min(g.Hi, r.window.Hi)
		free, ok := r.asked.NextGap(g.Lo)
		if ok && free.Lo < g.Hi {
			return block.Range{Lo: free.Lo, Hi: min(free.Hi, g.Hi)}, true
		}
		at = g.Hi
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
