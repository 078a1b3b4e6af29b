package receiver

import (
	"math/bits"
	"slices"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// piecesState is what was asked for of the blocks at placePieces.
type piecesState struct {
	at       time.Duration // when more is to be asked for, 0 if nothing is
	gathered time.Duration // when blocks are that were not asked for, 0 if there are none
	wanted   int           // blocks at placePieces
	asked    []pieceAsk    // those that were asked for, ascending
	from     uint32        // below it, all were
	heard    bool          // the sender has sent pieces
	heardAt  time.Duration // when the last of them came
	refused  bool          // it sends none
	blocks   wire.List[wire.Range]
}

// pieceAsk is a block whose pieces were asked for, by this receiver or another one.
type pieceAsk struct {
	index uint32
	at    time.Duration // when to ask again
	tries int
}

// usesPieces tells whether it is of use to ask for pieces.
func (e *Engine) usesPieces() bool { return e.cfg.Pieces && !e.pieces.refused }

// resetPieces begins anew: nothing was asked for.
func (e *Engine) resetPieces() {
	p := &e.pieces
	p.asked = p.asked[:0]
	p.at, p.gathered, p.from, p.heard, p.refused = 0, 0, 0, false, false
}

func (e *Engine) enterPieces(index uint32) {
	e.pieces.wanted++
	e.pieces.from = min(e.pieces.from, index)
}

func (e *Engine) leavePieces(index uint32) {
	e.pieces.wanted--
	if i, asked := e.pieces.find(index); asked {
		e.pieces.asked = slices.Delete(e.pieces.asked, i, i+1)
	}
}

func (p *piecesState) find(index uint32) (int, bool) {
	return slices.BinarySearchFunc(p.asked, index, func(a pieceAsk, index uint32) int {
		return int(int64(a.index) - int64(index))
	})
}

// idle tells whether there are blocks to ask for, and no time is set.
func (p *piecesState) idle() bool { return p.gathered == 0 && p.wanted > len(p.asked) }

// piecesRoom is for how many more blocks pieces may be asked for: a quarter of the window
// stays free for the stream.
func (e *Engine) piecesRoom() int {
	return min(len(e.free)-len(e.slots)/4, maxPiecesAsked) - len(e.pieces.asked)
}

// schedulePieces decides when pieces are asked for (R18).
func (e *Engine) schedulePieces(now time.Duration) {
	p := &e.pieces
	switch {
	case p.wanted == len(p.asked) || e.piecesRoom() <= 0:
		p.gathered = 0
	case p.gathered == 0:
		p.gathered = now + piecesGather + e.spreadOthers()
	}
	p.at = p.gathered
	for i := range p.asked {
		p.at = earliest(p.at, p.asked[i].at)
	}
}

// piecesPause is how long pieces are waited for.
func (e *Engine) piecesPause(tries int) time.Duration {
	pause := max(8*e.slotTime(), piecesRetry)
	return min(pause<<tries, max(e.session.ReportInterval, pause))
}

// spreadOthers is a random time within which one or two of the other receivers would say
// the same. Alone, a receiver need not wait.
func (e *Engine) spreadOthers() time.Duration {
	others := time.Duration(max(e.session.Receivers, 1) - 1)
	return e.spread(min(others*wantSpread, maxSpread))
}

// appendWantedPieces appends the packet that asks for pieces, if one is due.
func (e *Engine) appendWantedPieces(now time.Duration, dst []byte) ([]byte, bool) {
	p := &e.pieces
	if p.gathered != 0 && now >= p.gathered {
		e.admitPieces(now)
	}
	p.blocks = p.blocks.Reset()
	var run wire.Range
	for i := 0; i < len(p.asked); {
		a := &p.asked[i]
		if a.at > now {
			i++
			continue
		}
		if a.tries >= p.tries(now) {
			e.whole(a.index)
			if !p.heard {
				e.refusePieces()
			}
			continue
		}
		a.at = now + e.piecesPause(a.tries)
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
	return wire.WantedPieces{
		Session: e.session.ID, Receiver: e.cfg.Receiver, Highest: e.stream.highest, Blocks: p.blocks,
	}.AppendTo(dst), true
}

// tries is how often pieces are asked for in vain: more often while those of other blocks
// come, since the sender may be at work on thousands.
func (p *piecesState) tries(now time.Duration) int {
	if p.heard && now < p.heardAt+piecesComing {
		return piecesTriesComing
	}
	return piecesTries
}

// admitPieces makes the next blocks due to be asked for, as many as there is room for.
func (e *Engine) admitPieces(now time.Duration) {
	p := &e.pieces
	p.gathered = 0
	for room := e.piecesRoom(); room > 0 && p.wanted > len(p.asked); p.from++ {
		if e.place[p.from] == placePieces && e.ask(pieceAsk{index: p.from, at: now}) {
			room--
		}
	}
}

// ask notes that pieces are asked for, and tells whether that is news.
func (e *Engine) ask(a pieceAsk) bool {
	i, found := e.pieces.find(a.index)
	if !found {
		e.pieces.asked = slices.Insert(e.pieces.asked, i, a)
	}
	return !found
}

// whole makes a block one that is wanted whole.
func (e *Engine) whole(index uint32) {
	e.setPlace(index, placeNone)
	e.want.retry = wantRetry
	if e.want.inQuiet {
		e.want.at = 0 // sooner
	}
}

// refusePieces: the sender knows nothing of pieces, and all blocks that differ are wanted
// whole.
func (e *Engine) refusePieces() {
	e.pieces.refused = true
	for i := uint32(0); e.pieces.wanted > 0; i++ {
		if e.place[i] == placePieces {
			e.whole(i)
		}
	}
}

// HandlePieces tells whether the receiver waits for the pieces of that block, which it or
// another one has asked for. The driver gathers them, compares them with its target and
// calls Fill or Whole.
func (e *Engine) HandlePieces(now time.Duration, w wire.Pieces) (wanted bool) {
	e.heard = now
	p := &e.pieces
	p.heard, p.heardAt = true, now
	if uint32(w.Block) >= e.image || int(w.K) > e.cfg.Image.MaxK(w.Block, e.cfg.SymbolSize) {
		return false
	}
	place := e.place[w.Block]
	if place <= MaxWindow {
		s := &e.slots[place]
		return s.state == slotFilling && s.home == placePieces && !s.filled && s.k == w.K
	}
	if place != placePieces {
		return false
	}
	if i, asked := p.find(uint32(w.Block)); asked {
		// The rest of them may come, and the driver has to read its target.
		p.asked[i].at = max(p.asked[i].at, now+4*e.piecesPause(0))
	} else if e.piecesRoom() <= 0 {
		return false
	} else {
		e.ask(pieceAsk{index: uint32(w.Block), at: now + e.piecesPause(0), tries: 1})
	}
	e.schedulePieces(now)
	e.rearm()
	return true
}

// Fill takes note that the driver has source symbols of block id of the image, of which
// pieces were wanted: symbol i if bit i%64 of have[i/64] is set. k is the block's, of its
// pieces. What is left in have afterwards, with Keep, the driver puts into the slot; as
// with HandleSymbol, whatever the slot held is void with First. The rest of the block is
// asked for at once. With NoRoom the pieces are asked for again later.
func (e *Engine) Fill(now time.Duration, id block.ID, k uint16, have []uint64) Taken {
	t := e.fill(id, k, have)
	e.look(now)
	return t
}

func (e *Engine) fill(id block.ID, k uint16, have []uint64) Taken {
	index := uint32(id)
	if index >= e.image {
		return Taken{Verdict: Invalid}
	}
	place := e.place[index]
	if place == placeTaken {
		return Taken{Verdict: Duplicate}
	}
	if k == 0 || int(k) > e.cfg.Image.MaxK(id, e.cfg.SymbolSize) || len(have)*64 < int(k) {
		e.wantWhole(index)
		return Taken{Verdict: Invalid}
	}
	first := place > MaxWindow
	if first {
		n := len(e.free)
		if n == 0 {
			if place == placePieces {
				e.leavePieces(index)
				e.enterPieces(index)
			}
			return Taken{Verdict: NoRoom}
		}
		place = e.free[n-1]
		e.free = e.free[:n-1]
		e.slots[place].open(index, k, 0, placePieces)
		e.slots[place].pass = e.pass
		e.setPlace(index, place)
	}
	s := &e.slots[place]
	switch {
	case s.state != slotFilling:
		return Taken{Verdict: Duplicate}
	case s.k != k:
		return Taken{Verdict: Invalid}
	}
	s.filled, s.home = true, placePieces
	s.merge(have)
	t := Taken{First: first, Slot: int(place)}
	if s.need == 0 {
		s.state, t.Complete = slotSolving, true
	}
	return t
}

// merge takes as many of the source symbols in have as are needed, and leaves those in it
// that are news.
func (s *slot) merge(have []uint64) {
	for w := range have {
		if w >= len(s.bits) {
			have[w] = 0
			continue
		}
		fresh := have[w] &^ s.bits[w]
		if end := int(s.k) - 64*w; end < 64 {
			fresh &= 1<<end - 1
		}
		for bits.OnesCount64(fresh) > int(s.need) {
			fresh &= fresh - 1
		}
		s.bits[w] |= fresh
		s.need -= uint16(bits.OnesCount64(fresh))
		have[w] = fresh
	}
}

// Whole takes note that block id of the image is to come whole: too little of what the
// target holds in its place is right.
func (e *Engine) Whole(now time.Duration, id block.ID) {
	if uint32(id) < e.image {
		e.wantWhole(uint32(id))
		e.schedule(now)
		e.rearm()
	}
}

func (e *Engine) wantWhole(index uint32) {
	switch p := e.place[index]; {
	case p == placeDoubted || p == placePieces:
		e.whole(index)
	case p <= MaxWindow && e.slots[p].state == slotFilling && !e.slots[p].filled:
		e.slots[p].home = placeNone
	}
}
