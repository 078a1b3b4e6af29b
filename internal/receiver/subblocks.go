package receiver

import (
	"math/bits"
	"slices"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// subblocksState is the state of the requests for the blocks at blockDiffers.
type subblocksState struct {
	at        time.Duration     // when more is to be asked for, 0 if nothing is
	gathered  time.Duration     // when blocks are that were not asked for, 0 if there are none
	wanted    int               // blocks at blockDiffers
	requested []subblockRequest // those that were asked for, ascending
	from      uint32            // below it, all were
	arrived   bool              // the sender has sent sub-blocks
	arrivedAt time.Duration     // when the last of them came
	refused   bool              // it sends none
	blocks    wire.List[wire.Range]
}

// subblockRequest is a block whose sub-blocks were asked for, by this receiver or another one.
type subblockRequest struct {
	index uint32
	at    time.Duration // when to ask again
	tries int
	// answered: some have come, so the sender of this session has read the block.
	answered bool
}

// usesSubblocks reports whether requests for sub-blocks can help.
func (e *Engine) usesSubblocks() bool { return e.cfg.Subblocks && !e.subblocks.refused }

// resetSubblocks drops all requests.
func (e *Engine) resetSubblocks() {
	p := &e.subblocks
	p.requested = p.requested[:0]
	p.at, p.gathered, p.from, p.arrived, p.refused = 0, 0, 0, false, false
}

func (e *Engine) enterDiffers(index uint32) {
	e.subblocks.wanted++
	e.subblocks.from = min(e.subblocks.from, index)
}

func (e *Engine) leaveDiffers(index uint32) {
	e.subblocks.wanted--
	if i, asked := e.subblocks.find(index); asked {
		e.subblocks.requested = slices.Delete(e.subblocks.requested, i, i+1)
	}
}

func (p *subblocksState) find(index uint32) (int, bool) {
	return slices.BinarySearchFunc(p.requested, index, func(a subblockRequest, index uint32) int {
		return int(int64(a.index) - int64(index))
	})
}

// idle reports whether there are blocks to ask for, and no time is set.
func (p *subblocksState) idle() bool { return p.gathered == 0 && p.wanted > len(p.requested) }

// subblocksRoom is for how many more blocks sub-blocks may be requested: a quarter of the
// window stays free for the stream.
func (e *Engine) subblocksRoom() int {
	return min(e.freeSlots()-e.window/4, maxSubblockRequests) - len(e.subblocks.requested)
}

// scheduleSubblocks decides when sub-blocks are asked for (R18).
func (e *Engine) scheduleSubblocks(now time.Duration) {
	p := &e.subblocks
	switch {
	case p.wanted == len(p.requested) || e.subblocksRoom() <= 0:
		p.gathered = 0
	case p.gathered == 0:
		p.gathered = now + subblocksGather + e.spreadOthers()
	}
	p.at = p.gathered
	for i := range p.requested {
		p.at = earliest(p.at, p.requested[i].at)
	}
}

// subblocksPause is how long sub-blocks are waited for.
func (e *Engine) subblocksPause(tries int) time.Duration {
	pause := max(8*e.slotTime(), subblocksRetry)
	return min(pause<<tries, max(e.session.ReportInterval, pause))
}

// spreadOthers is a random time within which one or two of the other receivers would say
// the same. Alone, a receiver need not wait.
func (e *Engine) spreadOthers() time.Duration {
	others := time.Duration(max(e.session.Receivers, 1) - 1)
	return e.spread(min(others*wantSpread, maxSpread))
}

// appendWantedSubblocks appends the packet that asks for sub-blocks, if one is due.
func (e *Engine) appendWantedSubblocks(now time.Duration, dst []byte) ([]byte, bool) {
	p := &e.subblocks
	if p.gathered != 0 && now >= p.gathered {
		e.admitSubblocks(now)
	}
	p.blocks = p.blocks.Reset()
	var run wire.Range
	for i := 0; i < len(p.requested); {
		a := &p.requested[i]
		if a.at > now {
			i++
			continue
		}
		if a.tries >= p.tries(now) {
			e.markMissing(a.index)
			if !p.arrived {
				e.abandonSubblocks()
			}
			continue
		}
		a.at = now + e.subblocksPause(a.tries)
		a.tries++
		i++
		if id := block.ID(a.index); run.Count > 0 && id == run.First+block.ID(run.Count) {
			run.Count++
		} else {
			if run.Count > 0 {
				p.blocks = p.blocks.Append(run)
			}
			run = wire.Range{First: id, Count: 1}
		}
	}
	e.schedule(now)
	if run.Count == 0 {
		return dst, false
	}
	p.blocks = p.blocks.Append(run)
	return wire.WantedSubblocks{
		Session: e.session.ID, Receiver: e.cfg.Receiver, Highest: e.stream.seen(), Blocks: p.blocks,
	}.AppendTo(dst), true
}

// tries is how often sub-blocks are asked for in vain: more often while those of other blocks
// come, since the sender may be at work on thousands.
func (p *subblocksState) tries(now time.Duration) int {
	if p.arrived && now < p.arrivedAt+subblocksComing {
		return subblocksTriesComing
	}
	return subblocksTries
}

// admitSubblocks makes the next blocks due to be asked for, as many as there is room for.
func (e *Engine) admitSubblocks(now time.Duration) {
	p := &e.subblocks
	p.gathered = 0
	for room := e.subblocksRoom(); room > 0 && p.wanted > len(p.requested); p.from++ {
		if e.blockState[p.from] == blockDiffers && e.recordRequest(subblockRequest{index: p.from, at: now}) {
			room--
		}
	}
}

// recordRequest records a request for sub-blocks, and reports whether it is new.
func (e *Engine) recordRequest(a subblockRequest) bool {
	i, found := e.subblocks.find(a.index)
	if !found {
		e.subblocks.requested = slices.Insert(e.subblocks.requested, i, a)
	}
	return !found
}

// markMissing makes a block one that is wanted whole.
func (e *Engine) markMissing(index uint32) {
	e.setBlockState(index, blockMissing)
	e.want.retry = wantRetry
	if e.want.inQuiet {
		e.want.at = 0 // sooner
	}
}

// abandonSubblocks is for a sender without sub-blocks: all blocks that differ are requested whole.
func (e *Engine) abandonSubblocks() {
	e.subblocks.refused = true
	for i := uint32(0); e.subblocks.wanted > 0; i++ {
		if e.blockState[i] == blockDiffers {
			e.markMissing(i)
		}
	}
}

// HandleSubblockDigests reports whether the receiver waits for the sub-blocks of that block, at its
// own request or another's. The driver gathers them, compares them with its target and calls
// SeedSlot or RequestWhole.
func (e *Engine) HandleSubblockDigests(now time.Duration, w wire.SubblockDigests) (wanted bool) {
	e.heard = now
	p := &e.subblocks
	p.arrived, p.arrivedAt = true, now
	if uint32(w.Block) >= e.image || !e.isK(e.cfg.Image, w.Block, w.K) {
		return false
	}
	place := e.blockState[w.Block]
	if place <= MaxWindow {
		s := &e.slots[place]
		return s.state == slotFilling && s.fallback == blockDiffers && !s.seeded && s.k == w.K
	}
	if place != blockDiffers {
		return false
	}
	if i, asked := p.find(uint32(w.Block)); asked {
		// The rest of them may come, and the driver has to read its target.
		p.requested[i].answered = true
		p.requested[i].at = max(p.requested[i].at, now+4*e.subblocksPause(0))
	} else if e.subblocksRoom() <= 0 {
		return false
	} else {
		e.recordRequest(subblockRequest{index: uint32(w.Block), at: now + e.subblocksPause(0), tries: 1, answered: true})
	}
	e.scheduleSubblocks(now)
	e.rearm()
	return true
}

// SeedSlot records that the driver has the source symbols in have of block id of the image, whose
// sub-blocks were wanted. k is the block's count of source symbols, as its sub-blocks say; twin: those symbols are of its twin. With
// Keep, SeedSlot leaves in have the symbols that the driver puts into the slot; with First, the
// slot's old content is void. The rest of the block is requested at once. With NoRoom, the
// sub-blocks are requested again later; so it is if they are of a session that is over.
func (e *Engine) SeedSlot(now time.Duration, id block.ID, k uint16, twin bool, have block.Bits) Placement {
	t := e.seedSlot(id, k, twin, have)
	e.look(now)
	return t
}

func (e *Engine) seedSlot(id block.ID, k uint16, twin bool, have block.Bits) Placement {
	index := uint32(id)
	if index >= e.image {
		return Placement{Verdict: Invalid}
	}
	place := e.blockState[index]
	if place == blockVerified {
		return Placement{Verdict: Duplicate}
	}
	if !e.isK(e.cfg.Image, id, k) || len(have)*64 < int(k) {
		e.requestWhole(index)
		return Placement{Verdict: Invalid}
	}
	first := place > MaxWindow
	if first {
		if i, asked := e.subblocks.find(index); !asked || !e.subblocks.requested[i].answered {
			return Placement{Verdict: NoRoom} // sub-blocks of a session that is over
		}
		if e.freeSlots() == 0 {
			e.leaveDiffers(index)
			e.enterDiffers(index)
			return Placement{Verdict: NoRoom}
		}
		place = e.takeSlot()
		e.slots[place].open(index, k, 0, blockDiffers)
		e.slots[place].pass, e.slots[place].twin = e.pass, twin
		e.setBlockState(index, place)
	}
	s := &e.slots[place]
	switch {
	case s.twin != twin: // its other encoding is coming
		return Placement{Verdict: Duplicate}
	case s.state != slotFilling:
		return Placement{Verdict: Duplicate}
	case s.k != k:
		return Placement{Verdict: Invalid}
	}
	s.seeded, s.fallback = true, blockDiffers
	s.merge(have)
	t := Placement{First: first, Slot: int(place)}
	if s.symbolsNeeded == 0 {
		s.state, t.Complete = slotSolving, true
	}
	return t
}

// merge adds as many of the source symbols in have as are needed, and leaves in it the ones
// that are new.
func (s *slot) merge(have block.Bits) {
	for w := range have {
		if w >= len(s.bits) {
			have[w] = 0
			continue
		}
		fresh := have[w] &^ s.bits[w]
		if end := int(s.k) - 64*w; end < 64 {
			fresh &= 1<<end - 1
		}
		for bits.OnesCount64(fresh) > int(s.symbolsNeeded) {
			fresh &= fresh - 1
		}
		s.bits[w] |= fresh
		s.symbolsNeeded -= uint16(bits.OnesCount64(fresh))
		have[w] = fresh
	}
}

// RequestWhole requests block id of the image as a whole: too little of the target's content
// matches.
func (e *Engine) RequestWhole(now time.Duration, id block.ID) {
	if uint32(id) < e.image {
		e.requestWhole(uint32(id))
		e.schedule(now)
		e.rearm()
	}
}

func (e *Engine) requestWhole(index uint32) {
	switch p := e.blockState[index]; {
	case p == blockUnverified || p == blockDiffers:
		e.markMissing(index)
	case p <= MaxWindow && e.slots[p].state == slotFilling && !e.slots[p].seeded:
		e.slots[p].fallback = blockMissing
	}
}
