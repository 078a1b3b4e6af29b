package receiver

import (
	"time"

	"multiserver/internal/block"
)

// A receiver whose target may hold a part of the image doubts blocks: it does not ask for
// them while the driver compares them with the manifest, and takes what of them comes for
// others.

// Doubt takes note that the target may hold those of the blocks [r.Lo, r.Hi) of the image
// of which nothing has come. They are not asked for until they are Checked (R17).
func (e *Engine) Doubt(now time.Duration, r block.Range) {
	if e.cfg.InOrder {
		return
	}
	before := e.doubted
	for i := r.Lo; i < min(r.Hi, uint64(e.image)); i++ {
		if e.place[i] == placeNone {
			e.setPlace(uint32(i), placeDoubted)
		}
	}
	if e.doubted > before && e.want.last != 0 {
		e.want.renew = renewals
	}
	e.schedule(now)
	e.rearm()
}

// Checked takes note of whether the target holds block id of the image, verified against
// the manifest. If it does, the block is done, and a slot that was filling with it is
// free. Of a block that is not doubted, nothing else changes.
func (e *Engine) Checked(now time.Duration, id block.ID, held bool) {
	if uint32(id) >= e.image {
		return
	}
	if held {
		e.hold(uint32(id))
	} else {
		e.differs(uint32(id))
	}
	e.schedule(now)
	e.rearm()
}

// Hold takes note that the target holds blocks [r.Lo, r.Hi) of the image already,
// verified against the manifest.
func (e *Engine) Hold(r block.Range) {
	for i := r.Lo; i < min(r.Hi, uint64(e.image)); i++ {
		e.hold(uint32(i))
	}
}

func (e *Engine) hold(index uint32) {
	switch p := e.place[index]; {
	case p == placeTaken:
		return
	case p > MaxWindow:
		e.setPlace(index, placeTaken)
	case e.slots[p].state == slotFilling:
		e.release(int(p), placeTaken)
	default:
		return // its bytes are on their way to the target
	}
	e.written++
	e.done++
}

func (e *Engine) differs(index uint32) {
	switch p := e.place[index]; {
	case p == placeDoubted && e.usesPieces():
		e.setPlace(index, placePieces)
	case p == placeDoubted:
		e.whole(index)
	case p <= MaxWindow && e.slots[p].home == placeDoubted:
		e.slots[p].home = placePieces
	}
}

// Doubted is the count of blocks that are to be checked. A block that is in a slot is none
// of them, but may become one again.
func (e *Engine) Doubted() uint32 { return e.doubted }

// NextDoubted returns the first run of blocks from block from on that are doubted, of
// maxDoubtedRun blocks at most.
func (e *Engine) NextDoubted(from uint32) (block.Range, bool) {
	if e.doubted == 0 {
		return block.Range{}, false
	}
	for from < e.image && e.place[from] != placeDoubted {
		from++
	}
	to := from
	for to < e.image && to-from < maxDoubtedRun && e.place[to] == placeDoubted {
		to++
	}
	return block.Range{Lo: uint64(from), Hi: uint64(to)}, from < to
}

// IsMissing tells whether nothing of block id of the image has come, and nobody has found
// it on the target.
func (e *Engine) IsMissing(id block.ID) bool {
	return uint32(id) < e.image && (e.place[id] == placeNone || e.place[id] == placeDoubted)
}

// unheard tells whether all that is in came from the target: there is no burst whose end
// is to be awaited.
func (s *slot) unheard() bool { return s.filled && s.last == 0 }

// foreign tells whether what came of a block that is doubted, or whose pieces are wanted,
// was for somebody else: it lacks too much to be asked for.
func (s *slot) foreign() bool {
	return s.home != placeNone && !s.filled && int(s.need)*sourceShare > int(s.k)
}
