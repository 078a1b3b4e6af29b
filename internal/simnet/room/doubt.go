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

// Doubt is what a receiver's target holds before the session, and how that is found out.
type Doubt struct {
	Same      float64       // share of the blocks that are as in the image
	First     bool          // these are the first ones; otherwise any
	Common    bool          // all targets of this kind hold the same
	Alike     float64       // of the other blocks, the share of source symbols that are
	At        time.Duration // when the receiver begins to doubt; 0: before anything
	CheckTime time.Duration // to read and compare a block
	Pieces    bool          // blocks that differ are compared by their pieces
}

// checker is what the driver of a receiver that doubts does. It works on one block at a
// time: checks come one after the other, and blocks whose pieces are there are between.
type checker struct {
	doubt    *Doubt
	seed     uint64 // of what the target holds
	target   []bool // the blocks that are as in the image
	doubtAt  time.Duration
	manifest bool // it is in, and blocks can be checked

	checking uint32
	checkAt  time.Duration // when that is checked; Never if nothing is
	cursor   uint32

	gathered map[block.ID]int // bit i: packet i of the block's pieces is in
	reading  []wire.Pieces    // blocks whose target is to be read
	readAt   time.Duration    // when the first is read
}

func newChecker(n *node) checker {
	c := checker{doubt: n.spec.Doubt, doubtAt: simnet.Never, checkAt: simnet.Never, readAt: simnet.Never}
	if c.doubt == nil {
		return c
	}
	c.gathered = map[block.ID]int{}
	if c.seed = n.room.cfg.Seed << 32; !c.doubt.Common {
		c.seed += uint64(n.number) + 1
	}
	c.target = make([]bool, n.room.cfg.Blocks)
	for k, i := range rand.New(rand.NewPCG(c.seed, 3)).Perm(len(c.target)) {
		if c.doubt.First {
			i = k
		}
		c.target[i] = k < int(c.doubt.Same*float64(len(c.target))+0.5)
	}
	return c
}

// begin: the receiver exists from now on.
func (c *checker) begin(n *node, now time.Duration) {
	if c.doubt == nil {
		return
	}
	if c.doubt.At == 0 {
		n.engine.Doubt(now, block.Range{Hi: uint64(len(c.target))})
		return
	}
	c.doubtAt = now + c.doubt.At
}

func (c *checker) wake(n *node) time.Duration {
	if c.checkAt == simnet.Never && c.mayCheck(n) {
		return 0
	}
	return min(c.doubtAt, c.checkAt, c.readAt)
}

func (c *checker) mayCheck(n *node) bool {
	return c.manifest && n.done == 0 && n.engine.Doubted() > 0
}

// act does what is due.
func (c *checker) act(n *node, now time.Duration) {
	if c.doubt == nil || n.done != 0 {
		c.doubtAt, c.checkAt, c.readAt = simnet.Never, simnet.Never, simnet.Never
		return
	}
	if now >= c.doubtAt {
		c.doubtAt = simnet.Never
		n.engine.Doubt(now, block.Range{Hi: uint64(len(c.target))})
	}
	if now >= c.readAt {
		p := c.reading[0]
		c.reading = append(c.reading[:0], c.reading[1:]...)
		c.readAt = simnet.Never
		if len(c.reading) > 0 {
			c.readAt = now + c.doubt.CheckTime
		}
		c.fill(n, now, p)
	}
	if now >= c.checkAt {
		c.checkAt = simnet.Never
		c.checked(n, now)
	}
	if c.checkAt == simnet.Never && c.mayCheck(n) {
		r, ok := n.engine.NextDoubted(c.cursor)
		if !ok {
			r, ok = n.engine.NextDoubted(0)
		}
		if !ok {
			n.room.err = fmt.Errorf("receiver %d doubts %d blocks and names none", n.number, n.engine.Doubted())
			return
		}
		c.checking, c.cursor = uint32(r.Lo), uint32(r.Lo)+1
		c.checkAt = now + c.doubt.CheckTime
		if n.room.Result.Checking == 0 {
			n.room.Result.Checking = now
		}
	}
}

// checked ends the check of a block. Zeros are made so where the target has others.
func (c *checker) checked(n *node, now time.Duration) {
	id, zero := block.ID(c.checking), n.room.zeros[c.checking]
	held := c.target[id] || zero
	before := n.engine.BlocksDone()
	n.engine.Checked(now, id, held)
	n.room.Result.Checked = now
	if n.engine.BlocksDone() > before && !zero {
		n.verified[int64(id)]++
	}
	if held && n.engine.IsMissing(id) {
		n.room.err = fmt.Errorf("receiver %d has block %d and misses it", n.number, id)
	}
	n.check(now)
}

// take takes a packet of pieces.
func (c *checker) take(n *node, now time.Duration, p wire.Pieces) {
	wanted := n.engine.HandlePieces(now, p)
	if !wanted {
		delete(c.gathered, p.Block)
		return
	}
	if c.gathered[p.Block] |= 1 << (p.First / wire.MaxPieces); c.gathered[p.Block] == 1<<piecesPackets-1 {
		delete(c.gathered, p.Block)
		c.reading = append(c.reading, p)
		if len(c.reading) == 1 {
			c.readAt = now + c.doubt.CheckTime
		}
	}
}

// fill compares a block of the target with its pieces.
func (c *checker) fill(n *node, now time.Duration, p wire.Pieces) {
	have := make([]uint64, (int(p.K)+63)/64)
	alike := int(c.doubt.Alike * float64(p.K))
	if alike*4 < int(p.K) {
		n.engine.Whole(now, p.Block)
		return
	}
	// What differs lies together.
	first := rand.New(rand.NewPCG(c.seed, 4+uint64(p.Block))).IntN(alike + 1)
	for i := range int(p.K) {
		if i < first || i >= first+int(p.K)-alike {
			have[i/64] |= 1 << (i % 64)
		}
	}
	t := n.engine.Fill(now, p.Block, p.K, have)
	if t.Verdict != receiver.Keep {
		return
	}
	n.open(int64(p.Block), t)
	for i := range int(p.K) {
		if have[i/64]&(1<<(i%64)) != 0 {
			n.put(block.SymbolID(i), t)
		}
	}
	n.count(p.K, t)
	if t.Complete {
		n.solve(now, t.Slot)
	}
}
