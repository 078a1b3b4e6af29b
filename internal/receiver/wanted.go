package receiver

import (
	"time"

	"multiserver/internal/wire"
)

// wantState is the state of the list of wanted blocks.
type wantState struct {
	at        time.Duration // when the list is due, 0 if it is not
	inQuiet   bool          // at was chosen when the sender owed nothing
	inRenewal bool          // at was chosen for renew
	last      time.Duration // when one was last begun
	retry     time.Duration
	// passed: the carousel has begun anew since the last list, or the manifest has become
	// known.
	passed bool
	// renew is how many lists are to be sent because the last held more than is wanted.
	renew      int
	generation uint32
	// declared: the missing blocks below it were announced since the carousel began.
	declared uint32
	// lackFrom: from declared to here nothing is missing.
	lackFrom uint32
	// A list under way: the next page, their count, and the next block.
	page, pages uint16
	from        uint32
	left        uint32 // blocks that may still be asked for
}

// schedule decides whether and when the list of wanted blocks is due (R12).
func (e *Engine) schedule(now time.Duration) {
	e.scheduleSubblocks(now)
	w := &e.want
	if w.pages > 0 { // under way
		return
	}
	if w.renew > 0 {
		if w.at == 0 || !w.inRenewal {
			n := time.Duration(max(e.session.Receivers, 1))
			w.at, w.inRenewal = max(now+1+e.spread(min(n*wantSpread, maxSpread)), w.last+wantRetry), true
		}
		return
	}
	noRoom := e.slow && e.freeSlots()*4 < e.window
	if e.cfg.InOrder {
		noRoom = !e.lacksNext()
	}
	if e.missing == 0 || noRoom {
		w.at = 0
		return
	}
	var pause time.Duration
	if e.quiet {
		pause = w.retry
	} else {
		if !e.carouselPassed() {
			w.at = 0
			return
		}
		pause = e.session.ReportInterval
	}
	if w.at != 0 && (w.inQuiet || !e.quiet) {
		return
	}
	w.inQuiet = e.quiet
	n := time.Duration(max(e.session.Receivers, 1))
	w.at = now + 1 + e.spread(min(n*wantSpread, maxSpread))
	if w.last != 0 {
		w.at = max(w.at, w.last+pause)
	}
}

// lacksNext reports whether a receiver InOrder has to ask: what comes next is missing, or
// a quarter of the window's room.
func (e *Engine) lacksNext() bool {
	lack := 0
	for i := e.prefix; i < e.horizon(); i++ {
		if e.blockState[i] != blockMissing {
			continue
		}
		if lack++; i == e.prefix || lack*4 >= e.window {
			return true
		}
	}
	for _, p := range e.blockState[e.image:] {
		if p == blockMissing {
			return true
		}
	}
	return e.horizon() == e.image && lack > 0
}

// carouselPassed reports whether the carousel has passed missing blocks that were not announced
// since it began.
func (e *Engine) carouselPassed() bool {
	w := &e.want
	if w.passed {
		return true
	}
	w.lackFrom = max(w.lackFrom, w.declared)
	for w.lackFrom < e.carouselBlock && e.blockState[w.lackFrom] != blockMissing {
		w.lackFrom++
	}
	return w.lackFrom < e.carouselBlock
}

// appendWanted appends a page of the list of all blocks that are missing.
func (e *Engine) appendWanted(now time.Duration, dst []byte) ([]byte, bool) {
	w := &e.want
	if w.pages == 0 && !e.beginWanted(now) {
		return dst, false
	}
	var ranges wire.List[wire.Range]
	for ranges.Len() < wire.MaxRanges {
		r, ok := e.nextWanted()
		if !ok {
			break
		}
		ranges = ranges.Append(r)
	}
	packet := wire.Wanted{
		Session: e.session.ID, Receiver: e.cfg.Receiver, Highest: e.stream.highest,
		Generation: w.generation, Page: w.page, Pages: w.pages, Ranges: ranges,
	}
	w.page++
	w.at = now + time.Millisecond // pages are no burst
	if w.page == w.pages {
		w.page, w.pages, w.at = 0, 0, 0
		e.schedule(now)
	}
	return packet.AppendTo(dst), true
}

// beginWanted begins a new generation (R11).
func (e *Engine) beginWanted(now time.Duration) bool {
	w := &e.want
	w.at = 0
	if e.missing == 0 && w.renew == 0 {
		return false
	}
	w.left = e.missing
	if e.slow || e.cfg.InOrder {
		w.left = min(w.left, uint32(e.freeSlots()))
	}
	runs, left := uint32(0), w.left
	w.from = 0
	for {
		if _, ok := e.nextWanted(); !ok {
			break
		}
		runs++
	}
	w.from, w.left = 0, left
	w.generation++
	w.pages = uint16(min((runs+wire.MaxRanges-1)/wire.MaxRanges, wire.MaxPages))
	if w.renew > 0 {
		w.renew--
		w.inRenewal = false
		w.pages = max(w.pages, 1) // an empty list ends the one before
	}
	w.last = now
	w.passed = false
	if !e.quiet {
		w.declared = e.carouselBlock
	}
	w.retry = min(2*w.retry, max(wantRetry, min(e.session.ReportInterval, maxWantRetry)))
	return w.pages > 0
}

// nextWanted returns the next run of blocks that are missing.
func (e *Engine) nextWanted() (wire.Range, bool) {
	w := &e.want
	end := uint32(len(e.blockState))
	if e.cfg.ManifestFirst {
		w.from = max(w.from, e.image)
	}
	if horizon := e.horizon(); w.from < e.image {
		for w.from < horizon && e.blockState[w.from] != blockMissing {
			w.from++
		}
		if w.from == horizon {
			w.from = e.image
		}
	}
	for w.from >= e.image && w.from < end && e.blockState[w.from] != blockMissing {
		w.from++
	}
	if w.from == end || w.left == 0 {
		return wire.Range{}, false
	}
	if w.from < e.image {
		end = e.horizon()
	}
	o, id := e.ref(w.from)
	r := wire.Range{Object: o, First: id}
	for w.from < end && w.left > 0 && e.blockState[w.from] == blockMissing {
		r.Count++
		w.from++
		w.left--
	}
	return r, true
}

// Missing is the count of blocks that are not verified yet, as far as known.
func (e *Engine) Missing() uint32 { return e.image + e.manifest - e.verified }
