package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// pieces is what is owed of pieces' digests: a bit a block, each once, however many
// receivers ask.
type pieces struct {
	unread marks    // blocks that are not Ready
	queue  []uint32 // those that are, in the order in which they go out
	head   int      // of queue, the next
	queued marks    // those in queue
	wait   int      // packets of the stream until the next may go out

	recent [recentPieces]sentPieces
	sent   int // of all so far
}

// sentPieces is a block of which the pieces have been sent.
type sentPieces struct {
	index uint32
	at    time.Duration
}

func newPieces(blocks uint32) pieces {
	n := uint64(blocks)
	return pieces{unread: newMarks(n), queued: newMarks(n)}
}

// any tells whether pieces are owed.
func (p *pieces) any() bool { return p.unread.count+p.queued.count > 0 }

// HandleWantedPieces takes the blocks of which a receiver wants the digests of the
// pieces (S18).
func (e *Engine) HandleWantedPieces(now time.Duration, w wire.WantedPieces) {
	if e.meet(now, w.Receiver) == nil || w.Highest > e.sequence {
		return
	}
	for r := range w.Blocks.All() {
		for i := uint64(r.First); i < min(uint64(r.First)+uint64(r.Count), uint64(e.image)); i++ {
			e.owePieces(now, uint32(i))
		}
	}
}

func (e *Engine) owePieces(now time.Duration, i uint32) {
	p, b := &e.pieces, &e.blocks[i]
	switch {
	case b.has(flagZero):
	case b.k == 0:
		p.unread.add(i)
	case !p.queued.has(i) && !p.justSent(i, now-e.roundTrip):
		p.push(i)
	}
}

// justSent tells whether the pieces of block i were sent since a time: who asks for them
// did so before they arrived.
func (p *pieces) justSent(i uint32, since time.Duration) bool {
	for k := range min(p.sent, recentPieces) {
		if s := &p.recent[k]; s.index == i && s.at >= since {
			return true
		}
	}
	return false
}

func (p *pieces) push(i uint32) {
	if p.head > 0 && len(p.queue) == cap(p.queue) {
		p.queue = append(p.queue[:0], p.queue[p.head:]...)
		p.head = 0
	}
	p.queue = append(p.queue, i)
	p.queued.add(i)
}

// ready: block i has been read, and is zeros or not.
func (p *pieces) ready(i uint32, zero bool) {
	if p.unread.has(i) {
		p.unread.remove(i)
		if !zero {
			p.push(i)
		}
	}
}

// upcoming appends to dst the first n blocks from i on that are to be read, and returns
// where the next one may be.
func (p *pieces) upcoming(dst []Ref, i uint32, n int) ([]Ref, uint32) {
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

// due tells whether pieces are next, beside the stream.
func (p *pieces) due() bool {
	if p.wait > 0 {
		p.wait--
		return false
	}
	return p.queued.count > 0
}

// takePieces takes the next block whose pieces are owed.
func (e *Engine) takePieces(now time.Duration) Send {
	p := &e.pieces
	i := p.queue[p.head]
	if p.head++; p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
	}
	p.queued.remove(i)
	p.recent[p.sent%recentPieces] = sentPieces{index: i, at: now}
	p.sent++
	digests := (e.geometry.Size(block.ID(i)) + block.PieceSize - 1) / block.PieceSize
	p.wait = piecesSpacing * ((digests + wire.MaxPieces - 1) / wire.MaxPieces)
	return Send{Kind: Pieces, Pieces: e.ref(i)}
}

// K is the count of source symbols that block id of the image has in this session, 0 if
// that is not known.
func (e *Engine) K(id block.ID) uint16 { return e.blocks[id].k }

// reset drops all that is owed.
func (p *pieces) reset() {
	for i, ok := p.unread.next(0); ok; i, ok = p.unread.next(i) {
		p.unread.remove(i)
	}
	for _, i := range p.queue[p.head:] {
		p.queued.remove(i)
	}
	p.queue, p.head = p.queue[:0], 0
}
