package path

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/congestion"
	"multiserver/internal/mxb1"
	"multiserver/internal/sender"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// Config is a stream to simulate.
type Config struct {
	Seed      uint64
	Blocks    uint32
	Own       float64 // bits a second of the own interface; 0: any number
	Delay     time.Duration
	Groups    []simnet.Bottleneck
	Receivers []Spec
	Neighbour bool    // a TCP flow in the first group's queue
	Fixed     float64 // bits a second in place of the controller; 0: the controller
	Ceiling   float64 // a limit that the user set
	NoProbes  bool
	Probe     float64 // what probes show, whatever the path is; 0: what it is
	Old       bool    // receivers know nothing of the sample, and do not say when packets came
	Unicast   bool    // one after the other to each receiver, which has a controller of its own
	MXB1      bool    // its clients beside, who ask for all that they may get: a byte in eight of all
	Count     int     // of the first receivers, whose finish counts; 0: all
	Limit     time.Duration
}

// Result is what came of it.
type Result struct {
	Sent      float64       // packets of the stream ÷ source symbols
	Finish    time.Duration // from the first symbol until the last receiver has all
	First     float64       // share of the packets that was sent in the first second
	Blind     float64       // bits sent before the first report on them came
	To90      time.Duration // from the first symbol until 90% of the own interface were sent in 50 ms; 0: never
	Wait      time.Duration // median, of packets in the first group's queue
	Neighbour float64       // share of the bottleneck that the TCP flow had
	OverBy    float64       // the most by which the budget was exceeded, bits
	Finished  []time.Duration
	Rates     []float64 // bits a second, each 100 ms, as decided
	Reasons   []congestion.Reason
}

const (
	symbolSize = 1444
	// packetBits is a packet of 1472 bytes of payload on the wire at MTU 1500.
	packetBits = 12304.0
	// mxb1Bits is a packet of MXB 1 on the wire: a block of 1024 bytes behind its header.
	mxb1Bits = 8 * (1024 + mxb1.HeaderSize + 66)
	k        = 727
	session  = wire.SessionID(1)
	// step is how far each side runs by itself: less than the shortest delay.
	step = 500 * time.Microsecond
	// ownQueue is how long what the own interface holds may take.
	ownQueue = time.Millisecond
)

type packet struct {
	at      time.Duration // when it has left the queue
	symbol  wire.Symbol
	control *control
}

type control struct {
	kind      wire.Type
	adv       wire.RepairAdv
	heartbeat wire.Heartbeat
	ack       wire.GoodbyeAck
}

type message struct {
	from   *node
	packet []byte
}

// group is a queue and what has left it.
type group struct {
	queue simnet.Bottleneck
	out   []packet
	base  uint64
}

type sim struct {
	cfg      Config
	rand     *rand.Rand
	now      time.Duration
	geometry block.Geometry
	sender   *sender.Engine
	engines  []*congestion.Engine // of the group, or of each receiver by unicast; none at a fixed rate
	groups   []*group
	nodes    []*node
	feedback simnet.Queue[message]
	tcp      *neighbour

	decision  congestion.Decision
	allowed   float64
	free      time.Duration // of the pacer
	ownFree   time.Duration
	sequence  wire.Sequence
	packets   uint64
	bits      float64
	mxb1      float64 // bits that its clients have not got yet
	first     time.Duration
	awake     bool
	untilRead int
	read      uint32
	ready     []sender.Ref
	buffer    []byte
	sample    []wire.ReceiverID
	rateAt    time.Duration
	rateFrom  uint64
	blind     bool
	due       bool      // the budget is to be checked with what is sent next
	ledger    []float64 // bits sent in each 10 ms
	result    Result
}

// Run simulates a stream. It fails if a receiver does not get the image in time, or if
// the budget is exceeded.
func Run(cfg Config) (Result, error) {
	s := newSim(cfg)
	for !s.over() {
		s.step()
		if s.now > s.cfg.Limit {
			s.finish()
			return s.result, fmt.Errorf("after %v: %s", s.now, s.describe())
		}
	}
	s.finish()
	if cfg.Fixed == 0 && s.result.OverBy > 0 {
		return s.result, fmt.Errorf("the budget was exceeded by %.3g bits", s.result.OverBy)
	}
	return s.result, nil
}

func newSim(cfg Config) *sim {
	if cfg.Delay == 0 {
		cfg.Delay = time.Millisecond
	}
	if cfg.Limit == 0 {
		cfg.Limit = 10 * time.Minute
	}
	s := &sim{
		cfg:      cfg,
		rand:     rand.New(rand.NewPCG(cfg.Seed, 1)),
		geometry: block.Geometry{ImageSize: uint64(cfg.Blocks) << 20, BlockSize: 1 << 20},
		blind:    true,
		first:    -1,
	}
	s.sender = sender.New(0, sender.Config{Session: session, Image: s.geometry, Unicast: cfg.Unicast})
	origin := wire.Sequence(0)
	if cfg.Unicast {
		origin = wire.UnicastSequence
	}
	s.sequence = origin
	for _, q := range cfg.Groups {
		s.groups = append(s.groups, &group{queue: q})
	}
	controllers := 1
	if cfg.Unicast {
		controllers = len(cfg.Receivers)
	}
	if cfg.Fixed == 0 {
		for range controllers {
			s.engines = append(s.engines, congestion.New(0, congestion.Config{
				PacketBits: packetBits, BlockBits: k * packetBits, PacketSize: 1472, Ceiling: cfg.Ceiling, Rand: s.rand,
			}, origin))
		}
	} else {
		s.decision = congestion.Decision{Rate: cfg.Fixed, Allowed: math.Inf(1)}
		in := cfg.Fixed * 0.002 / packetBits
		s.decision.Burst = max(1, int(min(max(cfg.Fixed*150e-6/packetBits, min(16, in)), 44)))
	}
	for i := range cfg.Receivers {
		s.sender.Join(0, wire.ReceiverID(i+1))
	}
	for i, spec := range cfg.Receivers {
		n := newNode(s, i, spec)
		s.nodes = append(s.nodes, n)
		if e := s.engineOf(n); e != nil {
			e.Join(0, n.id, n.addr)
			if !cfg.NoProbes {
				e.Probed(0, n.id, s.train(n), cfg.Own)
			}
		}
	}
	if cfg.Neighbour {
		s.tcp = newNeighbour(s, s.groups[0])
	}
	s.prepare(0)
	return s
}

// engineOf is the controller that a receiver concerns; nil at a fixed rate.
func (s *sim) engineOf(n *node) *congestion.Engine {
	switch len(s.engines) {
	case 0:
		return nil
	case 1:
		return s.engines[0]
	}
	return s.engines[n.id-1]
}

// train is at what rate a probe train of 96 packets would arrive at a receiver, 0 if at
// once. Of a queue that does not hold them all, what fits arrives.
func (s *sim) train(n *node) float64 {
	if s.cfg.Probe > 0 {
		return s.cfg.Probe
	}
	rate := s.cfg.Own
	if q := &s.groups[n.spec.Group].queue; q.Rate != nil && (rate == 0 || q.Rate(0) < rate) {
		rate = q.Rate(0)
	}
	if n.spec.Packets > 0 && (rate == 0 || n.spec.Packets*packetBits < rate) {
		rate = n.spec.Packets * packetBits
	}
	return rate
}

func (s *sim) over() bool {
	for _, n := range s.nodes {
		if !n.gone && !n.dead {
			return false
		}
	}
	return true
}

func (s *sim) step() {
	until := s.now + step
	for s.feedback.At() <= s.now {
		_, m := s.feedback.Pop()
		s.hear(s.now, m)
		s.awake = true
	}
	s.control()
	s.send(until)
	for _, n := range s.nodes {
		n.run(until)
	}
	s.sweep()
	s.now = until
}

// control is what a driver does each tick.
func (s *sim) control() {
	if len(s.engines) > 0 && s.now%(10*time.Millisecond) == 0 {
		s.decide()
		if s.now%(100*time.Millisecond) == 0 {
			s.result.Rates = append(s.result.Rates, s.decision.Rate)
			s.result.Reasons = append(s.result.Reasons, s.decision.Reason)
		}
		s.sample = s.sample[:0]
		least := time.Duration(0)
		for _, e := range s.engines {
			var interval time.Duration
			if s.sample, interval = e.Sample(s.now, s.sample); least == 0 || interval < least {
				least = interval
			}
		}
		if !s.cfg.Old {
			s.sender.SetSample(least, s.sample)
		}
		s.due = true
	}
	if since := s.now - s.rateAt; since >= 100*time.Millisecond {
		if sent := s.packets - s.rateFrom; sent > 0 {
			s.sender.SetRate(float64(sent) / since.Seconds())
		}
		s.rateAt, s.rateFrom = s.now, s.packets
	}
	for s.sender.Deadline() <= s.now {
		b, ok := s.sender.Poll(s.now, s.buffer[:0])
		s.buffer = b
		if !ok {
			break
		}
		s.put(s.now, packet{control: parseControl(b)}, float64(8*(len(b)+66)))
	}
}

// decide asks the controllers. All get the same packets, so the lowest rate and budget of the
// receivers that are left hold.
func (s *sim) decide() {
	first, allowed := true, 0.0
	for i, e := range s.engines {
		d := e.Poll(s.now)
		if n := s.nodes[i]; len(s.engines) > 1 && (n.left || n.dead) {
			continue
		}
		if first || d.Rate < s.decision.Rate {
			s.decision = d
		}
		if first || d.Allowed < allowed {
			allowed = d.Allowed
		}
		first = false
	}
	s.allowed = allowed
}

// send lets the stream go on until a time, and its neighbour's.
func (s *sim) send(until time.Duration) {
	s.free = max(s.free, s.now-max(time.Millisecond, 0))
	for {
		at := simnet.Never
		if s.awake && s.decision.Rate > 0 && (len(s.engines) == 0 || s.allowed >= float64(s.decision.Burst)*packetBits) {
			at = max(s.free, s.now, s.ownFree-ownQueue)
		}
		if s.tcp != nil && s.tcp.next() < min(at, until) {
			s.tcp.run()
			continue
		}
		if at >= until {
			return
		}
		s.batch(at)
	}
}

// batch sends a burst.
func (s *sim) batch(at time.Duration) {
	n := 0
	for n < s.decision.Burst {
		if s.untilRead--; s.untilRead <= 0 {
			s.untilRead = 64
			s.prepare(at)
		}
		p := s.sender.Next(at)
		for p.Kind == sender.Nothing && s.prepare(at) {
			p = s.sender.Next(at)
		}
		if p.Kind == sender.Nothing {
			s.awake = false
			for _, e := range s.engines {
				e.Rested(at)
			}
			break
		}
		s.sequence = p.Symbol.Sequence
		s.put(at, packet{symbol: p.Symbol}, packetBits)
		n++
	}
	if n == 0 {
		return
	}
	if s.first < 0 {
		s.first = at
	}
	bits := float64(n) * packetBits
	s.packets += uint64(n)
	s.bits += bits
	s.allowed -= bits
	if s.blind {
		s.result.Blind += bits
	}
	slot := int(at / (10 * time.Millisecond))
	for len(s.ledger) <= slot {
		s.ledger = append(s.ledger, 0)
	}
	s.ledger[slot] += bits
	s.free = max(s.free, at-time.Millisecond) + time.Duration(bits/s.decision.Rate*float64(time.Second))
	for _, e := range s.engines {
		e.Sent(at, s.sequence, bits)
	}
	s.beside(at, bits)
	if s.due {
		s.due = false
		s.check()
	}
}

// beside sends what the clients of MXB 1 get while so many bits of the stream are sent.
func (s *sim) beside(at time.Duration, bits float64) {
	if !s.cfg.MXB1 {
		return
	}
	for s.mxb1 += bits / 7; s.mxb1 >= mxb1Bits; s.mxb1 -= mxb1Bits {
		at := s.throughOwn(at, mxb1Bits)
		for _, g := range s.groups {
			g.queue.Pass(at, mxb1Bits)
		}
	}
}

// throughOwn is when so many bits have left the own interface.
func (s *sim) throughOwn(at time.Duration, bits float64) time.Duration {
	if s.cfg.Own == 0 {
		return at
	}
	s.ownFree = max(s.ownFree, at) + time.Duration(bits/s.cfg.Own*float64(time.Second))
	return s.ownFree
}

// put sends a packet to all groups.
func (s *sim) put(at time.Duration, p packet, bits float64) {
	copies := 1.0
	if s.cfg.Unicast {
		copies = float64(len(s.nodes))
	}
	at = s.throughOwn(at, copies*bits)
	for _, g := range s.groups {
		left, ok := g.queue.Pass(at, bits)
		if !ok {
			continue
		}
		p.at = left
		g.out = append(g.out, p)
	}
}

// sweep drops what all have taken.
func (s *sim) sweep() {
	for i, g := range s.groups {
		if len(g.out) < 4096 {
			continue
		}
		least := g.base + uint64(len(g.out))
		for _, n := range s.nodes {
			if n.spec.Group == i && !n.dead && !n.gone {
				least = min(least, n.pos)
			}
		}
		if drop := int(least - g.base); drop > len(g.out)/2 {
			g.out = append(g.out[:0], g.out[drop:]...)
			g.base = least
		}
	}
}

// hear takes what a receiver says.
func (s *sim) hear(now time.Duration, m message) {
	kind, _, err := wire.Peek(m.packet)
	if err != nil {
		return
	}
	e := s.engineOf(m.from)
	need := e != nil
	switch kind {
	case wire.TypeReport:
		need = false
		r, err := wire.ParseReport(m.packet)
		if err != nil {
			return
		}
		r.Timed = r.Timed && !s.cfg.Old
		if r.Counts.Received > 0 {
			s.blind = false
		}
		s.sender.HandleReport(now, r)
		m.from.reports = append(m.from.reports, told{now, r.Counts.Received})
		if e != nil {
			e.HandleReport(now, m.from.addr, congestion.FromWire(r))
		}
	case wire.TypeWanted:
		if p, err := wire.ParseWanted(m.packet); err == nil {
			s.sender.HandleWanted(now, p)
		}
	case wire.TypeWantedSymbols:
		if p, err := wire.ParseWantedSymbols(m.packet); err == nil {
			s.sender.HandleWantedSymbols(now, p)
		}
	case wire.TypeGoodbye:
		if p, err := wire.ParseGoodbye(m.packet); err == nil {
			s.sender.HandleGoodbye(now, p)
			if e != nil {
				e.Leave(p.Receiver)
			}
			m.from.left, m.from.reports = true, nil
		}
	}
	if need {
		e.Needed(now)
	}
}

func parseControl(b []byte) *control {
	b = append([]byte(nil), b...)
	t, _, err := wire.Peek(b)
	c := &control{kind: t}
	switch t {
	case wire.TypeRepairAdv:
		c.adv, err = wire.ParseRepairAdv(b)
	case wire.TypeHeartbeat:
		c.heartbeat, err = wire.ParseHeartbeat(b)
	case wire.TypeGoodbyeAck:
		c.ack, err = wire.ParseGoodbyeAck(b)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// prepare does what reading ahead does.
func (s *sim) prepare(t time.Duration) bool {
	s.ready = s.sender.Upcoming(s.ready[:0], 64)
	for _, ref := range s.ready {
		if ref.Object == wire.Manifest {
			s.sender.Ready(ref, uint16((s.manifestSize()+64+symbolSize-1)/symbolSize))
			continue
		}
		s.sender.Ready(ref, k)
		if s.read++; s.read == s.cfg.Blocks {
			s.sender.SetCompletion(t, wire.Completion{ManifestSize: s.manifestSize()})
		}
	}
	return len(s.ready) > 0
}

// manifestSize: a digest a block.
func (s *sim) manifestSize() uint64 { return 32 * (uint64(s.cfg.Blocks) + 1) }

func (s *sim) finish() {
	r := &s.result
	r.Sent = float64(s.packets) / (float64(s.cfg.Blocks) * k)
	for i, n := range s.nodes {
		if n.done > 0 && (s.cfg.Count == 0 || i < s.cfg.Count) {
			r.Finish = max(r.Finish, n.done-s.first)
		}
		r.Finished = append(r.Finished, n.done-s.first)
	}
	for i := int(s.first / (10 * time.Millisecond)); i < min(len(s.ledger), int((s.first+time.Second)/(10*time.Millisecond))); i++ {
		r.First += s.ledger[i] / s.bits
	}
	r.Wait = s.groups[0].queue.MedianWait()
	if s.tcp != nil {
		r.Neighbour = s.tcp.share()
	}
	if s.cfg.Own > 0 {
		for i := int(s.first / (10 * time.Millisecond)); i+5 <= len(s.ledger); i++ {
			if sum := s.ledger[i] + s.ledger[i+1] + s.ledger[i+2] + s.ledger[i+3] + s.ledger[i+4]; sum >= 0.9*0.05*s.cfg.Own {
				r.To90 = time.Duration(i)*10*time.Millisecond - s.first
				break
			}
		}
	}
}

func (s *sim) describe() string {
	text := ""
	for i, n := range s.nodes {
		if !n.gone && !n.dead {
			text += fmt.Sprintf("receiver %d lacks %d blocks; ", i, n.engine.Missing())
			if len(text) > 200 {
				return text + "…"
			}
		}
	}
	return text
}
