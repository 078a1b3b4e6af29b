package path

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"multiserver/internal/receiver"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// Spec is a receiver.
type Spec struct {
	Group int // of Config.Groups: the queue that it is behind
	Loss  float64
	Burst float64 // mean length of a burst of losses; 0 is 1

	ReportLoss  float64
	ReportDelay time.Duration // besides the path's

	// The machine takes Packets a second (0: any number), while it runs: On of each Of,
	// or always if Of is 0. Its socket holds Socket packets; those beyond are dropped.
	Packets float64
	On, Of  time.Duration
	Socket  int

	Disk   func(time.Duration) time.Duration // to write a block that begins at a time; nil: none
	Window int                               // blocks; 0 is 64
	Kill   time.Duration                     // 0: never
	Liar   bool                              // says that it received all, whatever came
}

// singular is how often K symbols with two repair symbols or more do not suffice.
const singular = 1.0 / 256

// node is a receiver: its engine, and what its driver would do.
type node struct {
	sim    *sim
	spec   Spec
	id     wire.ReceiverID
	addr   netip.Addr
	rand   *rand.Rand
	loss   simnet.Loss
	engine *receiver.Engine

	pos     uint64 // next packet of the group
	socket  []time.Duration
	head    int
	cpuFree time.Duration
	drops   uint64
	disk    []int
	diskAt  time.Duration
	done    time.Duration
	gone    bool
	left    bool // the sender has its goodbye
	dead    bool
	buffer  []byte

	reports []told // as the sender got them
}

// told is what the sender was told.
type told struct {
	at       time.Duration
	received uint64
}

func newNode(s *sim, i int, spec Spec) *node {
	if spec.Window == 0 {
		spec.Window = 64
	}
	n := &node{
		sim: s, spec: spec, id: wire.ReceiverID(i + 1), diskAt: simnet.Never,
		addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
		rand: rand.New(rand.NewPCG(s.cfg.Seed, uint64(i)+10)),
	}
	n.loss = simnet.NewLoss(spec.Loss, max(spec.Burst, 1), n.rand)
	n.engine = receiver.New(0, receiver.Config{
		Receiver: n.id, Image: s.geometry, SymbolSize: symbolSize, Window: spec.Window, Rand: n.rand,
	}, receiver.Session{ID: session, ReportInterval: s.sender.Interval(), Receivers: uint32(len(s.cfg.Receivers))})
	return n
}

// running is the first time from t on at which the machine runs.
func (n *node) running(t time.Duration) time.Duration {
	if n.spec.Of == 0 {
		return t
	}
	if in := t % n.spec.Of; in >= n.spec.On {
		return t - in + n.spec.Of
	}
	return t
}

// run lets the receiver live until a time.
func (n *node) run(until time.Duration) {
	g := n.sim.groups[n.spec.Group]
	for !n.dead && !n.gone {
		if n.spec.Kill > 0 && n.sim.now >= n.spec.Kill {
			n.dead = true
			return
		}
		arrives := simnet.Never
		var p *packet
		if n.pos < g.base+uint64(len(g.out)) {
			p = &g.out[n.pos-g.base]
			arrives = p.at + n.sim.cfg.Delay
		}
		acts := n.running(min(n.engine.Deadline(), n.diskAt))
		if acts <= arrives {
			if acts >= until {
				return
			}
			n.act(max(acts, n.sim.now))
			continue
		}
		if arrives >= until {
			return
		}
		n.pos++
		if p.control == nil && n.loss.Lost(n.pos) || p.control != nil && n.rand.Float64() < n.spec.Loss {
			continue
		}
		at, ok := n.processed(arrives)
		if !ok {
			n.drops++
			continue
		}
		n.take(at, p)
	}
}

// processed is when the machine has taken a packet that arrived; ok is false if its
// socket is full.
func (n *node) processed(at time.Duration) (time.Duration, bool) {
	if n.spec.Packets == 0 && n.spec.Of == 0 {
		return at, true
	}
	for n.head < len(n.socket) && n.socket[n.head] <= at {
		n.head++
	}
	if n.head > 1<<12 && 2*n.head > len(n.socket) {
		n.socket = append(n.socket[:0], n.socket[n.head:]...)
		n.head = 0
	}
	if len(n.socket)-n.head >= n.spec.Socket {
		return 0, false
	}
	n.cpuFree = n.running(max(at, n.cpuFree))
	if n.spec.Packets > 0 {
		n.cpuFree += time.Duration(float64(time.Second) / n.spec.Packets)
	}
	n.socket = append(n.socket, n.cpuFree)
	return n.cpuFree, true
}

// take hands a packet to the engine.
func (n *node) take(now time.Duration, p *packet) {
	e := n.engine
	defer func() { e.SocketDropped(n.drops); n.drops = 0 }()
	if p.control == nil {
		if t := e.HandleSymbol(now, &p.symbol); t.Verdict == receiver.Keep && t.Complete {
			n.solve(now, t.Slot)
		}
		return
	}
	switch c := p.control; c.kind {
	case wire.TypeRepairAdv:
		e.HandleRepairAdv(now, c.adv)
	case wire.TypeHeartbeat:
		e.Learn(now, c.heartbeat.Completion) // the driver asks for it
		e.HandleHeartbeat(now, c.heartbeat)
	case wire.TypeGoodbyeAck:
		e.HandleGoodbyeAck(now, c.ack)
		n.gone = e.Gone()
	}
}

// solve rebuilds and verifies a block, and lets the disk have it.
func (n *node) solve(now time.Duration, slot int) {
	e := n.engine
	if e.Repairs(slot) > 1 && n.rand.Float64() < singular {
		e.BlockNeedsMore(now, slot, 1)
		return
	}
	e.BlockVerified(slot)
	if n.spec.Disk == nil {
		e.BlockWritten(now, slot)
		n.check(now)
		return
	}
	n.disk = append(n.disk, slot)
	if len(n.disk) == 1 {
		n.diskAt = now + n.spec.Disk(now)
	}
}

func (n *node) check(now time.Duration) {
	if n.done == 0 && n.engine.Complete() {
		n.done = now
		n.engine.Leave(now, wire.OutcomeDone, "")
	}
}

// act does what is due.
func (n *node) act(now time.Duration) {
	if now >= n.diskAt {
		slot := n.disk[0]
		n.disk = append(n.disk[:0], n.disk[1:]...)
		n.diskAt = simnet.Never
		if len(n.disk) > 0 {
			n.diskAt = now + n.spec.Disk(now)
		}
		n.engine.BlockWritten(now, slot)
		n.check(now)
	}
	for n.engine.Deadline() <= now {
		b, ok := n.engine.Poll(now, n.buffer[:0])
		n.buffer = b
		if !ok {
			break
		}
		n.say(now, b)
	}
	n.gone = n.engine.Gone()
}

// say sends b to the sender.
func (n *node) say(now time.Duration, b []byte) {
	if n.rand.Float64() < n.spec.ReportLoss {
		return
	}
	b = append([]byte(nil), b...)
	if r, err := wire.ParseReport(b); err == nil && n.spec.Liar {
		r.Counts = wire.PacketCounts{Received: uint64(n.sim.sequence) * 2}
		r.Highest, r.Arrival.Behind = n.sim.sequence, 0
		b = r.AppendTo(nil)
	}
	delay := n.sim.cfg.Delay + n.spec.ReportDelay + time.Duration(n.rand.IntN(int(20*time.Microsecond)))
	n.sim.feedback.Push(now+delay, message{n, b})
}
