package room

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/sender"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// wireOverhead is what Ethernet, IP and UDP add to each packet.
const wireOverhead = 66

// senderWake is when the sender has something to do of itself.
func (r *Room) senderWake() time.Duration {
	at := simnet.Never
	if !r.alive {
		at = r.backAt
	} else {
		at = r.sender.Deadline()
	}
	if r.deaths < len(r.cfg.Deaths) {
		at = min(at, r.cfg.Deaths[r.deaths])
	}
	for _, s := range r.cfg.Stalls {
		if s[1] > r.now {
			at = min(at, s[1])
		}
	}
	return at
}

// runSender lets the sender live until a time.
func (r *Room) runSender(until time.Duration) {
	t := r.now
	for t < until {
		if r.deaths < len(r.cfg.Deaths) && t >= r.cfg.Deaths[r.deaths] {
			r.deaths++
			r.alive, r.awake = false, false
			r.backAt = t + r.cfg.DeadTime
		}
		if !r.alive {
			if t >= r.backAt {
				r.startSender(t)
				r.send(t, &control{kind: wire.TypeDescription, session: r.session}, 200)
			} else {
				for r.feedback.At() < min(until, r.backAt) {
					r.feedback.Pop() // nobody hears it
				}
				t = min(until, r.backAt)
				continue
			}
		}
		next := max(r.sender.Deadline(), t)
		if r.awake {
			next = min(next, max(r.free, t))
		}
		next = min(next, max(r.feedback.At(), t))
		if next >= until {
			return
		}
		t = next
		if r.stalled(t) {
			t += r.lookout
			continue
		}
		if r.feedback.At() <= t {
			_, m := r.feedback.Pop()
			r.receive(t, m)
			r.awake = true
		}
		if r.sender.Deadline() <= t {
			r.pollSender(t)
		}
		if r.awake && r.free <= t {
			r.next(t)
			r.pollSender(t)
		}
	}
}

func (r *Room) stalled(t time.Duration) bool {
	for _, s := range r.cfg.Stalls {
		if s.holds(t) {
			return true
		}
	}
	return false
}

// next sends the next packet of the stream.
func (r *Room) next(t time.Duration) {
	if r.untilRead--; r.untilRead <= 0 {
		r.untilRead = readAhead
		r.prepare(t)
	}
	s := r.sender.Next(t)
	for s.Kind == sender.Nothing && r.prepare(t) {
		s = r.sender.Next(t)
	}
	if s.Kind == sender.Nothing && t >= r.idleAt {
		r.complete(t) // there was time to read what nobody wanted
	}
	switch s.Kind {
	case sender.Nothing:
		r.awake = false
		return
	case sender.Symbol:
		r.Result.Symbols++
		if s.Symbol.Object == wire.Image && s.Symbol.Symbol.IsSource(int(s.Symbol.K)) && r.sender.Pass() <= 1 {
			r.Result.LastSource = t
		}
		r.put(t, packet{symbol: s.Symbol}, r.cfg.PacketTime)
	case sender.Subblocks:
		r.sendSubblockDigests(t, s.Subblocks)
	case sender.ZeroRun:
		r.Result.ZeroRuns++
		r.put(t, packet{control: &control{kind: wire.TypeZeroRun, session: r.session, zeros: s.Zeros}}, r.cfg.PacketTime/10)
	}
}

// put sends p, which takes the wire for d.
func (r *Room) put(t time.Duration, p packet, d time.Duration) {
	r.free = max(r.free, t) + d
	p.at = r.free + time.Duration(r.rand.Int64N(int64(jitter)))
	if r.common.Lost(r.base + uint64(len(r.air))) {
		p = packet{at: p.at, control: &control{kind: 0}}
	}
	r.air = append(r.air, p)
	if p.control != nil {
		r.controls = r.base + uint64(len(r.air))
	} else {
		r.sequence = p.symbol.Sequence
	}
	r.unread = len(r.nodes)
}

// send sends a control packet of size bytes.
func (r *Room) send(t time.Duration, c *control, size int) {
	r.Result.Control++
	r.put(t, packet{control: c}, r.cfg.PacketTime*time.Duration(size+wireOverhead)/(symbolSize+wire.SymbolHeaderSize+wireOverhead))
}

// sendSubblockDigests sends the digests of a block's sub-blocks.
func (r *Room) sendSubblockDigests(t time.Duration, ref sender.Ref) {
	left := 1 << 20 / block.SubblockSize
	for first := 0; left > 0; first += wire.MaxSubblocks {
		p := wire.SubblockDigests{Session: r.session, Block: ref.Block, K: r.sender.K(ref.Block), First: uint16(first)}
		for range min(left, wire.MaxSubblocks) {
			p.Digests = p.Digests.Append(0)
			left--
		}
		r.Result.Subblocks++
		b := p.AppendTo(nil)
		r.send(t, parseControl(b), len(b))
	}
}

// pollSender sends what is due.
func (r *Room) pollSender(t time.Duration) {
	for {
		b, ok := r.sender.Poll(t, r.buffer[:0])
		r.buffer = b
		if !ok {
			return
		}
		r.send(t, parseControl(b), len(b))
	}
}

// parseControl keeps what a control packet says, as each receiver would read it.
func parseControl(b []byte) *control {
	b = append([]byte(nil), b...)
	t, session, err := wire.Peek(b)
	c := &control{kind: t, session: session}
	switch t {
	case wire.TypeRepairAdv:
		c.owed, err = wire.ParseRepairAdv(b)
	case wire.TypeHeartbeat:
		c.heartbeat, err = wire.ParseHeartbeat(b)
	case wire.TypeSubblockDigests:
		c.subblocks, err = wire.ParseSubblockDigests(b)
	case wire.TypeGoodbyeAck:
		c.ack, err = wire.ParseGoodbyeAck(b)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// readAhead is how many blocks are made ready before they are sent.
const readAhead = 64

// prepare does what reading ahead does, and reports whether there was anything to read.
func (r *Room) prepare(t time.Duration) bool {
	r.ready = r.sender.Upcoming(r.ready[:0], readAhead)
	for _, ref := range r.ready {
		switch {
		case ref.Object == wire.Manifest:
			r.sender.Ready(ref, r.manifestK())
			continue
		case r.zeros[ref.Block]:
			r.sender.Zero(ref.Block)
		default:
			r.sender.Ready(ref, r.cfg.K)
		}
		if r.read++; r.read == r.cfg.Blocks {
			r.complete(t)
		}
	}
	return len(r.ready) > 0
}

// complete reports that all of the image was read.
func (r *Room) complete(t time.Duration) {
	r.sender.SetCompletion(t, wire.Completion{ManifestSize: r.manifestSize()})
	r.pollSender(t) // it is told before it is sent
}

// manifestSize: a digest a block.
func (r *Room) manifestSize() uint64 { return 32 * (uint64(r.cfg.Blocks) + 1) }

func (r *Room) manifestK() uint16 {
	return uint16(min((r.manifestSize()+64+symbolSize-1)/symbolSize, uint64(r.cfg.K)))
}

// receive handles a message that has arrived at the sender.
func (r *Room) receive(t time.Duration, m message) {
	if m.offer != nil {
		r.Result.Offers++
		r.sender.Join(t, m.offer.id)
		m.offer.answer(t, r.description())
		return
	}
	second := int(t / time.Second)
	for len(r.Result.PerSecond) <= second {
		r.Result.PerSecond = append(r.Result.PerSecond, 0)
	}
	r.Result.PerSecond[second]++
	if r.handle(t, m.packet) && r.cfg.Replays > 0 {
		r.replay(t, m.packet)
	}
}

// handle hands a packet to the sender, and reports whether it is one of this session.
func (r *Room) handle(t time.Duration, b []byte) bool {
	kind, session, err := wire.Peek(b)
	if err != nil || session != r.session {
		return false
	}
	switch kind {
	case wire.TypeReport:
		if p, err := wire.ParseReport(b); err == nil {
			r.Result.Feedback[kind]++
			r.sender.HandleReport(t, p)
		}
	case wire.TypeWanted:
		if p, err := wire.ParseWanted(b); err == nil {
			r.Result.Feedback[kind]++
			r.sender.HandleWanted(t, p)
		}
	case wire.TypeWantedSymbols:
		if p, err := wire.ParseWantedSymbols(b); err == nil {
			r.Result.Feedback[kind]++
			r.sender.HandleWantedSymbols(t, p)
		}
	case wire.TypeWantedSubblocks:
		if p, err := wire.ParseWantedSubblocks(b); err == nil && !r.cfg.NoSubblocks {
			r.Result.Feedback[kind]++
			r.sender.HandleWantedSubblocks(t, p)
		}
	case wire.TypeGoodbye:
		if p, err := wire.ParseGoodbye(b); err == nil {
			r.Result.Feedback[kind]++
			r.sender.HandleGoodbye(t, p)
		}
	}
	return true
}
