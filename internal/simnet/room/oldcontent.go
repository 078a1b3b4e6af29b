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

// OldContent is what a receiver's target holds before the session, and how that is found out.
type OldContent struct {
	Same      float64       // share of the blocks that are as in the image
	First     bool          // these are the first ones; otherwise any
	Common    bool          // all targets of this kind hold the same
	Alike     float64       // of the other blocks, the share of source symbols that are
	At        time.Duration // when the receiver marks blocks unverified; 0: before anything
	CheckTime time.Duration // to read and compare a block
	Subblocks bool          // blocks that differ are compared by their sub-blocks
}

// checker is what the driver of a receiver with old content does. It works on one block at a
// time: checks come one after the other, and blocks whose sub-blocks are there are between.
type checker struct {
	old      *OldContent
	seed     uint64 // of what the target holds
	target   []bool // the blocks that are as in the image
	markAt   time.Duration
	manifest bool // it is in, and blocks can be checked

	checking uint32
	checkAt  time.Duration // when that is checked; Never if nothing is
	cursor   uint32

	gathered map[block.ID]int       // bit i: packet i of the block's sub-blocks is in
	reading  []wire.SubblockDigests // blocks whose target is to be read
	readAt   time.Duration          // when the first is read
}

func newChecker(n *node) checker {
	c := checker{old: n.spec.OldContent, markAt: simnet.Never, checkAt: simnet.Never, readAt: simnet.Never}
	if c.old == nil {
		return c
	}
	c.gathered = map[block.ID]int{}
	if c.seed = n.room.cfg.Seed << 32; !c.old.Common {
		c.seed += uint64(n.number) + 1
	}
	c.target = make([]bool, n.room.cfg.Blocks)
	for k, i := range rand.New(rand.NewPCG(c.seed, 3)).Perm(len(c.target)) {
		if c.old.First {
			i = k
		}
		c.target[i] = k < int(c.old.Same*float64(len(c.target))+0.5)
	}
	return c
}

// begin: the receiver exists from now on.
func (c *checker) begin(n *node, now time.Duration) {
	if c.old == nil {
		return
	}
	if c.old.At == 0 {
		n.engine.MarkUnverified(now, block.Range{Hi: uint64(len(c.target))})
		return
	}
	c.markAt = now + c.old.At
}

func (c *checker) wake(n *node) time.Duration {
	if c.checkAt == simnet.Never && c.mayCheck(n) {
		return 0
	}
	return min(c.markAt, c.checkAt, c.readAt)
}

func (c *checker) mayCheck(n *node) bool {
	return c.manifest && n.done == 0 && n.engine.Unverified() > 0
}

// act does what is due.
func (c *checker) act(n *node, now time.Duration) {
	if c.old == nil || n.done != 0 {
		c.markAt, c.checkAt, c.readAt = simnet.Never, simnet.Never, simnet.Never
		return
	}
	if now >= c.markAt {
		c.markAt = simnet.Never
		n.engine.MarkUnverified(now, block.Range{Hi: uint64(len(c.target))})
	}
	if now >= c.readAt {
		p := c.reading[0]
		c.reading = append(c.reading[:0], c.reading[1:]...)
		c.readAt = simnet.Never
		if len(c.reading) > 0 {
			c.readAt = now + c.old.CheckTime
		}
		c.seedSlot(n, now, p)
	}
	if now >= c.checkAt {
		c.checkAt = simnet.Never
		c.confirm(n, now)
	}
	if c.checkAt == simnet.Never && c.mayCheck(n) {
		r, ok := n.engine.NextUnverified(c.cursor)
		if !ok {
			r, ok = n.engine.NextUnverified(0)
		}
		if !ok {
			n.room.err = fmt.Errorf("receiver %d has %d unverified blocks and names none", n.number, n.engine.Unverified())
			return
		}
		c.checking, c.cursor = uint32(r.Lo), uint32(r.Lo)+1
		c.checkAt = now + c.old.CheckTime
		if n.room.Result.Checking == 0 {
			n.room.Result.Checking = now
		}
	}
}

// confirm ends the check of a block. Zeros are made so where the target has others.
func (c *checker) confirm(n *node, now time.Duration) {
	id, zero := block.ID(c.checking), n.room.zeros[c.checking]
	held := c.target[id] || zero
	before := n.engine.BlocksDone()
	n.engine.Confirm(now, id, held)
	n.room.Result.Checked = now
	if n.engine.BlocksDone() > before && !zero {
		n.verified[int64(id)]++
	}
	if held && n.engine.IsMissing(id) {
		n.room.err = fmt.Errorf("receiver %d has block %d and misses it", n.number, id)
	}
	n.check(now)
}

// handleSubblockDigests takes a packet of sub-blocks.
func (c *checker) handleSubblockDigests(n *node, now time.Duration, p wire.SubblockDigests) {
	wanted := n.engine.HandleSubblockDigests(now, p)
	if !wanted {
		delete(c.gathered, p.Block)
		return
	}
	if c.gathered[p.Block] |= 1 << (p.First / wire.MaxSubblocks); c.gathered[p.Block] == 1<<subblockPackets-1 {
		delete(c.gathered, p.Block)
		c.reading = append(c.reading, p)
		if len(c.reading) == 1 {
			c.readAt = now + c.old.CheckTime
		}
	}
}

// seedSlot compares a block of the target with its sub-blocks.
func (c *checker) seedSlot(n *node, now time.Duration, p wire.SubblockDigests) {
	have := make([]uint64, (int(p.K)+63)/64)
	alike := int(c.old.Alike * float64(p.K))
	if alike*4 < int(p.K) {
		n.engine.RequestWhole(now, p.Block)
		return
	}
	// What differs lies together.
	first := rand.New(rand.NewPCG(c.seed, 4+uint64(p.Block))).IntN(alike + 1)
	for i := range int(p.K) {
		if i < first || i >= first+int(p.K)-alike {
			have[i/64] |= 1 << (i % 64)
		}
	}
	t := n.engine.SeedSlot(now, p.Block, p.K, have)
	if t.Verdict != receiver.Keep {
		return
	}
	n.open(int64(p.Block), t)
	for i := range int(p.K) {
		if have[i/64]&(1<<(i%64)) != 0 {
			n.recordHeld(block.SymbolID(i), t)
		}
	}
	n.count(p.K, t)
	if t.Complete {
		n.solve(now, t.Slot)
	}
}
