package receiver

import (
	"math"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// look goes through the window: which bursts are over, which promises were broken, and whether the
// carousel has passed missing blocks (R4, R7, R12).
func (e *Engine) look(now time.Duration) {
	e.lookAt = e.stream.highest + lookEvery
	e.recentLoss = e.stream.loss()
	if e.stream.highest > e.quietAt {
		e.quiet = false
	}
	if !e.measured && e.stream.highest-e.stream.first >= firstReport {
		e.measured = true
		n := time.Duration(max(e.session.Receivers, 1))
		e.reportAt = min(e.reportAt, now+e.spread(n*reportSpread))
	}
	e.askAt = 0
	for p := range e.slots {
		s := &e.slots[p]
		if s.state != slotFilling {
			continue
		}
		over := e.quiet || s.onlySeeded() || s.proven || e.stream.highest > s.last+passedGap
		if s.covered && (e.quiet || e.stream.highest > s.coverEnds || over && s.last > s.coverFrom) {
			s.covered, s.passed = false, false
		}
		switch {
		case !over:
			s.passed = false
		case !s.passed:
			s.passed, s.tries = true, 0
			s.askAt = now + e.backOff(s)
		}
		if waited := s.waiting; waited != e.mayWait(s) {
			s.waiting = !waited
			if waited {
				s.askAt = now + e.backOff(s)
			}
		}
		if s.passed && !s.covered && !s.waiting {
			e.askAt = earliest(e.askAt, s.askAt)
		}
	}
	e.schedule(now)
	e.rearm()
}

// Attention is the sequence of the packet of the stream up to which HandleSymbol does
// not move Deadline: a driver, or a simulation, may hand over earlier ones late, with
// the times when they came.
// Only simulations use it.
func (e *Engine) Attention() wire.Sequence { return e.lookAt }

// backOff orders receivers by how much they lack (R6). Of n receivers with the same loss, n·Q lack
// as much as this one or more. The receivers that probably lack most report in the first slot, and
// twice as many in each following slot. A slot is long enough for the repair advertisement to
// silence the next one.
func (e *Engine) backOff(s *slot) time.Duration {
	if s.onlySeeded() { // nobody knows who lacks it too
		return e.spreadOthers()
	}
	lost := int(s.symbolsNeeded) + int(s.rows)
	mean := (float64(s.k) + float64(s.rows)) * e.stream.loss()
	others := float64(max(e.session.Receivers, 1)) * atLeast(lost, mean)
	slots := math.Log2(1+others) + e.rand.Float64()
	return time.Duration(slots * float64(e.slotTime()))
}

// atLeast is the chance that a Poisson variable of that mean is n or more, by the
// normal distribution if the mean is large.
func atLeast(n int, mean float64) float64 {
	if mean >= 16 {
		return math.Erfc((float64(n)-mean)/math.Sqrt(2*mean)) / 2
	}
	term := math.Exp(-mean)
	below := 0.0
	for i := range min(n, 100) {
		below += term
		term *= mean / float64(i+1)
	}
	return max(0, 1-below)
}

// slotTime is the unit of back-off: a report reaches the sender, which gathers repair, and its
// repair advertisement comes back.
func (e *Engine) slotTime() time.Duration { return e.roundTrip + advTime }

// HandleRepairAdv records what the sender promises: NACKs that it covers are
// not reported (R7).
func (e *Engine) HandleRepairAdv(now time.Duration, o wire.RepairAdv) {
	if !e.believes(now, o.Sequence) {
		return
	}
	e.heard = now
	total := 0
	for n := range o.Pending.All() {
		total += int(n.Symbols)
	}
	ends := o.Sequence + wire.Sequence(2*total) + 2*passedGap
	for n := range o.Pending.All() {
		p, ok := e.slotOf(n.Object, n.Block)
		if !ok {
			continue
		}
		s := &e.slots[p]
		if s.state == slotFilling && !s.proven && s.symbolsNeeded <= n.Symbols && ends > e.stream.highest {
			s.covered, s.coverFrom, s.coverEnds = true, o.Sequence, ends
		}
	}
	e.stream.recordSent(o.Sequence)
	e.quiet = false
	e.look(now)
}

// slotOf finds a block in the window.
func (e *Engine) slotOf(o wire.Object, id block.ID) (p uint16, ok bool) {
	index := uint64(id)
	switch {
	case o == wire.Manifest:
		index += uint64(e.image)
	case index >= uint64(e.image):
		return 0, false
	}
	if index >= uint64(len(e.blockState)) {
		return 0, false
	}
	p = e.blockState[index]
	return p, p <= MaxWindow && e.slots[p].twin == (o == wire.Twin)
}

// HandleHeartbeat records how far the sender is. That the session is over, and what completes the
// image, counts only once the sender has said so by unicast: see End and Learn.
func (e *Engine) HandleHeartbeat(now time.Duration, h wire.Heartbeat) {
	if !e.believes(now, h.Sequence) {
		return
	}
	e.heartbeatBehind(now, h.Sequence)
	e.heard = now
	e.session.ReportInterval = h.ReportInterval
	e.session.Receivers = min(h.Receivers, maxReceivers)
	e.sample.follow(now, e.cfg.Receiver, &h.Sample)
	e.reportAt = min(e.reportAt, now+e.reportInterval(now))
	if h.RoundTrip > 0 {
		e.roundTrip = min(h.RoundTrip, maxRoundTrip)
	}
	if h.Clock != 0 {
		e.clock, e.clockAt = h.Clock, now
	}
	e.learn(h.Completion)
	e.stream.recordSent(h.Sequence)
	// A heartbeat that overtook symbols says too early that the pass has ended, and so does
	// a late one. Both cost a report.
	e.quiet = h.PassEnded && h.Sequence >= e.stream.highest
	if e.quiet {
		e.quietAt = e.stream.highest
	}
	e.follow(h)
	e.look(now)
}

// End records that the sender has ended the session, and how.
func (e *Engine) End(now time.Duration, s wire.SenderState) {
	switch s {
	case wire.SenderImageChanged:
		e.giveUp(now, wire.OutcomeIntegrity, "the image changed while it was served")
	case wire.SenderImageFailed:
		e.giveUp(now, wire.OutcomeFailed, "the server cannot read the image")
	case wire.SenderStopped:
		e.giveUp(now, wire.OutcomeInterrupted, "the server was stopped")
	}
}

// follow records where the carousel is.
func (e *Engine) follow(h wire.Heartbeat) {
	if h.Pass != e.pass {
		e.want.declared, e.want.lackFrom = 0, 0
		if e.pass != 0 {
			e.want.passed = true
		} else {
			for p := range e.slots {
				e.slots[p].pass = h.Pass
			}
		}
		e.pass = h.Pass
	}
	e.carouselBlock = min(uint32(h.CarouselBlock), e.image)
}

// Deadline is when Poll wants to be called next.
func (e *Engine) Deadline() time.Duration { return e.deadline }

// rearm computes the deadline.
func (e *Engine) rearm() {
	if e.naming > 0 && e.bye.state == byeNone {
		e.deadline = 0 // at once
		return
	}
	if e.bye.state != byeNone {
		e.deadline = e.bye.at
		return
	}
	at := min(e.reportAt, e.quietDue())
	if e.askAt != 0 {
		at = min(at, e.askAt)
	}
	if e.want.at != 0 {
		at = min(at, e.want.at)
	}
	if e.subblocks.at != 0 {
		at = min(at, e.subblocks.at)
	}
	if e.proving.at != 0 {
		at = min(at, e.proving.at)
	}
	if e.cfg.SilenceLimit > 0 && !e.gaveUp {
		at = min(at, e.heard+e.cfg.SilenceLimit)
	}
	e.deadline = at
}

// quietDue is when a silence of the stream begins to count as its end, whatever came last (R5).
func (e *Engine) quietDue() time.Duration {
	if e.quiet {
		return never
	}
	return e.inStream + quietTime
}

// Poll appends to dst the next packet that is due for the sender, and reports whether
// there was one. It is called again until there is none, then at Deadline, and
// after any call that moved the deadline; early calls are harmless.
func (e *Engine) Poll(now time.Duration, dst []byte) ([]byte, bool) {
	if now < e.deadline {
		return dst, false
	}
	dst, sent := e.poll(now, dst)
	e.rearm()
	return dst, sent
}

func (e *Engine) poll(now time.Duration, dst []byte) ([]byte, bool) {
	if e.bye.state != byeNone {
		return e.pollGoodbye(now, dst)
	}
	if l := e.cfg.SilenceLimit; l > 0 && now >= e.heard+l {
		e.giveUp(now, wire.OutcomeTimeLimit, "nothing came of the server for "+l.String())
	}
	if now >= e.quietDue() {
		e.quiet, e.quietAt = true, e.stream.highest
		e.look(now)
	}
	if e.askAt != 0 && now >= e.askAt {
		if e.collectNACKs(now) {
			return e.appendReport(now, dst), true
		}
	}
	if e.naming > 0 {
		if dst, sent := e.appendSymbols(dst); sent {
			return dst, true
		}
	}
	if e.proving.at != 0 && now >= e.proving.at {
		if dst, sent := e.appendWantedProof(now, dst); sent {
			return dst, true
		}
	}
	if e.subblocks.at != 0 && now >= e.subblocks.at {
		if dst, sent := e.appendWantedSubblocks(now, dst); sent {
			return dst, true
		}
	}
	if e.want.at != 0 && now >= e.want.at {
		return e.appendWanted(now, dst)
	}
	if now >= e.reportAt {
		e.collectNACKs(now)
		return e.appendReport(now, dst), true
	}
	return dst, false
}

// collectNACKs (R8, R9) fills the report with the NACKs of all blocks that lack something and are
// not covered, once one of them is due. It reports whether there are any. Blocks whose symbols are
// named begin a round of WantedSymbols instead.
func (e *Engine) collectNACKs(now time.Duration) bool {
	e.report.NACKs = e.report.NACKs.Reset()
	e.askAt = 0
	alone := e.session.Receivers <= 1
	dropped := false
	for p := range e.slots {
		s := &e.slots[p]
		if s.state != slotFilling || !s.passed || s.covered || s.waiting {
			continue
		}
		if s.tries > 0 && now < s.askAt { // told, and waiting for the answer
			e.askAt = earliest(e.askAt, s.askAt)
			continue
		}
		if s.tries >= stuckTries && !s.proven && !s.seeded && e.UsesProofs() {
			e.prove(now, p) // it may be somebody else's symbols that make it lack some
			continue
		}
		if s.incidental() {
			e.drop(p)
			dropped = true
			continue
		}
		named := alone || s.proven || e.large(s)
		if !named && e.report.NACKs.Len() == wire.MaxTimedNACKs { // in the next report, at once
			e.askAt = earliest(e.askAt, max(now, 1))
			continue
		}
		s.askAt = now + min(max(8*e.slotTime(), 4*time.Millisecond)<<min(s.tries, 10), max(e.session.ReportInterval, maxWantRetry))
		s.tries = min(s.tries+1, 100)
		e.askAt = earliest(e.askAt, s.askAt)
		if named {
			if e.naming == 0 || p+1 < e.naming {
				e.naming = p + 1
			}
			continue
		}
		o, id := e.slotRef(s)
		e.report.NACKs = e.report.NACKs.Append(wire.SymbolCount{Object: o, Block: id, Symbols: s.symbolsNeeded})
	}
	if dropped {
		e.schedule(now)
	}
	return e.report.NACKs.Len() > 0
}

// mayWait reports whether a block that lacks much may wait (R10): while there is room, and
// until the carousel comes by again. Then it brings what twenty new receivers would otherwise
// have requested one by one.
func (e *Engine) mayWait(s *slot) bool {
	if s.onlySeeded() || s.incidental() || s.proven {
		return false
	}
	passedBy := e.pass != s.pass && e.carouselBlock > s.index
	return (e.large(s) || s.late) && !e.quiet && !passedBy && keepRoom*e.freeSlots() >= e.window
}

// appendSymbols appends the next packet of a round of WantedSymbols.
func (e *Engine) appendSymbols(dst []byte) ([]byte, bool) {
	// A list ascends, and slots do not: a packet ends where the order does.
	e.symbols = e.symbols.Reset()
	alone := e.session.Receivers <= 1
	after := int64(-1)
	for ; e.naming > 0 && e.naming <= len(e.slots); e.naming++ {
		s := &e.slots[e.naming-1]
		if s.state != slotFilling || !s.passed || s.covered || s.waiting || s.tries == 0 ||
			!alone && !s.proven && !e.large(s) {
			continue
		}
		place := int64(s.index)
		if s.twin { // behind all others
			place += 1 << 32
		}
		if place < after {
			break
		}
		full := e.appendMissing(s)
		after = place
		if full {
			e.naming++
			break
		}
	}
	if e.naming > len(e.slots) {
		e.naming = 0
	}
	if e.symbols.Len() == 0 {
		return dst, false
	}
	return wire.WantedSymbols{
		Session: e.session.ID, Receiver: e.cfg.Receiver, Highest: e.stream.seen(), Ranges: e.symbols,
	}.AppendTo(dst), true
}

// appendMissing names as many source symbols of s as it needs, and reports whether
// the packet is full.
func (e *Engine) appendMissing(s *slot) (full bool) {
	o, id := e.slotRef(s)
	need := int(s.symbolsNeeded)
	for first := 0; need > 0 && first < int(s.k); {
		if s.bits.Has(uint32(first)) {
			first++
			continue
		}
		end := first + 1
		for end < int(s.k) && end-first < need && !s.bits.Has(uint32(end)) {
			end++
		}
		if e.symbols.Len() == wire.MaxSymbolRanges {
			return true
		}
		e.symbols = e.symbols.Append(wire.SymbolRange{Object: o, Block: id, First: uint16(first), Count: uint16(end - first)})
		need -= end - first
		first = end
	}
	return e.symbols.Len() == wire.MaxSymbolRanges
}

// slotRef names the encoding of a block that is in a slot.
func (e *Engine) slotRef(s *slot) (o wire.Object, id block.ID) {
	if o, id = e.ref(s.index); s.twin {
		o = wire.Twin
	}
	return o, id
}

// ref is the object and the number of block index.
func (e *Engine) ref(index uint32) (wire.Object, block.ID) {
	if index >= e.image {
		return wire.Manifest, block.ID(index - e.image)
	}
	return wire.Image, block.ID(index)
}

// appendReport appends the report with the NACKs gathered.
func (e *Engine) appendReport(now time.Duration, dst []byte) []byte {
	r := &e.report
	r.Session, r.Receiver = e.session.ID, e.cfg.Receiver
	r.Highest = e.stream.seen()
	r.Number++
	r.Clock, r.ClockHeld = e.clock, 0
	if e.clock != 0 {
		r.ClockHeld = now - e.clockAt
	}
	r.BlocksDone = e.done
	r.Counts = e.stream.counts()
	r.Backlog = uint32(len(e.slots) - len(e.free))
	r.Room = uint32(e.freeSlots())
	if e.tight {
		// It requests as many blocks as it has slots. Those that fill wait for the sender and not
		// for the target, and must not slow the stream down.
		behind := e.inState(slotSolving) + e.inState(slotWriting)
		r.Backlog, r.Room = uint32(behind), uint32(max(0, e.window-behind))
	}
	r.Phase = wire.PhaseReceiving
	switch {
	case e.unverified > 0:
		r.Phase = wire.PhaseChecking
	case e.Complete():
		r.Phase = wire.PhaseFinishing
	}
	r.Limit = wire.LimitNone
	switch {
	case e.slow || e.diskBound():
		r.Limit = wire.LimitDisk
	case e.inState(slotSolving)*2 >= e.window:
		r.Limit = wire.LimitCPU
	case r.Counts.Dropped > 0:
		r.Limit = wire.LimitSocket
	case r.Counts.Lost > 0:
		r.Limit = wire.LimitWire
	}
	r.Arrival, r.Timed = e.arrival(now)
	dst = r.AppendTo(dst)
	r.NACKs = r.NACKs.Reset()
	e.reportAt = now + e.reportInterval(now)
	return dst
}

// earliest is the earlier of two times, of which 0 is none.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
