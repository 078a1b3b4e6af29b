package room

import (
	"encoding/binary"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/guard"
	"multiserver/internal/probe"
	"multiserver/internal/receiver"
	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/startgate"
	"multiserver/internal/wire"
)

const (
	// wireOverhead is what Ethernet, IP and UDP add to each packet.
	wireOverhead = 66
	// gateTick and lapseTick are how often a driver asks whether the stream may begin, and
	// drops who and what has gone silent.
	gateTick  = 5 * time.Millisecond
	lapseTick = 100 * time.Millisecond
	// clientTimeout is how long a receiver that is silent is waited for.
	clientTimeout = 10 * time.Second
	// readAhead is how many blocks are made ready before they are sent.
	readAhead = 64
)

// server is the sender of one session, as its driver puts it together.
type server struct {
	room  *Room
	id    wire.SessionID
	group *stream
	// unicast is nil while nobody wanted it.
	unicast  *stream
	peers    *routes.Unicast
	networks routes.Networks
	share    share
	start    start
	reader   reader
	board    *board
	numbers  *guard.Numbers // nil without an intruder

	awake   bool // it has something to send
	lapseAt time.Duration
	buffer  []byte
}

// stream is an engine and whom its packets go to.
type stream struct {
	engine *sender.Engine
	to     *audience
	// Since the last lapse: how much it sent, and whether it had nothing to send.
	sent   int
	rested bool
}

// start decides when the stream begins.
type start struct {
	closed bool // the streams are held back
	gate   startgate.Gate
	prober *probe.Sender // nil if there is no gate
	at     time.Duration // when it is to be asked again
}

// reader is what a block store tells of the image.
type reader struct {
	ready      []sender.Ref
	known      []bool // blocks that were read
	count      uint32 // of these
	until      int    // packets until it looks ahead again
	idleAt     time.Duration
	completion wire.Completion
}

func newServer(r *Room, now time.Duration) *server {
	secret := binary.BigEndian.AppendUint64(nil, uint64(r.session))
	mode := routes.Never
	if r.cfg.Unicast {
		mode = routes.Auto
	}
	s := &server{
		room: r, id: r.session, awake: true, lapseAt: now,
		group:  &stream{engine: sender.New(now, sender.Config{Session: r.session, Image: r.geometry})},
		peers:  routes.NewUnicast(mode, secret),
		board:  newBoard(r),
		reader: reader{known: make([]bool, r.cfg.Blocks), idleAt: now + 100*time.Millisecond},
	}
	if r.cfg.Flow {
		s.group.engine.SetCoded(symbolSize)
	}
	s.group.engine.SetRate(float64(time.Second) / float64(r.cfg.PacketTime))
	s.networks.Add(now, r.nodes[0].spec.Path.Network) // where the first offer comes from
	s.redirectGroup()
	if r.cfg.Intruder > 0 {
		s.numbers = guard.NewNumbers()
	}
	if g := r.cfg.Start; g != nil {
		s.start.closed = true
		s.start.gate = startgate.Gate{MinReceivers: g.MinReceivers, MinWait: g.MinWait, MaxWait: g.MaxWait}
		s.start.prober = probe.NewSender(probe.SenderConfig{
			Session: s.id, PacketSize: fullBytes, PacketBits: 8 * (fullBytes + wireOverhead),
		})
		s.group.engine.SetGateClosed(now, true)
	}
	return s
}

func (s *server) redirectGroup() {
	s.group.to = &audience{}
	for _, each := range s.networks.Indices(nil) {
		s.group.to.networks |= 1 << each
	}
}

// of is the stream that a receiver takes.
func (s *server) of(id wire.ReceiverID) *stream {
	if s.peers.Serves(id) {
		return s.unicast
	}
	return s.group
}

// knows tells whether a receiver is unfinished and was heard lately.
func (s *server) knows(id wire.ReceiverID) bool { return s.of(id).engine.Knows(id) }

// unfinished is the count of receivers that are not done.
func (s *server) unfinished() int {
	n := s.group.engine.Receivers()
	if s.unicast != nil {
		n += s.unicast.engine.Receivers()
	}
	return n
}

// streams are those that there are, in the order of their turns.
func (s *server) streams() (all [2]*stream) {
	all = [2]*stream{s.group, s.unicast}
	if s.unicast != nil && s.share.unicastFirst() {
		all = [2]*stream{s.unicast, s.group}
	}
	return all
}

// deadline is when something is to be done, whatever comes in.
func (s *server) deadline() time.Duration {
	at := s.group.engine.Deadline()
	if s.unicast != nil {
		at = min(at, s.unicast.engine.Deadline())
	}
	if s.start.closed {
		at = min(at, s.start.at)
	}
	if s.unfinished() > 0 || s.unicast != nil && s.unicast.to != nil {
		at = min(at, s.lapseAt)
	}
	return at
}

// description is what the sender would say of its session to a node.
func (s *server) description(n *node) answer {
	proof := wire.Token(0)
	if s.numbers != nil {
		s.numbers.Offer(s.room.now, n.id, n.machine.addr, true, false)
		proof = s.peers.Proof(n.id, n.machine.addr)
	}
	return answer{
		proof: proof,
		Session: receiver.Session{
			ID: s.id, ReportInterval: s.group.engine.Interval(), Receivers: uint32(s.unfinished()),
			Completion: s.reader.completion, Sequence: s.of(n.id).engine.Sequence(), TellsSequence: true,
		},
		token: s.peers.Token(n.id, n.machine.addr),
	}
}

// tick does what is due by the clock.
func (s *server) tick(t time.Duration) {
	if s.start.closed && t >= s.start.at {
		s.askGate(t)
	}
	if t < s.lapseAt {
		return
	}
	s.lapseAt = t + lapseTick
	if s.networks.Lapse(t, s.group.engine.Interval()) {
		s.redirectGroup()
	}
	if s.unicast != nil {
		for _, id := range s.peers.Lapse(nil, t, s.unicast.engine.Interval()) {
			s.endUnicast(id)
		}
		if !s.unicast.rested && s.unicast.sent > 0 {
			s.unicast.engine.SetRate(max(1, float64(s.unicast.sent)/lapseTick.Seconds()))
		}
		s.unicast.sent, s.unicast.rested = 0, false
	}
	if p := s.start.prober; p != nil {
		s.setGate(t) // somebody may hear the group by now
		if p.SeekDue(t, s.group.engine.Receivers()) {
			s.sendTrain(t)
		}
	}
	if s.numbers != nil {
		s.numbers.Retain(s.knows)
	}
	s.board.table.EndSilent(time.Unix(0, 0).Add(t), clientTimeout, s.knows)
}

// askGate asks whether the streams may begin.
func (s *server) askGate(t time.Duration) {
	s.start.at = t + gateTick
	opened := s.start.gate.Opened()
	open := s.start.gate.Open(t, s.knows, s.board.table.Refused(time.Unix(0, 0).Add(t), clientTimeout))
	if !opened {
		s.checkGate(t, open)
	}
	if !open {
		return
	}
	if !opened {
		s.room.Result.Opened = append(s.room.Result.Opened, t)
	}
	multicast := s.group.engine.Receivers()
	switch s.start.prober.Poll(t, probe.Receivers{Unfinished: s.unfinished(), Multicast: multicast, Knows: s.knows}) {
	case probe.SendTrain:
		s.sendTrain(t)
	case probe.BeginStream:
		s.start.closed = false
		s.room.Result.Began = append(s.room.Result.Began, t)
		s.setGate(t)
		s.awake = true
	}
}

// checkGate holds what the gate says against a count of its own.
func (s *server) checkGate(t time.Duration, open bool) {
	g, b := s.room.cfg.Start, s.board
	present := b.table.Refused(time.Unix(0, 0).Add(t), clientTimeout)
	for _, id := range b.ids {
		if s.knows(id) {
			present++
		}
	}
	waited := t - b.first
	should := len(b.ids) > 0 && (present >= g.MinReceivers && waited >= g.MinWait || g.MaxWait > 0 && waited >= g.MaxWait)
	if open != should {
		s.room.fail("the gate is open: %v, with %d receivers, %v after the first", open, present, waited)
	}
}

// setGate holds the streams back; the group's also as long as nobody hears the group.
func (s *server) setGate(t time.Duration) {
	s.group.engine.SetGateClosed(t, s.start.closed || s.start.prober.Unreached())
	if s.unicast != nil {
		s.unicast.engine.SetGateClosed(t, s.start.closed)
	}
}

// sendTrain sends a train of probes.
func (s *server) sendTrain(t time.Duration) {
	small, full := s.start.prober.Train(t)
	s.room.Result.Probes++
	s.put(t, s.group, packet{control: parseControl(small)}, true)
	for ; len(full) > 0; full = full[fullBytes:] {
		s.room.Result.Probes++
		s.put(t, s.group, packet{control: parseControl(full[:fullBytes])}, true)
	}
}

// serverWake is when the sender has something to do of itself.
func (r *Room) serverWake() time.Duration {
	at := r.life.backAt
	if r.life.alive {
		at = r.server.deadline()
	}
	if r.life.deaths < len(r.cfg.Deaths) {
		at = min(at, r.cfg.Deaths[r.life.deaths])
	}
	for _, s := range r.cfg.Stalls {
		if s[1] > r.now {
			at = min(at, s[1])
		}
	}
	return at
}

// runServer lets the sender live until a time.
func (r *Room) runServer(until time.Duration) {
	t := r.now
	for t < until {
		if l := &r.life; l.deaths < len(r.cfg.Deaths) && t >= r.cfg.Deaths[l.deaths] {
			l.deaths++
			l.alive, l.backAt = false, t+r.cfg.DeadTime
		}
		if !r.life.alive {
			if t >= r.life.backAt {
				r.startServer(t)
				r.server.send(t, r.server.group, &control{kind: wire.TypeDescription, session: r.session, bytes: 200}, true)
			} else {
				for r.feedback.At() < min(until, r.life.backAt) {
					r.feedback.Pop() // nobody hears it
				}
				t = min(until, r.life.backAt)
				continue
			}
		}
		s := r.server
		next := max(s.deadline(), t)
		if s.awake {
			next = min(next, max(r.ether.free, t))
		}
		next = min(next, max(r.feedback.At(), t))
		if next >= until {
			return
		}
		t = next
		if within(r.cfg.Stalls, t) {
			t += r.lookout
			continue
		}
		if r.feedback.At() <= t {
			_, m := r.feedback.Pop()
			r.hear(t, m)
			s.awake = true
		}
		if s.deadline() <= t {
			s.tick(t)
			s.poll(t)
			s.awake = s.awake || s.group.engine.Holds()
		}
		if s.awake && r.ether.free <= t {
			s.next(t)
			s.poll(t)
		}
	}
}

// next sends the next packet of a stream.
func (s *server) next(t time.Duration) {
	if s.reader.until--; s.reader.until <= 0 {
		s.reader.until = readAhead
		s.prepare(t)
	}
	for {
		all := s.streams()
		for n, st := range all {
			if st != nil && s.sendNext(t, st, n == 0) {
				return
			}
		}
		if !s.prepare(t) {
			break
		}
	}
	if t >= s.reader.idleAt {
		s.complete(t) // there was time to read what nobody wanted
	}
	s.awake = false
}

// sendNext sends the next packet of a stream, in its turn or because the other one has none,
// and tells whether there was one.
func (s *server) sendNext(t time.Duration, st *stream, turn bool) bool {
	next := st.engine.Next(t)
	if next.Kind != sender.Nothing && st == s.unicast && st.to == nil {
		s.room.fail("a stream that goes to nobody goes on")
		return false
	}
	result := &s.room.Result
	switch next.Kind {
	case sender.Nothing:
		st.rested = true
		return false
	case sender.Symbol:
		y := &next.Symbol
		if st == s.group {
			result.Symbols++
		}
		if y.Object == wire.Image && y.Symbol.IsSource(int(y.K)) && s.group.engine.Pass() <= 1 {
			result.LastSource = t
		}
		if s.start.closed || s.start.prober != nil && st == s.group && s.start.prober.Unreached() {
			s.room.fail("the stream goes on before the gate is open, or where nobody hears it")
		}
		s.put(t, st, packet{symbol: *y}, turn)
	case sender.Subblocks:
		s.sendSubblockDigests(t, st, next.Subblocks, turn)
	case sender.ZeroRun:
		if st == s.group {
			result.ZeroRuns++
		}
		s.put(t, st, packet{control: &control{kind: wire.TypeZeroRun, session: s.id, zeros: next.Zeros, bytes: len(next.Zeros.AppendTo(nil))}}, turn)
	}
	return true
}

// put puts a packet on the wire, and counts whose share that is.
func (s *server) put(t time.Duration, st *stream, p packet, turn bool) {
	p.to = st.to
	bytes := s.room.ether.put(t, p)
	st.sent++
	switch {
	case st == s.group:
		s.share.sentMulticast(bytes)
	default:
		s.room.Result.Unicast += uint64(len(st.to.receivers))
		if turn && s.group.engine.Receivers() > 0 {
			s.share.sentUnicast(bytes)
		}
	}
}

// send sends a control packet.
func (s *server) send(t time.Duration, st *stream, c *control, turn bool) {
	if st == s.group {
		s.room.Result.Control++
	}
	s.put(t, st, packet{control: c}, turn)
}

// sendSubblockDigests sends the digests of a block's sub-blocks.
func (s *server) sendSubblockDigests(t time.Duration, st *stream, ref sender.Ref, turn bool) {
	left := 1 << 20 / block.SubblockSize
	for first := 0; left > 0; first += wire.MaxSubblocks {
		p := wire.SubblockDigests{Session: s.id, Block: ref.Block, K: st.engine.K(ref.Block), First: uint16(first)}
		for range min(left, wire.MaxSubblocks) {
			p.Digests = p.Digests.Append(0)
			left--
		}
		s.room.Result.Subblocks++
		s.send(t, st, parseControl(p.AppendTo(nil)), turn)
	}
}

// poll sends what control packets are due.
func (s *server) poll(t time.Duration) {
	all := s.streams()
	for n, st := range all {
		for st != nil {
			b, ok := st.engine.Poll(t, s.buffer[:0])
			if s.buffer = b; !ok {
				break
			}
			if st.to != nil {
				s.send(t, st, parseControl(b), n == 0)
			}
		}
	}
}

// prepare does what reading ahead does, and tells whether there was anything to read.
func (s *server) prepare(t time.Duration) bool {
	r, all := &s.reader, s.streams()
	r.ready = r.ready[:0]
	for _, st := range all {
		if st != nil {
			r.ready = st.engine.Upcoming(r.ready, readAhead)
		}
	}
	for _, ref := range r.ready {
		for _, st := range all {
			switch {
			case st == nil:
			case ref.Object == wire.Manifest:
				st.engine.Ready(ref, s.room.manifestK())
			case s.room.zeros[ref.Block]:
				st.engine.Zero(ref.Block)
			default:
				st.engine.Ready(ref, s.room.cfg.K)
			}
		}
		if ref.Object == wire.Image && !r.known[ref.Block] {
			r.known[ref.Block] = true
			if r.count++; r.count == s.room.cfg.Blocks {
				s.complete(t)
			}
		}
	}
	return len(r.ready) > 0
}

// complete tells that all of the image was read.
func (s *server) complete(t time.Duration) {
	s.reader.completion = wire.Completion{ManifestSize: s.room.manifestSize()}
	for _, st := range s.streams() {
		if st != nil {
			st.engine.SetCompletion(t, s.reader.completion)
		}
	}
	s.poll(t) // it is told before it is sent
}

// manifestSize: a digest a block.
func (r *Room) manifestSize() uint64 { return 32 * (uint64(r.cfg.Blocks) + 1) }

func (r *Room) manifestK() uint16 {
	return uint16(min((r.manifestSize()+64+symbolSize-1)/symbolSize, uint64(r.cfg.K)))
}

// within tells whether a time lies in one of the spans.
func within(spans []Span, t time.Duration) bool {
	for _, s := range spans {
		if s.holds(t) {
			return true
		}
	}
	return false
}
