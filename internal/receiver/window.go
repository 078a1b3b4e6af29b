package receiver

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Places of a block that are no slot.
const (
	blockMissing  = 1<<16 - 1 // not held: never seen, refused or evicted
	blockVerified = 1<<16 - 2 // verified, or zeros: nothing more is needed
	// blockUnverified: as blockMissing, but the target may hold it.
	blockUnverified = 1<<16 - 3
	// blockDiffers: the target holds something else, and the digests of sub-blocks are to show
	// which of it matches.
	blockDiffers = 1<<16 - 4
)

// MaxWindow is the greatest Config.Window.
const MaxWindow = blockDiffers - 1

// slotState is how far a block in the window is.
type slotState uint8

const (
	slotFree    slotState = iota
	slotFilling           // need > 0
	slotSolving           // K symbols are in; the driver rebuilds and verifies
	slotWriting           // verified, on its way to the disk
	slotProving           // wrong; its proof is asked for
)

// slot is one block in memory. The fields that a symbol touches are in one cache line.
type slot struct {
	bits          block.Bits    // which source symbols are in
	last          wire.Sequence // of the newest packet with a symbol of it
	index         uint32
	k             uint16
	symbolsNeeded uint16 // K − rank
	state         slotState
	passed        bool  // its burst is over and it lacks something
	tries         uint8 // reports since the burst was over
	// covered: a repair advertisement promised enough for need, in symbols after coverFrom, and before
	// coverEnds unless the promise does not hold.
	covered bool
	late    bool // the receiver came when part of it had been sent
	waiting bool // it is not asked for now (R10)
	stale   bool // of a session that is over
	seeded  bool // symbols of it came from the target
	proven  bool // its proof has come: source symbols only
	redo    bool // on its way to the disk, and wrong
	twin    bool // its symbols are those of the block's twin
	// fallback is the place of its block once the slot is given up.
	fallback uint16
	rows     uint32 // repair rows that the sender has made at least

	// askAt is when its NACK goes into a report, unless the sender promises enough
	// before.
	askAt     time.Duration
	coverFrom wire.Sequence
	coverEnds wire.Sequence
	repair    []block.SymbolID // repair symbols that are in, ascending
	pass      uint32           // of the sender when it was opened, as far as known
	_         [8]byte          // to two lines
}

// addSymbol adds a symbol, and reports whether it is new.
func (s *slot) addSymbol(id block.SymbolID) bool {
	if uint32(id) < uint32(s.k) {
		return s.bits.Add(uint32(id))
	}
	return s.addRepair(id)
}

func (s *slot) addRepair(id block.SymbolID) bool {
	s.rows = max(s.rows, uint32(id)-uint32(s.k)+1)
	i := len(s.repair)
	for i > 0 && s.repair[i-1] >= id {
		if s.repair[i-1] == id {
			return false
		}
		i--
	}
	s.repair = append(s.repair, 0)
	copy(s.repair[i+1:], s.repair[i:])
	s.repair[i] = id
	return true
}

// open makes a free slot hold block index, of k source symbols. first is the symbol that came
// first, and home the block's place before.
func (s *slot) open(index uint32, k uint16, first block.SymbolID, home uint16) {
	words := (int(k) + 63) / 64
	if cap(s.bits) < words {
		s.bits = block.NewBits(uint32(k))
	}
	s.bits = s.bits[:words]
	clear(s.bits)
	*s = slot{bits: s.bits, repair: s.repair[:0], index: index, k: k, symbolsNeeded: k, state: slotFilling, fallback: home, late: uint32(first) > uint32(k)/lateShare+lateSymbols}
}

// large reports whether a block lacks so much that source symbols are named: more than a
// quarter, and more than what is lost of every block.
func (e *Engine) large(s *slot) bool {
	return s.symbolsNeeded > fewSymbols && float64(s.symbolsNeeded) > float64(s.k)*max(1.0/sourceShare, sourceLoss*e.recentLoss)
}

// isK reports whether block id of an object can have k source symbols. If it were not held against
// what is known, the first symbol of a block, which may be anybody's, would decide.
func (e *Engine) isK(g block.Geometry, id block.ID, k uint16) bool {
	if e.session.Raw {
		return int(k) == g.RawK(id, e.cfg.SymbolSize)
	}
	return k > 0 && int(k) <= g.MaxK(id, e.cfg.SymbolSize)
}

// room (R1) finds a slot for a block whose symbol id has come. evicted says that the slot's old
// block has to be dropped for it.
func (e *Engine) room(id block.SymbolID, k uint16) (p int, evicted bool, ok bool) {
	if n := e.freeSlots(); n > 0 {
		// With little room, only a block that its present burst can still complete.
		if n <= e.window/4 && uint32(id) > uint32(k)/sourceShare {
			return 0, false, false
		}
		return int(e.takeSlot()), false, true
	}
	if uint32(id) > uint32(k)/sourceShare {
		return 0, false, false
	}
	// The lowest rank goes first, and only a block that has to come again nearly whole:
	// any other exchange would gain nothing.
	var least float64
	p = -1
	for i := range e.slots {
		s := &e.slots[i]
		if s.state != slotFilling || !s.passed || s.proven || int(s.symbolsNeeded)*sourceShare <= int(s.k) {
			continue
		}
		if share := float64(s.symbolsNeeded) / float64(s.k); share > least {
			least, p = share, i
		}
	}
	return p, true, p >= 0
}

// SetWindow changes how many slots may be in use, 1 to Config.Window, because the driver has less
// memory for them, or more again. Slots beyond that stay in use until their blocks are done. With
// a window that has no room for the blocks that a sender interleaves, beside those on their way to
// the target, the receiver requests only what fits (R13).
func (e *Engine) SetWindow(slots int) {
	e.window = min(max(slots, 1), len(e.slots))
	e.tight = e.window < tightWindow && uint32(e.window) < e.image
	e.slow = e.slow || e.tight
}

// freeSlots is how many more slots may be taken.
func (e *Engine) freeSlots() int { return max(0, e.window-(len(e.slots)-len(e.free))) }

// takeSlot takes a free slot: the one that was freed last.
func (e *Engine) takeSlot() uint16 {
	n := len(e.free) - 1
	p := e.free[n]
	e.free = e.free[:n]
	return p
}

// Unused are the slots that are free and will not be taken: the driver needs no memory for them. The
// slice is valid until the next call of any method.
func (e *Engine) Unused() []uint16 { return e.free[:len(e.free)-e.freeSlots()] }

// release frees slot p; its block's place becomes place, if it is not there already.
func (e *Engine) release(p int, place uint16) {
	s := &e.slots[p]
	if e.blockState[s.index] != place {
		e.setBlockState(s.index, place)
	}
	s.state = slotFree
	e.free = append(e.free, uint16(p))
}

// Repairs is how many repair symbols slot p holds: with none the block needs no
// rebuilding, and with one it cannot be singular.
func (e *Engine) Repairs(p int) int { return len(e.slots[p].repair) }
