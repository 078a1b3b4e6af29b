package sender

import (
	"slices"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Join records a receiver that is admitted to unicast. Receivers of the group need none:
// their first packet in the session records them.
func (e *Engine) Join(now time.Duration, id wire.ReceiverID) {
	e.recordReceiver(now, id)
}

// Leave drops a receiver that has changed to another stream.
func (e *Engine) Leave(id wire.ReceiverID) {
	if e.peers.remove(id) && len(e.peers.list) == 0 {
		e.clear()
	}
}

// Forget drops all that is known of a receiver, its goodbye too: it was a stranger's.
func (e *Engine) Forget(id wire.ReceiverID) {
	e.Leave(id)
	delete(e.peers.gone, id)
}

// recordReceiver returns a receiver, which it adds if necessary: a receiver that was dropped may
// come again. It returns nil for one that has said goodbye, and if there are too many.
func (e *Engine) recordReceiver(now time.Duration, id wire.ReceiverID) *peer {
	p := e.peers.find(id)
	if p == nil {
		if e.peers.gone[id] || len(e.peers.list) == maxPeers {
			return nil
		}
		p = e.peers.add(now, id)
		p.room = e.flow.first(now)
		p.growth.at, p.growth.time = e.sequence, now
		e.most = max(e.most, len(e.peers.list))
		if len(e.peers.list) == 1 {
			e.beat(now)
			e.beatPause = firstHeartbeat / 2
		}
	}
	p.heard = now
	return p
}

// Interval is how often a receiver is to report (S13).
func (e *Engine) Interval() time.Duration {
	d := time.Duration(float64(len(e.peers.list)) * packetsPerReport / e.rate * float64(time.Second))
	return min(max(d, minReportInterval), maxReportInterval)
}

// HandleReport takes a report of this session.
func (e *Engine) HandleReport(now time.Duration, r wire.Report) {
	p := e.recordReceiver(now, r.Receiver)
	if p == nil || r.Number <= p.number {
		return
	}
	p.number = r.Number
	e.measure(now, r.Clock, r.ClockHeld)
	p.limit = r.Limit
	e.grew(now, p, r.BlocksDone)
	p.count(r.Counts)
	p.noStream = e.sequence > max(r.Highest, e.origin)+max(noStreamLag, wire.Sequence(e.rate/4))
	e.classify(now, p)
	// Somebody in the sender's place may have told it of packets that were not sent.
	r.Highest = min(r.Highest, e.sequence)
	if e.flow.on {
		e.flow.handle(now, &p.room, &r)
	}
	for k := range r.NACKs.Len() {
		n := r.NACKs.At(k)
		if i, ok := e.index(n.Object, n.Block); ok && e.mayRepair(now, p) {
			e.handleNACK(now, p, i, int(n.Symbols), r.Highest)
		}
	}
}

// measure measures the round trip by a clock that came back.
func (e *Engine) measure(now time.Duration, c wire.Clock, held time.Duration) {
	if c == 0 {
		return
	}
	sample := time.Duration(uint32(e.clock(now))-uint32(c))*time.Microsecond - held
	if sample < 0 || sample > maxRoundTrip {
		return
	}
	if sample = max(sample, minRoundTrip); sample > e.roundTrip {
		e.roundTrip = sample
	} else {
		e.roundTrip -= (e.roundTrip - sample) / 16
	}
}

func (e *Engine) clock(now time.Duration) wire.Clock {
	return max(1, wire.Clock(uint64(now.Microseconds())))
}

// count takes a report's counts: loss is smoothed over about 16384 packets.
func (p *peer) count(c wire.PacketCounts) {
	if c.Received < p.received || c.Lost < p.lost {
		p.received, p.lost = c.Received, c.Lost // it began anew
		return
	}
	received, lost := c.Received-p.received, c.Lost-p.lost
	const enough, span = 256, 16384
	if received+lost < enough {
		return
	}
	p.received, p.lost = c.Received, c.Lost
	share := float64(lost) / float64(received+lost)
	if !p.reported {
		p.loss, p.reported = share, true
		return
	}
	p.loss += (share - p.loss) * min(1, float64(received+lost)/span)
}

// classify decides whether p is a straggler (S16).
func (e *Engine) classify(now time.Duration, p *peer) {
	if spent := e.sequence - p.streamed; spent >= 4*minSpent {
		p.caused /= 2
		p.streamed = e.sequence - spent/2
	}
	median, ok := e.peers.medianLoss(now)
	spent := p.caused / float64(max(e.sequence-p.streamed, minSpent))
	bad := (p.loss > stragglerLoss || spent > stragglerSpent) && max(p.loss, spent) > stragglerFactor*median
	straggler := p.limit == wire.LimitDisk || p.noStream || e.stuck(now, p) || ok && bad
	if straggler == p.straggler {
		return
	}
	p.straggler = straggler
	e.addWanted(p, p.want)
}

// charge records symbols that are pending because of p, which may make it a straggler.
func (e *Engine) charge(now time.Duration, p *peer, symbols int) {
	p.caused += float64(symbols)
	e.classify(now, p)
}

// handleNACK handles a NACK of p for block i. p has seen the stream up to seen (S8).
func (e *Engine) handleNACK(now time.Duration, p *peer, i uint32, need int, seen wire.Sequence) {
	b := &e.blocks[i]
	if b.k == 0 {
		e.addUnsent(p, i)
		return
	}
	if b.has(flagSending) {
		return
	}
	need = min(need, int(b.k)) - b.coming(seen, e.sequence)
	if need <= 0 {
		return
	}
	median, _ := e.peers.medianLoss(now)
	median = min(median, 0.5)
	// More than a quarter of a block, and more than loss takes of every block.
	much := max(float64(b.k+3)/4, usualLoss*median*float64(b.k))
	if p.straggler || need > fewSymbols && float64(need) > much {
		if !e.stragglerJobs.merge(i, uint16(need)) {
			if b.repairPending == 0 {
				b.set(flagFresh)
			}
			e.stragglerJobs.add(job{index: i, count: uint16(need), repair: true})
		}
		return
	}
	need += int(float64(need)*median/(1-median) + 0.5)
	if e.regular.todo.Count() == 0 && len(e.regular.members) == 0 {
		need++ // the end: a round more would cost more than a symbol
	}
	need = min(need, int(b.k))
	if need <= int(b.repairPending) {
		return
	}
	more := need - int(b.repairPending)
	e.charge(now, p, more)
	if b.repairPending == 0 {
		b.set(flagFresh)
	}
	e.addRepair(i, need)
	e.recordRaised(i, more)
	e.advertise(now, i)
}

// recordRaised records the repair requested for block i, to adapt the proactive repair.
func (e *Engine) recordRaised(i uint32, more int) {
	r := &e.recent
	if k := slices.Index(r.all(), i); k >= 0 {
		r.raised[k] = uint16(min(int(r.raised[k])+more, 1<<16-1))
	}
}

// advertise puts block i into the next repair advertisement (S11).
func (e *Engine) advertise(now time.Duration, i uint32) {
	if len(e.advBlocks) >= wire.MaxPending || slices.Contains(e.advBlocks, i) {
		return
	}
	e.advBlocks = append(e.advBlocks, i)
	if e.advAt == never {
		e.advAt = now + advDelay
	}
}

// HandleWanted takes a page of the blocks that a receiver wants whole (S10).
func (e *Engine) HandleWanted(now time.Duration, w wire.Wanted) {
	p := e.recordReceiver(now, w.Receiver)
	if p == nil || w.Generation < p.generation {
		return
	}
	w.Highest = min(w.Highest, e.sequence)
	want := p.want
	if w.Generation > p.generation {
		p.generation = w.Generation
		want = want[:0:0]
	}
	if e.peers.ranges+w.Ranges.Len() > maxRanges {
		return
	}
	before := len(want)
	for r := range w.Ranges.All() {
		lo, hi, ok := e.span(r)
		if !ok {
			continue
		}
		want = append(want, block.Range{Lo: lo, Hi: hi})
	}
	want = append(want[:before], e.hear(now, p, want[before:])...)
	added := slices.Clone(want[before:])
	e.peers.setWant(p, normalize(want))
	coming := e.coming(w.Highest, e.todo(p))
	e.addWanted(p, added)
	for _, i := range coming {
		e.todo(p).Remove(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
	}
}

// coming lists the blocks that are under way to a receiver that has seen the stream up to seen:
// the blocks that are being sent, whose NACKs come later, and the last ones that were sent after
// seen. It leaves out the blocks in todo, which a receiver wants again.
func (e *Engine) coming(seen wire.Sequence, todo *block.Set) []uint32 {
	e.underWay = e.underWay[:0]
	for _, w := range []*carousel{&e.regular, &e.stragglers} {
		for _, m := range w.members {
			if !todo.Has(uint64(m.index)) {
				e.underWay = append(e.underWay, m.index)
			}
		}
	}
	if seen == 0 {
		return e.underWay
	}
	for _, i := range e.recent.all() {
		if e.blocks[i].sentAfter(seen, e.sequence) && !todo.Has(uint64(i)) {
			e.underWay = append(e.underWay, i)
		}
	}
	return e.underWay
}

// span is a range of blocks in one numbering; false if the object has none there.
func (e *Engine) span(r wire.Range) (lo, hi uint64, ok bool) {
	lo, hi = uint64(r.First), uint64(r.First)+uint64(r.Count)
	if r.Object == wire.Manifest {
		lo, hi = lo+uint64(e.image), min(hi+uint64(e.image), uint64(e.image)+uint64(e.manifest))
	} else {
		hi = min(hi, uint64(e.image))
	}
	return lo, hi, lo < hi
}

// normalize sorts ranges and joins those that touch.
func normalize(ranges []block.Range) []block.Range {
	slices.SortFunc(ranges, func(a, b block.Range) int {
		switch {
		case a.Lo < b.Lo:
			return -1
		case a.Lo > b.Lo:
			return 1
		}
		return 0
	})
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.Lo <= out[n-1].Hi {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// todo is what is to be passed for p.
func (e *Engine) todo(p *peer) *block.Set {
	if p.straggler {
		return e.stragglers.todo
	}
	return e.regular.todo
}

// addWanted puts ranges into the carousel for p.
func (e *Engine) addWanted(p *peer, ranges []block.Range) {
	block.AddRanges(e.todo(p), ranges)
}

// addUnsent adds a block of which a receiver lacks symbols, and which was never sent: what it has
// is somebody else's, or of a session before.
func (e *Engine) addUnsent(p *peer, i uint32) {
	if e.peers.ranges == maxRanges {
		return
	}
	r := []block.Range{{Lo: uint64(i), Hi: uint64(i) + 1}}
	e.peers.setWant(p, normalize(append(slices.Clone(p.want), r...)))
	e.addWanted(p, r)
}

// HandleWantedSymbols takes source symbols that a receiver names (S9).
func (e *Engine) HandleWantedSymbols(now time.Duration, w wire.WantedSymbols) {
	p := e.recordReceiver(now, w.Receiver)
	if p == nil {
		return
	}
	w.Highest = min(w.Highest, e.sequence)
	for r := range w.Ranges.All() {
		i, ok := e.index(r.Object, r.Block)
		if !ok || !e.mayRepair(now, p) {
			continue
		}
		b := &e.blocks[i]
		if b.k == 0 {
			e.addUnsent(p, i)
			continue
		}
		if b.has(flagSending) || uint32(r.First)+uint32(r.Count) > uint32(b.k) || b.sentAfter(w.Highest, e.sequence) {
			continue
		}
		queue := &e.jobs
		if p.straggler {
			queue = &e.stragglerJobs
		}
		first, count := queue.without(i, r.First, r.Count)
		if count == 0 {
			continue
		}
		b.set(flagFresh)
		e.charge(now, p, int(count))
		queue.add(job{index: i, first: first, count: count})
	}
}

// HandleGoodbye handles a goodbye, and reports whether the receiver was unfinished. All receivers hear
// the acknowledgement.
func (e *Engine) HandleGoodbye(now time.Duration, g wire.Goodbye) bool {
	known := e.EndReceiver(g.Receiver)
	if e.acks.Len() < wire.MaxGoodbyeAcks {
		e.acks = e.acks.Append(g.Receiver)
		if e.ackAt == never {
			e.ackAt = now + ackDelay + time.Duration(e.most)*ackSpread
		}
		if e.acks.Len() == wire.MaxGoodbyeAcks {
			e.ackAt = now
		}
	}
	return known
}

// EndReceiver ends a receiver whose goodbye the driver acknowledges, and reports whether it was
// unfinished.
func (e *Engine) EndReceiver(id wire.ReceiverID) bool {
	known := e.peers.remove(id)
	e.peers.recordGoodbye(id)
	if len(e.peers.list) == 0 {
		e.clear()
	}
	return known
}

// clear drops everything pending: no receiver is left (S1).
func (e *Engine) clear() {
	for i, ok := e.repairPending.next(0); ok; i, ok = e.repairPending.next(i) {
		e.blocks[i].repairPending = 0
		e.repairPending.remove(i)
	}
	e.jobs.reset()
	e.stragglerJobs.reset()
	e.subblocks.reset()
	for _, w := range []*carousel{&e.regular, &e.stragglers} {
		for _, m := range w.members {
			e.blocks[m.index].clear(flagSending)
		}
		w.todo.Remove(block.Range{Lo: 0, Hi: w.todo.N()})
		w.members, w.at = w.members[:0], 0
		w.zeros, w.repeat = w.zeros[:0], w.repeat[:0]
	}
	e.advBlocks, e.advAt = e.advBlocks[:0], never
	e.beatAt = never
	e.idle = true
}
