package room

import (
	"fmt"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/receiver"
	"multiserver/internal/seed"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// OldContent is what a receiver's target holds before the session, and how that is found out.
type OldContent struct {
	Same      float64       // share of the blocks that are as in the image
	First     bool          // these are the first ones; otherwise any
	Common    bool          // all targets of this kind hold the same
	Alike     float64       // of the other blocks, the share of source symbols that are
	At        time.Duration // when a block turns out to be there; 0: all is compared at once
	Sampled   bool          // neither: samples tell
	CheckTime time.Duration // to read and compare a block
	Subblocks bool          // blocks that differ are compared by their sub-blocks
}

// checkers read the target side by side.
const checkers = 2

// otherContent is the digest of all blocks that are not the image's.
var otherContent = codec.Sum([]byte("something else"))

// newManifest is that of the room's image; nil if no receiver needs it.
func newManifest(r *Room) *codec.Manifest {
	needed := false
	for _, s := range r.cfg.Receivers {
		needed = needed || s.OldContent != nil
	}
	if !needed {
		return nil
	}
	b, err := codec.NewManifestBuilder(r.geometry)
	for i := 0; i < len(r.zeros) && err == nil; i++ {
		if r.zeros[i] {
			err = b.SetZero(block.ID(i))
		} else {
			err = b.Set(block.ID(i), codec.Sum(fmt.Append(nil, "block ", i)))
		}
	}
	if err != nil {
		panic(err)
	}
	return b.Manifest()
}

// content is what the driver of a receiver with old content does: it carries out the jobs of
// seed's engine.
type content struct {
	old     *OldContent // nil: there is none
	engine  *seed.Engine
	random  uint64 // of what the target holds
	target  []bool // the blocks that are as in the image
	beginAt time.Duration
	jobs    []seed.Job // that wait for a checker
	busy    int
	checks  simnet.Queue[seed.Job] // under way, and when they end
}

func newContent(n *node) content {
	c := content{old: n.spec.OldContent, beginAt: simnet.Never}
	if c.old == nil {
		return c
	}
	if c.random = n.room.cfg.Seed << 32; !c.old.Common {
		c.random += uint64(n.number) + 1
	}
	c.target = make([]bool, n.room.cfg.Blocks)
	for k, i := range rand.New(rand.NewPCG(c.random, 3)).Perm(len(c.target)) {
		if c.old.First {
			i = k
		}
		c.target[i] = k < int(c.old.Same*float64(len(c.target))+0.5)
	}
	return c
}

// seeded is a receiver's engine, of which what counts as there is held against the target.
type seeded struct {
	*receiver.Engine
	node *node
}

func (s seeded) Confirm(now time.Duration, id block.ID, held bool) {
	n := s.node
	before := s.BlocksDone()
	s.Engine.Confirm(now, id, held)
	n.room.Result.Checked = now
	if s.BlocksDone() > before {
		if !n.room.zeros[id] {
			n.window.verified[int64(id)]++
		}
		if !n.content.target[id] {
			n.room.fail("receiver %d counts block %d as there, which its target does not hold", n.number, id)
		}
	}
	if held && s.IsMissing(id) {
		n.room.fail("receiver %d has block %d and misses it", n.number, id)
	}
}

// begin: the receiver exists from now on.
func (c *content) begin(n *node, now time.Duration) {
	switch {
	case c.old == nil:
		return
	case c.old.At > 0:
		c.beginAt = now + c.old.At
	}
	c.engine = seed.New(seed.Config{
		Image: n.room.geometry, SymbolSize: symbolSize, Receiver: seeded{n.engine, n},
		Rand: rand.New(rand.NewPCG(c.random, 5)),
	})
	if c.old.At == 0 && !c.old.Sampled {
		c.engine.CheckAll(now)
		c.hand(n, now)
	}
}

// forget: another session, or another stream.
func (c *content) forget() {
	if c.engine != nil {
		c.engine.Forget()
	}
}

func (c *content) wake() time.Duration { return min(c.beginAt, c.checks.At()) }

// act does what is due.
func (c *content) act(n *node, now time.Duration) {
	if c.old == nil || n.done != 0 {
		c.beginAt, c.checks = simnet.Never, simnet.Queue[seed.Job]{}
		return
	}
	var out seed.Outcome
	if now >= c.beginAt {
		c.beginAt = simnet.Never
		c.engine.Present(now, &out)
	}
	for n.done == 0 && c.checks.At() <= now {
		_, job := c.checks.Pop()
		c.busy--
		r := c.read(n, job)
		c.engine.HandleResult(now, &r, &out)
		c.handle(n, now, &out)
		out = seed.Outcome{}
	}
	c.hand(n, now)
}

// hand hands out the engine's jobs, and lets idle checkers begin.
func (c *content) hand(n *node, now time.Duration) {
	if n.done != 0 {
		return
	}
	for {
		job, ok := c.engine.Next(n.disk.busy(n.spec.Window))
		if !ok {
			break
		}
		c.jobs = append(c.jobs, job)
	}
	for c.busy < checkers && len(c.jobs) > 0 {
		job := c.jobs[0]
		c.jobs = append(c.jobs[:0], c.jobs[1:]...)
		c.busy++
		c.checks.Push(now+time.Duration(job.Blocks.Len())*c.old.CheckTime, job)
		n.end.Read += job.Blocks.Len()
	}
	n.arm()
}

// read is what a job finds on the target.
func (c *content) read(n *node, job seed.Job) seed.Result {
	r := seed.Result{Job: job, Readable: 1<<job.Blocks.Len() - 1}
	if job.Subblocks != nil {
		r.Have = c.symbolsHeld(n, block.ID(job.Blocks.Lo))
		return r
	}
	for i := range job.Blocks.Len() {
		id := job.Blocks.Lo + i
		if r.Digests[i] = otherContent; c.target[id] {
			r.Digests[i] = n.room.manifest.Digest(block.ID(id))
		}
	}
	return r
}

// symbolsHeld are the source symbols of a block that the target holds, a bit each. What differs
// lies together.
func (c *content) symbolsHeld(n *node, id block.ID) []uint64 {
	k := int(n.room.cfg.K)
	have := make([]uint64, (k+63)/64)
	alike := int(c.old.Alike * float64(k))
	first := rand.New(rand.NewPCG(c.random, 4+uint64(id))).IntN(alike + 1)
	for i := range k {
		if i < first || i >= first+k-alike {
			have[i/64] |= 1 << (i % 64)
		}
	}
	return have
}

// setManifest: it is verified.
func (c *content) setManifest(n *node, now time.Duration) {
	if c.old == nil || n.done != 0 {
		return
	}
	if n.room.Result.Checking == 0 {
		n.room.Result.Checking = now
	}
	var out seed.Outcome
	c.engine.SetManifest(now, n.room.manifest, &out)
	c.handle(n, now, &out)
	c.hand(n, now)
}

// handleSubblocks takes a packet of digests of sub-blocks.
func (c *content) handleSubblocks(n *node, now time.Duration, p wire.SubblockDigests) {
	if c.old != nil && n.done == 0 {
		c.engine.HandleSubblocks(now, p)
		c.hand(n, now)
	}
}

// handle does what the engine has decided.
func (c *content) handle(n *node, now time.Duration, out *seed.Outcome) {
	n.end.Kept += out.KeptBytes
	n.writeZeros(out.Zeros)
	if s := out.Seed; s.K != 0 {
		c.seedSlot(n, now, s)
	}
	n.check(now)
}

// seedSlot puts what the target holds of a block into the receiver's window.
func (c *content) seedSlot(n *node, now time.Duration, s seed.Seed) {
	t := n.engine.SeedSlot(now, s.Block, s.K, s.Twin, s.Have)
	if t.Verdict != receiver.Keep {
		return
	}
	n.window.open(int64(s.Block), t)
	for i := range int(s.K) {
		if s.Have[i/64]&(1<<(i%64)) != 0 {
			n.window.put(block.SymbolID(i), t)
		}
	}
	n.window.count(s.K, t)
	if t.Complete {
		n.solve(now, t.Slot)
	}
}
