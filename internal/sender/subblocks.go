package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// subblocks is what is pending of sub-blocks' digests: a bit a block, each once, however many
// receivers ask.
type subblocks struct {
	unread marks    // blocks that are not Ready
	queue  []uint32 // those that are, in the order in which they go out
	head   int      // of queue, the next
	queued marks    // those in queue
	wait   int      // packets of the stream until the next may go out

	recent [recentSubblocks]sentSubblocks
	sent   int // of all so far
}

// sentSubblocks is a block of which the sub-blocks have been sent.
type sentSubblocks struct {
	index uint32
	at    time.Duration
}

func newSubblocks(blocks uint32) subblocks {
	n := uint64(blocks)
	return subblocks{unread: newMarks(n), queued: newMarks(n)}
}

// any reports whether sub-blocks are pending.
func (p *subblocks) any() bool { return p.unread.count+p.queued.count > 0 }

// HandleWantedSubblocks takes the blocks of which a receiver wants the digests of the
// sub-blocks (S18).
func (e *Engine) HandleWantedSubblocks(now time.Duration, w wire.WantedSubblocks) {
	if p := e.recordReceiver(now, w.Receiver); p == nil || e.stuck(now, p) {
		return
	}
	for r := range w.Blocks.All() {
		for i := uint64(r.First); i < min(uint64(r.First)+uint64(r.Count), uint64(e.image)); i++ {
			e.queueSubblocks(now, uint32(i))
		}
	}
}

func (e *Engine) queueSubblocks(now time.Duration, i uint32) {
	p, b := &e.subblocks, &e.blocks[i]
	switch {
	case b.has(flagZero):
	case b.k == 0:
		p.unread.add(i)
	case !p.queued.has(i) && !p.justSent(i, now-e.roundTrip):
		p.push(i)
	}
}

// justSent reports whether the sub-blocks of block i were sent since a time: a request for them was
// made before they arrived.
func (p *subblocks) justSent(i uint32, since time.Duration) bool {
	for k := range min(p.sent, recentSubblocks) {
		if s := &p.recent[k]; s.index == i && s.at >= since {
			return true
		}
	}
	return false
}

func (p *subblocks) push(i uint32) {
	if p.head > 0 && len(p.queue) == cap(p.queue) {
		p.queue = append(p.queue[:0], p.queue[p.head:]...)
		p.head = 0
	}
	p.queue = append(p.queue, i)
	p.queued.add(i)
}

// ready: block i has been read, and is zeros or not.
func (p *subblocks) ready(i uint32, zero bool) {
	if p.unread.has(i) {
		p.unread.remove(i)
		if !zero {
			p.push(i)
		}
	}
}

// upcoming appends to dst the first n blocks from i on that are to be read, and returns
// where the next one may be.
func (p *subblocks) upcoming(dst []Ref, i uint32, n int) ([]Ref, uint32) {
	for ; n > 0; n-- {
		next, ok := p.unread.next(i)
		if !ok {
			break
		}
		dst = append(dst, Ref{wire.Image, block.ID(next)})
		i = next + 1
	}
	return dst, i
}

// due reports whether sub-blocks are next.
func (p *subblocks) due() bool {
	if p.wait > 0 {
		p.wait--
		return false
	}
	return p.queued.count > 0
}

// nextSubblocks takes the next block whose sub-blocks are pending.
func (e *Engine) nextSubblocks(now time.Duration) Send {
	p := &e.subblocks
	i := p.queue[p.head]
	if p.head++; p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
	}
	p.queued.remove(i)
	p.recent[p.sent%recentSubblocks] = sentSubblocks{index: i, at: now}
	p.sent++
	digests := (e.geometry.Size(block.ID(i)) + block.SubblockSize - 1) / block.SubblockSize
	p.wait = subblocksSpacing * ((digests + wire.MaxSubblocks - 1) / wire.MaxSubblocks)
	return Send{Kind: Subblocks, Subblocks: e.ref(i)}
}

// K is the count of source symbols that block id of the image has in this session, 0 if that is
// not known. Only simulations use it.
func (e *Engine) K(id block.ID) uint16 { return e.blocks[id].k }

// reset drops all that is pending.
func (p *subblocks) reset() {
	for i, ok := p.unread.next(0); ok; i, ok = p.unread.next(i) {
		p.unread.remove(i)
	}
	for _, i := range p.queue[p.head:] {
		p.queued.remove(i)
	}
	p.queue, p.head = p.queue[:0], 0
}
