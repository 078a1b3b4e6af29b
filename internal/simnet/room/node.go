package room

import (
	"fmt"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// node is a receiver: its engine, its link, and what its driver would do.
type node struct {
	room   *Room
	number int
	id     wire.ReceiverID
	spec   Spec
	rand   *rand.Rand
	loss   simnet.Loss
	delay  time.Duration
	engine *receiver.Engine

	pos   uint64        // the next packet in the air
	free  time.Duration // when its link is
	late  simnet.Queue[packet]
	wake  time.Duration
	joins time.Duration // when the next offer is due; Never while it has a session

	answered  receiver.Session
	answerAt  time.Duration // Never while none is on its way
	disk      []int         // slots that are being written, the first one now
	diskAt    time.Duration // when the first one is written
	dead      bool
	gone      bool
	done      time.Duration
	heardAt   time.Duration
	badBlocks int
	gaveUp    bool
	forger    forger
	checker   checker
	lies      uint32
	held      []map[block.SymbolID]bool // strict, or with old content: what each slot holds
	index     []int64                   // the same: the block in each slot
	verified  map[int64]int             // the same: how often each block was
	buffer    []byte
	runs      []block.Range
}

func newNode(r *Room, number int, spec Spec) *node {
	if spec.Delay == 0 {
		spec.Delay = DefaultDelay
	}
	if spec.Window == 0 {
		spec.Window = 64
	}
	n := &node{
		room: r, number: number, spec: spec,
		id:       wire.ReceiverID(number + 1),
		rand:     rand.New(rand.NewPCG(r.cfg.Seed, uint64(number)+10)),
		answerAt: simnet.Never, joins: simnet.Never, diskAt: simnet.Never,
		badBlocks: spec.BadBlocks,
	}
	n.forger.rand = rand.New(rand.NewPCG(r.cfg.Seed, uint64(number)+10+1<<32))
	n.loss = simnet.NewLoss(spec.Loss, max(spec.Burst, 1), n.rand)
	n.delay = spec.Delay - jitter/2 + time.Duration(n.rand.Int64N(int64(jitter)))
	n.checker = newChecker(n)
	if r.cfg.Strict || spec.OldContent != nil {
		n.held = make([]map[block.SymbolID]bool, spec.Window)
		n.index = make([]int64, spec.Window)
		n.verified = map[int64]int{}
	}
	return n
}

// start lets the receiver exist: there from the start, it has a description.
func (n *node) start() {
	if n.spec.Join > 0 {
		n.joins = n.spec.Join
		n.wake = n.joins
		return
	}
	n.begin(0, n.room.description())
}

// begin begins, or goes on in, a session.
func (n *node) begin(now time.Duration, s receiver.Session) {
	n.joins, n.heardAt = simnet.Never, now
	if n.engine == nil || n.engine.Session() != s.ID {
		n.forger.begin()
	}
	if n.engine == nil {
		n.engine = receiver.New(now, receiver.Config{
			Receiver: n.id, Image: n.room.geometry, SymbolSize: symbolSize, Window: n.spec.Window, Rand: n.rand,
			Subblocks: n.spec.OldContent != nil && n.spec.OldContent.Subblocks,
		}, s)
		n.fillTarget()
		n.checker.begin(n, now)
	} else if n.engine.Session() != s.ID {
		n.engine.Restart(now, s)
	}
	n.arm()
}

// fillTarget lets the target have some blocks.
func (n *node) fillTarget() {
	for i := range n.room.zeros {
		if n.spec.Holds > 0 && n.rand.Float64() < n.spec.Holds {
			n.engine.ConfirmRange(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
			if n.verified != nil && !n.room.zeros[i] {
				n.verified[int64(i)]++
			}
		}
	}
}

// absent reports whether the receiver gets nothing of the stream.
func (n *node) absent() bool { return n.dead || n.gone || n.spec.Join > n.room.now+n.room.lookout }

// answer is the sender's to an offer.
func (n *node) answer(now time.Duration, s receiver.Session) {
	if n.rand.Float64() >= n.spec.Loss {
		n.answered, n.answerAt = s, now+n.delay+time.Duration(n.rand.Int64N(int64(jitter)))
		n.wake = min(n.wake, n.answerAt)
		n.room.wake[n.number] = min(n.room.wake[n.number], n.wake)
	}
}

// arm computes when the node has something to do besides taking packets.
func (n *node) arm() {
	at := min(n.joins, n.answerAt, n.diskAt, n.late.At())
	if n.engine != nil && n.room != nil {
		at = min(at, n.checker.wake(n))
		at = min(at, n.engine.Deadline(), n.heardAt+time.Second)
	}
	if n.spec.Kill > 0 {
		at = min(at, n.spec.Kill)
	}
	n.wake = at
}

// slack: see Room. Near its end a receiver has none, nor if its link is more
// than lossy.
func (n *node) slack() wire.Sequence {
	if n.engine == nil || n.held != nil || n.spec.Reorder > 0 || n.spec.Duplicate > 0 || n.spec.Stalls != nil ||
		n.spec.Disk > 0 || n.spec.LinkTime > 0 || n.spec.Forged > 0 || n.room.cfg.Impatient || n.engine.Missing() < 24 || n.engine.Session() != n.room.session {
		return 0
	}
	return n.engine.Attention()
}

// run lets the receiver live until a time.
func (n *node) run(until time.Duration) {
	r := n.room
	end := r.base + uint64(len(r.air))
	for !n.dead && !n.gone {
		arrives := simnet.Never
		if n.pos < end {
			arrives = max(r.air[n.pos-r.base].at, n.free) + n.spec.LinkTime + n.delay
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
		p := &r.air[n.pos-r.base]
		if n.spec.LinkTime > 0 {
			if n.free > p.at+time.Duration(n.spec.Queue)*n.spec.LinkTime {
				n.pos++
				continue
			}
			n.free = max(p.at, n.free) + n.spec.LinkTime
		}
		if n.loss.Lost(n.pos) || n.engine == nil || n.spec.Stalls != nil && n.stalled(arrives) {
			n.pos++
			continue
		}
		n.pos++
		if n.spec.Reorder > 0 && n.rand.Float64() < n.spec.Reorder {
			n.late.Push(arrives+time.Duration(n.rand.Int64N(int64(late))), *p)
			n.arm()
			continue
		}
		if n.spec.Forged > 0 {
			n.forge(arrives)
		}
		n.handlePacket(arrives, p)
		if n.spec.Duplicate > 0 && n.rand.Float64() < n.spec.Duplicate {
			n.late.Push(arrives+time.Duration(n.rand.Int64N(int64(late))), *p)
			n.arm()
		}
	}
	n.wake = simnet.Never
}

func (n *node) stalled(t time.Duration) bool {
	for _, s := range n.spec.Stalls {
		if s.holds(t) {
			return true
		}
	}
	return false
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

// handlePacket hands a packet to the engine.
func (n *node) handlePacket(now time.Duration, p *packet) {
	n.heardAt = now
	if p.control != nil {
		n.handleControl(now, p.control)
		return
	}
	e := n.engine
	if p.symbol.Session != e.Session() {
		n.stranger(now)
		return
	}
	before := e.Deadline()
	t := e.HandleSymbol(now, &p.symbol)
	if t.Verdict == receiver.Keep {
		if n.held != nil {
			n.recordSymbol(&p.symbol, t)
		}
		if t.Complete {
			n.solve(now, t.Slot)
			n.arm()
			return
		}
	} else if t.Verdict == receiver.Invalid {
		n.room.err = fmt.Errorf("receiver %d calls a packet invalid: %+v, in session %d of %d", n.number, p.symbol, e.Session(), n.room.session)
	}
	if d := e.Deadline(); d != before {
		n.arm()
	}
}

// recordSymbol records what a slot holds, in strict rooms.
func (n *node) recordSymbol(s *wire.Symbol, t receiver.Placement) {
	n.open(int64(s.Object)<<32|int64(s.Block), t)
	n.recordHeld(s.Symbol, t)
	n.count(s.K, t)
}

// open records that a symbol of a block goes into a slot.
func (n *node) open(index int64, t receiver.Placement) {
	if t.First {
		n.held[t.Slot], n.index[t.Slot] = map[block.SymbolID]bool{}, index
	}
	if n.index[t.Slot] != index {
		n.room.err = fmt.Errorf("receiver %d puts block %x where block %x is", n.number, index, n.index[t.Slot])
	}
}

// recordHeld records that a slot holds a symbol.
func (n *node) recordHeld(id block.SymbolID, t receiver.Placement) {
	if n.held[t.Slot][id] {
		n.room.err = fmt.Errorf("receiver %d keeps symbol %d of block %x twice", n.number, id, n.index[t.Slot])
	}
	n.held[t.Slot][id] = true
}

// count holds what a slot has against what is said of it.
func (n *node) count(k uint16, t receiver.Placement) {
	if enough := len(n.held[t.Slot]) >= int(k); t.Complete && !enough {
		n.room.err = fmt.Errorf("receiver %d calls block %x complete with %d of %d symbols", n.number, n.index[t.Slot], len(n.held[t.Slot]), k)
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
	if n.verified != nil {
		n.verified[n.index[slot]]++
		if n.index[slot]>>32 != 0 { // it has one block
			n.checker.manifest = true
		}
	}
	if n.spec.Disk == 0 {
		e.BlockWritten(now, slot)
		n.check(now)
		return
	}
	n.disk = append(n.disk, slot)
	if len(n.disk) == 1 {
		n.diskAt = now + n.spec.Disk
	}
}

// check ends a receiver that has everything.
func (n *node) check(now time.Duration) {
	if n.done == 0 && n.engine.Complete() {
		n.done = now
		n.engine.Leave(now, wire.OutcomeDone, "")
		for index, times := range n.verified {
			if times != 1 {
				n.room.err = fmt.Errorf("receiver %d verified block %x %d times", n.number, index, times)
			}
		}
		want := 1 // the manifest
		for _, zero := range n.room.zeros {
			if !zero {
				want++
			}
		}
		if n.verified != nil && len(n.verified) != want {
			n.room.err = fmt.Errorf("receiver %d is done with %d blocks of %d", n.number, len(n.verified), want)
		}
	}
}

func (n *node) handleControl(now time.Duration, c *control) {
	e := n.engine
	if c.kind == 0 {
		return // lost for all
	}
	if c.session != e.Session() {
		n.stranger(now)
		return
	}
	switch c.kind {
	case wire.TypeZeroRun:
		n.runs = e.HandleZeroRun(now, &c.zeros, n.runs[:0])
		for _, run := range n.runs {
			e.ZerosWritten(uint32(run.Len()))
			for i := run.Lo; i < run.Hi; i++ {
				if !n.room.zeros[i] {
					n.room.err = fmt.Errorf("receiver %d takes block %d for zeros", n.number, i)
				}
			}
		}
		n.check(now)
	case wire.TypeRepairAdv:
		e.HandleRepairAdv(now, c.owed)
	case wire.TypeHeartbeat:
		n.forger.beat = c.heartbeat
		e.HandleHeartbeat(now, c.heartbeat)
	case wire.TypeSubblockDigests:
		if n.checker.old != nil {
			n.checker.handleSubblockDigests(n, now, c.subblocks)
		}
	case wire.TypeGoodbyeAck:
		e.HandleGoodbyeAck(now, c.ack)
		n.gone = e.Gone()
	}
	n.arm()
}

// stranger: another session is on the group; an offer asks for its description.
func (n *node) stranger(now time.Duration) {
	if n.done == 0 && n.joins == simnet.Never {
		n.joins = now + time.Duration(n.rand.Int64N(int64(50*time.Millisecond)))
		n.arm()
	}
}

// act does what is due at now.
func (n *node) act(now time.Duration) {
	defer n.arm()
	if n.spec.Kill > 0 && now >= n.spec.Kill {
		n.dead = true
		return
	}
	if now >= n.answerAt {
		n.answerAt = simnet.Never
		n.begin(now, n.answered)
	}
	if n.engine != nil && n.done == 0 && now >= n.heardAt+time.Second {
		n.heardAt = now // silence: perhaps the sender is another one now
		n.joins = min(n.joins, now)
	}
	if n.done != 0 {
		n.heardAt = now + time.Hour
	}
	if now >= n.joins {
		n.joins = now + 100*time.Millisecond + time.Duration(n.rand.Int64N(int64(100*time.Millisecond)))
		if n.rand.Float64() >= n.spec.Loss {
			n.room.feedback.Push(now+n.delay, message{offer: n})
		}
	}
	if n.engine == nil {
		return
	}
	for n.late.At() <= now {
		_, p := n.late.Pop()
		n.handlePacket(now, &p)
	}
	if now >= n.diskAt {
		slot := n.disk[0]
		n.disk = append(n.disk[:0], n.disk[1:]...)
		n.diskAt = simnet.Never
		if len(n.disk) > 0 {
			n.diskAt = now + n.spec.Disk
		}
		n.engine.BlockWritten(now, slot)
		n.check(now)
	}
	n.checker.act(n, now)
	for n.engine.Deadline() <= now {
		b, ok := n.engine.Poll(now, n.buffer[:0])
		n.buffer = b
		if !ok {
			break
		}
		n.send(now, b)
	}
	n.gone = n.engine.Gone()
}

// send sends b to the sender.
func (n *node) send(now time.Duration, b []byte) {
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
		n.room.feedback.Push(now+n.delay+time.Duration(n.rand.Int64N(int64(spread))), message{packet: b})
	}
}

// lie makes a report ask for much of blocks that may be in, and now and then wants
// everything again.
func (n *node) lie(now time.Duration, b *[]byte) {
	report, err := wire.ParseReport(*b)
	if err != nil {
		return
	}
	any := func() block.ID { return block.ID(n.rand.IntN(int(n.room.cfg.Blocks))) }
	report.NACKs = wire.List[wire.SymbolCount]{}
	for range 1 + n.rand.IntN(16) {
		report.NACKs = report.NACKs.Append(wire.SymbolCount{Block: any(), Symbols: uint16(1 + n.rand.IntN(1<<16-1))})
	}
	*b = report.AppendTo(nil)
	if n.rand.IntN(2) == 0 {
		return
	}
	n.lies++
	wanted := wire.Wanted{
		Session: report.Session, Receiver: report.Receiver, Highest: report.Highest, Generation: 1<<20 + n.lies, Pages: 1,
	}
	wanted.Ranges = wanted.Ranges.Append(wire.Range{Count: n.room.cfg.Blocks})
	symbols := wire.WantedSymbols{Session: report.Session, Receiver: report.Receiver, Highest: report.Highest}
	symbols.Ranges = symbols.Ranges.Append(wire.SymbolRange{Block: any(), Count: n.room.cfg.K})
	subblocks := wire.WantedSubblocks{Session: report.Session, Receiver: report.Receiver, Highest: report.Highest}
	subblocks.Blocks = subblocks.Blocks.Append(wire.Range{Count: min(n.room.cfg.Blocks, wire.MaxSubblockBlocks)})
	for _, p := range [][]byte{wanted.AppendTo(nil), symbols.AppendTo(nil), subblocks.AppendTo(nil)} {
		n.room.feedback.Push(now+n.delay, message{packet: p})
	}
}
