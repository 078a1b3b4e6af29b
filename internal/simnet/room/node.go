package room

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// node is a receiver: its engine, its link, and what its driver would do.
type node struct {
	room    *Room
	number  int
	id      wire.ReceiverID
	spec    Spec
	rand    *rand.Rand
	delay   time.Duration
	machine machine
	again   *node // what comes of its machine after Kill

	engine  *receiver.Engine // nil before it has a session
	link    link
	search  search
	way     way
	disk    disk
	window  *window // nil if nothing is held against it
	content content
	forger  forger
	liar    liar

	pos       uint64 // the next packet in the air
	wake      time.Duration
	dead      bool
	gone      bool
	done      time.Duration
	badBlocks int
	end       End
	buffer    []byte
	runs      []block.Range
}

// machine is what the sender sees of a receiver that is started again.
type machine struct {
	name    string
	addr    netip.AddrPort
	network int
}

// link is a receiver's own.
type link struct {
	loss simnet.Loss
	free time.Duration // when it is
	late simnet.Queue[packet]
}

// search is for the sender's session.
type search struct {
	askAt    time.Duration // when the next offer is due; Never while there is a session
	answer   answer
	answerAt time.Duration // Never while none is on its way
	rand     *rand.Rand    // for answers in a session
}

// answer is to an offer.
type answer struct {
	receiver.Session
	token wire.Token
	proof wire.Token // 0: none is asked for
}

// disk is a target that takes its time.
type disk struct {
	slots []int // that are being written, the first one now
	at    time.Duration
}

// busy: see fetch.
func (d *disk) busy(window int) bool { return len(d.slots) >= max(1, window/4) }

func newNode(r *Room, number int, spec Spec) *node {
	if spec.Delay == 0 {
		spec.Delay = DefaultDelay
	}
	if spec.Window == 0 {
		spec.Window = 64
	}
	n := &node{
		room: r, number: number, spec: spec,
		id:        wire.ReceiverID(number + 1),
		rand:      rand.New(rand.NewPCG(r.cfg.Seed, uint64(number)+10)),
		search:    search{askAt: simnet.Never, answerAt: simnet.Never, rand: rand.New(rand.NewPCG(r.cfg.Seed, uint64(number)+10+3<<32))},
		disk:      disk{at: simnet.Never},
		badBlocks: spec.BadBlocks,
	}
	addr := netip.AddrFrom4([4]byte{10, byte(number >> 16), byte(number >> 8), byte(number)})
	n.machine = machine{fmt.Sprintf("machine %d", number), netip.AddrPortFrom(addr, 1000), spec.Path.Network}
	n.forger.rand = rand.New(rand.NewPCG(r.cfg.Seed, uint64(number)+10+1<<32))
	n.link.loss = simnet.NewLoss(spec.Loss, max(spec.Burst, 1), n.rand)
	n.delay = spec.Delay - jitter/2 + time.Duration(n.rand.Int64N(int64(jitter)))
	n.content = newContent(n)
	if r.cfg.Strict || spec.OldContent != nil {
		n.window = newWindow(n)
	}
	return n
}

// start lets the receiver exist: there from the start, it has a description.
func (n *node) start() {
	if n.spec.Join > 0 {
		n.search.askAt = n.spec.Join
		n.wake = n.spec.Join
		return
	}
	n.begin(0, n.room.server.description(n))
}

// begin begins, or goes on in, a session.
func (n *node) begin(now time.Duration, a answer) {
	n.search.askAt = simnet.Never
	switch {
	case n.engine == nil:
		n.forger.begin()
		n.engine = receiver.New(now, receiver.Config{
			Receiver: n.id, Image: n.room.geometry, SymbolSize: symbolSize, Window: n.spec.Window, Rand: n.rand,
			Subblocks: n.spec.OldContent != nil && n.spec.OldContent.Subblocks, SilenceLimit: n.spec.SilenceLimit,
		}, a.Session)
		n.way = newWay(n, now)
		n.hold()
		n.content.begin(n, now)
	case n.done != 0:
		if a.proof != 0 && n.engine.Session() == a.ID {
			n.tell(now, wire.AddressProof{Session: a.ID, Receiver: n.id, Proof: a.proof}.AppendTo(nil))
		}
		return // or the goodbye is to the session before
	case n.engine.Session() != a.ID:
		n.forger.begin()
		n.engine.Restart(now, a.Session)
		n.content.forget()
		n.way.restarted(now)
		n.check(now)
	default:
		n.engine.Learn(now, a.Completion)
		n.engine.SenderAt(now, a.Sequence)
		n.way.answered(n, now)
		n.check(now)
	}
	n.way.token = a.token
	if a.proof != 0 {
		n.tell(now, wire.AddressProof{Session: a.ID, Receiver: n.id, Proof: a.proof}.AppendTo(nil))
	}
	n.arm()
}

// hold lets the target have some blocks.
func (n *node) hold() {
	for i := range n.room.zeros {
		if n.spec.Holds > 0 && n.rand.Float64() < n.spec.Holds {
			n.engine.ConfirmRange(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
			if n.window != nil && !n.room.zeros[i] {
				n.window.verified[int64(i)]++
			}
		}
	}
}

// deaf tells whether the receiver takes nothing of the stream.
func (n *node) deaf() bool { return n.dead || n.gone || n.spec.Join > n.room.now+n.room.lookout }

// answer is the sender's to an offer.
func (n *node) answer(now time.Duration, a answer) {
	r := n.rand
	if n.engine != nil { // the engine's draws may come later: see patience
		r = n.search.rand
	}
	if r.Float64() >= n.spec.Loss {
		n.search.answer, n.search.answerAt = a, now+n.delay+time.Duration(r.Int64N(int64(jitter)))
		n.wake = min(n.wake, n.search.answerAt)
		n.room.wake[n.number] = min(n.room.wake[n.number], n.wake)
	}
}

// arm computes when the node has something to do besides taking packets.
func (n *node) arm() {
	at := min(n.search.askAt, n.search.answerAt, n.disk.at, n.link.late.At())
	if n.engine != nil {
		at = min(at, n.engine.Deadline(), n.content.wake(), n.way.wake(n))
	}
	if n.spec.Kill > 0 {
		at = min(at, n.spec.Kill)
	}
	n.wake = at
}

// patience: see Room. Near its end a receiver has none, nor if its link is more
// than lossy.
func (n *node) patience() wire.Sequence {
	if n.engine == nil || n.window != nil || n.spec.Reorder > 0 || n.spec.Duplicate > 0 || n.spec.Stalls != nil ||
		n.spec.Disk > 0 || n.spec.LinkTime > 0 || n.spec.Forged > 0 || n.room.cfg.Impatient || n.engine.Missing() < 24 ||
		n.engine.Session() != n.room.session || n.way.byUnicast() {
		return 0
	}
	return n.engine.Attention()
}

// run lets the receiver live until a time.
func (n *node) run(until time.Duration) {
	r := n.room
	end := r.ether.end()
	for !n.dead && !n.gone {
		arrives := simnet.Never
		if n.pos < end {
			arrives = max(r.ether.air[n.pos-r.ether.base].at, n.link.free) + n.spec.LinkTime + n.delay
		}
		if n.wake <= arrives {
			if n.spec.Frozen {
				n.wake = n.thaw(n.wake)
			}
			if n.wake >= until {
				return
			}
			if n.wake > arrives {
				continue
			}
			n.act(max(n.wake, r.now))
			continue
		}
		if arrives >= until {
			return
		}
		p := &r.ether.air[n.pos-r.ether.base]
		n.pos++
		if !p.to.has(n) {
			continue
		}
		if n.spec.LinkTime > 0 {
			if n.link.free > p.at+time.Duration(n.spec.Queue)*n.spec.LinkTime {
				continue
			}
			n.link.free = max(p.at, n.link.free) + n.spec.LinkTime
		}
		if n.link.loss.Lost(n.pos-1) || n.engine == nil || within(n.spec.Stalls, arrives) || !n.way.passes(n, p, arrives) {
			continue
		}
		if n.spec.Reorder > 0 && n.rand.Float64() < n.spec.Reorder {
			n.link.late.Push(arrives+time.Duration(n.rand.Int64N(int64(late))), *p)
			n.arm()
			continue
		}
		if n.spec.Forged > 0 {
			n.forge(arrives, p)
		}
		n.take(arrives, p)
		if n.spec.Duplicate > 0 && n.rand.Float64() < n.spec.Duplicate {
			n.link.late.Push(arrives+time.Duration(n.rand.Int64N(int64(late))), *p)
			n.arm()
		}
	}
	n.wake = simnet.Never
}

// thaw is t, or the end of the stall that it lies in.
func (n *node) thaw(t time.Duration) time.Duration {
	for _, s := range n.spec.Stalls {
		if s.holds(t) {
			return s[1]
		}
	}
	return t
}

// take hands a packet to the engines.
func (n *node) take(now time.Duration, p *packet) {
	if p.control != nil {
		n.takeControl(now, p.control)
		return
	}
	e := n.engine
	if p.symbol.Session != e.Session() {
		n.way.foreign()
		return
	}
	n.way.symbol(now)
	before := e.Deadline()
	t := e.HandleSymbol(now, &p.symbol)
	if t.Verdict == receiver.Keep {
		if n.window != nil {
			n.window.keep(&p.symbol, t)
		}
		if t.Complete {
			n.solve(now, t.Slot)
			n.arm()
			return
		}
	} else if t.Verdict == receiver.Invalid {
		n.room.fail("receiver %d calls a packet invalid: %+v, in session %d of %d", n.number, p.symbol, e.Session(), n.room.session)
	}
	if d := e.Deadline(); d != before {
		n.arm()
	}
}

// solve rebuilds and verifies a block, and lets the disk have it.
func (n *node) solve(now time.Duration, slot int) {
	e := n.engine
	if e.Repairs(slot) > 1 && n.rand.Float64() < singular {
		e.BlockNeedsMore(now, slot, 1)
		return
	}
	if n.badBlocks > 0 {
		n.badBlocks--
		e.BlockFailed(now, slot)
		n.giveUp(now)
		return
	}
	e.BlockVerified(slot)
	manifest := false
	if n.window != nil {
		manifest = n.window.solved(slot)
	}
	if n.spec.Disk == 0 {
		e.BlockWritten(now, slot)
		n.check(now)
	} else if n.disk.slots = append(n.disk.slots, slot); len(n.disk.slots) == 1 {
		n.disk.at = now + n.spec.Disk
	}
	if manifest {
		n.content.setManifest(n, now)
	}
}

// check ends a receiver that has everything.
func (n *node) check(now time.Duration) {
	if n.done == 0 && n.engine.Complete() {
		n.leave(now, wire.OutcomeDone, "")
		if n.window != nil {
			n.window.check()
		}
	}
}

func (n *node) takeControl(now time.Duration, c *control) {
	e := n.engine
	if c.kind == 0 {
		return // lost for all
	}
	if c.session != e.Session() {
		n.way.foreign()
		return
	}
	n.way.packet(now, c.kind)
	switch c.kind {
	case wire.TypeZeroRun:
		n.runs = e.HandleZeroRun(now, &c.zeros, n.runs[:0])
		n.writeZeros(n.runs)
		n.check(now)
	case wire.TypeRepairAdv:
		e.HandleRepairAdv(now, c.owed)
	case wire.TypeHeartbeat:
		n.forger.beat = c.heartbeat
		e.HandleHeartbeat(now, c.heartbeat)
		n.way.heartbeat(n, now, c.heartbeat)
	case wire.TypeProbe:
		n.way.observer.HandleProbe(now, c.probe)
	case wire.TypeSubblockDigests:
		n.content.handleSubblocks(n, now, c.subblocks)
	case wire.TypeGoodbyeAck:
		e.HandleGoodbyeAck(now, c.ack)
		if n.gone = e.Gone(); n.gone && n.end.Acknowledged == 0 {
			n.end.Acknowledged = e.Session()
		}
	}
	n.arm()
}

// writeZeros makes runs of blocks zeros.
func (n *node) writeZeros(runs []block.Range) {
	for _, run := range runs {
		n.engine.ZerosWritten(uint32(run.Len()))
		for i := run.Lo; i < run.Hi; i++ {
			if !n.room.zeros[i] {
				n.room.fail("receiver %d takes block %d for zeros", n.number, i)
			}
		}
	}
}

// act does what is due at now.
func (n *node) act(now time.Duration) {
	defer n.arm()
	if n.spec.Kill > 0 && now >= n.spec.Kill {
		n.dead = true
		return
	}
	if now >= n.search.answerAt {
		n.search.answerAt = simnet.Never
		n.begin(now, n.search.answer)
	}
	if now >= n.search.askAt {
		n.search.askAt = now + 100*time.Millisecond + time.Duration(n.rand.Int64N(int64(100*time.Millisecond)))
		n.offer(now)
	}
	if n.engine == nil {
		return
	}
	for n.link.late.At() <= now {
		_, p := n.link.late.Pop()
		n.take(now, &p)
	}
	if now >= n.disk.at {
		slot := n.disk.slots[0]
		n.disk.slots = append(n.disk.slots[:0], n.disk.slots[1:]...)
		n.disk.at = simnet.Never
		if len(n.disk.slots) > 0 {
			n.disk.at = now + n.spec.Disk
		}
		n.engine.BlockWritten(now, slot)
		n.check(now)
	}
	n.content.act(n, now)
	n.way.act(n, now)
	for n.engine.Deadline() <= now {
		b, ok := n.engine.Poll(now, n.buffer[:0])
		n.buffer = b
		if !ok {
			break
		}
		n.tell(now, b)
	}
	n.giveUp(now)
	n.gone = n.engine.Gone()
}

// offer asks for the sender's session.
func (n *node) offer(now time.Duration) {
	if n.rand.Float64() >= n.spec.Loss {
		n.room.feedback.Push(now+n.delay, message{offer: n})
	}
}

// tell sends b to the sender.
func (n *node) tell(now time.Duration, b []byte) {
	if n.rand.Float64() < n.spec.Loss {
		return
	}
	b = append([]byte(nil), b...)
	if n.spec.Liar {
		n.lie(now, &b)
	}
	if n.spec.Corrupt > 0 && n.rand.Float64() < n.spec.Corrupt {
		b[n.rand.IntN(len(b))] ^= 1 << n.rand.IntN(8)
	}
	copies := 1
	if n.rand.Float64() < n.spec.Duplicate {
		copies = 2
	}
	spread := jitter
	if n.spec.Reorder > 0 {
		spread = late
	}
	for range copies {
		n.room.feedback.Push(now+n.delay+time.Duration(n.rand.Int64N(int64(spread))), message{packet: b, from: n.origin()})
	}
}
