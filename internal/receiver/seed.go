package receiver

import (
	"time"

	"multiserver/internal/block"
)

// A receiver whose target may hold a part of the image has unverified blocks. It does not request
// them while the driver compares them with the manifest, but keeps symbols that come for others.

// MarkUnverified records that the target may hold the blocks [r.Lo, r.Hi) of the image, as far
// as no symbol of them has come. They are not requested until Confirm (R17).
func (e *Engine) MarkUnverified(now time.Duration, r block.Range) {
	if e.cfg.InOrder {
		return
	}
	before := e.unverified
	for i := r.Lo; i < min(r.Hi, uint64(e.image)); i++ {
		if e.blockState[i] == blockMissing {
			e.setBlockState(uint32(i), blockUnverified)
		}
	}
	if e.unverified > before && e.want.last != 0 {
		e.want.renew = renewals
	}
	e.schedule(now)
	e.rearm()
}

// Confirm records whether the target holds block id of the image, verified by the manifest. If it
// does, the block is done, and a slot that was filling with it is free. If it does not, only an
// unverified block changes.
func (e *Engine) Confirm(now time.Duration, id block.ID, held bool) {
	if uint32(id) >= e.image {
		return
	}
	if held {
		e.confirm(uint32(id))
	} else {
		e.recordDiffers(uint32(id))
	}
	e.schedule(now)
	e.rearm()
}

// ConfirmRange records that the target holds blocks [r.Lo, r.Hi) of the image already,
// verified against the manifest.
// Only simulations use it.
func (e *Engine) ConfirmRange(r block.Range) {
	for i := r.Lo; i < min(r.Hi, uint64(e.image)); i++ {
		e.confirm(uint32(i))
	}
}

func (e *Engine) confirm(index uint32) {
	switch p := e.blockState[index]; {
	case p == blockVerified:
		return
	case p > MaxWindow:
		e.setBlockState(index, blockVerified)
	case e.slots[p].state == slotFilling:
		e.release(int(p), blockVerified)
	default:
		return // its bytes are on their way to the target
	}
	e.written++
	e.done++
}

func (e *Engine) recordDiffers(index uint32) {
	switch p := e.blockState[index]; {
	case p == blockUnverified && e.usesSubblocks():
		e.setBlockState(index, blockDiffers)
	case p == blockUnverified:
		e.markMissing(index)
	case p <= MaxWindow && e.slots[p].fallback == blockUnverified:
		e.slots[p].fallback = blockDiffers
	}
}

// Unverified is the count of unverified blocks. A block in a slot does not count, but may become
// unverified again.
func (e *Engine) Unverified() uint32 { return e.unverified }

// NextUnverified returns the first run of blocks from block from on that are unverified, of
// maxUnverifiedRun blocks at most.
func (e *Engine) NextUnverified(from uint32) (block.Range, bool) {
	if e.unverified == 0 {
		return block.Range{}, false
	}
	for from < e.image && e.blockState[from] != blockUnverified {
		from++
	}
	to := from
	for to < e.image && to-from < maxUnverifiedRun && e.blockState[to] == blockUnverified {
		to++
	}
	return block.Range{Lo: uint64(from), Hi: uint64(to)}, from < to
}

// IsMissing reports whether no symbol of block id of the image has come or was found on the target.
func (e *Engine) IsMissing(id block.ID) bool {
	return uint32(id) < e.image && (e.blockState[id] == blockMissing || e.blockState[id] == blockUnverified)
}

// onlySeeded reports whether all symbols came from the target: there is no burst to wait for.
func (s *slot) onlySeeded() bool { return s.seeded && s.last == 0 }

// incidental reports whether the symbols of a block that is unverified, or whose sub-blocks are
// wanted, were sent for another receiver: it lacks too much to be requested.
func (s *slot) incidental() bool {
	return s.fallback != blockMissing && !s.seeded && int(s.symbolsNeeded)*sourceShare > int(s.k)
}
