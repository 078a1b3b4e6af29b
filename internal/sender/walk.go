package sender

import "multiserver/internal/block"

// walk sends blocks that are wanted whole, in ascending order and round again, in
// groups of Interleave blocks side by side (S3).
type walk struct {
	todo *block.Set
	at   uint64 // where the walk is
	tail bool

	members [Interleave]member
	count   int  // members of the group
	left    int  // of these, those with source symbols still to send
	full    bool // the group is complete and being sent
	turn    int
	longest uint16 // greatest K in the group; 0 once a block of that K has ended

	zeros  []block.Range // runs to be told for the first time
	repeat []block.Range // runs to be told again
	// followed: a group was sent since the runs in repeat were told.
	followed bool
}

// member is a block of the group.
type member struct {
	index uint32
	next  uint32 // source symbol
}

// window is a group that was sent, and what was owed for its blocks since.
type window struct {
	blocks [Interleave]uint32
	raised [Interleave]uint16
	count  int
}

// pickWalk takes the next source symbol of the group, or a run of zeros. Runs go
// out when the walk meets them, and again behind the group that follows, so that no
// burst of loss takes both (S5).
func (e *Engine) pickWalk(w *walk) (i uint32, id block.SymbolID, kind Kind, run block.Range) {
	for {
		switch {
		case len(w.zeros) > 0:
			run, w.zeros = shift(w.zeros)
			w.repeat = append(w.repeat, run)
			return 0, 0, ZeroRun, run
		case w.full:
			i, id = e.takeMember(w)
			return i, id, Symbol, run
		case len(w.repeat) > 0 && (w.followed || len(w.repeat) >= maxZeroRepeats):
			run, w.repeat = shift(w.repeat)
			return 0, 0, ZeroRun, run
		}
		w.followed = false
		if e.form(w) || len(w.zeros) > 0 {
			continue
		}
		if len(w.repeat) == 0 {
			return 0, 0, Nothing, run
		}
		w.followed = true // by nothing
	}
}

// shift takes the first of runs out.
func shift(runs []block.Range) (block.Range, []block.Range) {
	first := runs[0]
	return first, append(runs[:0], runs[1:]...)
}

// takeMember takes the next source symbol of a full group.
func (e *Engine) takeMember(w *walk) (uint32, block.SymbolID) {
	for {
		if w.turn >= w.count {
			w.turn = 0
		}
		m := &w.members[w.turn]
		w.turn++
		b := &e.blocks[m.index]
		if m.next >= uint32(b.k) {
			continue
		}
		id := block.SymbolID(m.next)
		if m.next == 0 {
			b.set(flagFresh)
		}
		m.next++
		if m.next == uint32(b.k) {
			b.clear(flagGroup)
			e.finishMember(w, m.index)
			if w.left--; w.left == 0 {
				e.finish(w)
			}
		}
		return m.index, id
	}
}

// form gathers the next group, and tells whether there is one to send. Zero blocks
// on the way become runs (S3 to S5).
func (e *Engine) form(w *walk) bool {
	for w.count < Interleave {
		// The manifest is small, and everybody waits for it in the end.
		r, ok := w.todo.Next(uint64(e.image))
		manifest := ok
		if !ok {
			r, ok = w.todo.Next(w.at)
		}
		if !ok {
			if w.count > 0 || len(w.zeros) > 0 || w.at == 0 || w.todo.Count() == 0 {
				break
			}
			w.at = 0
			continue
		}
		i := uint32(r.Lo)
		b := &e.blocks[i]
		switch {
		case !manifest && !e.peers.wanted(i, w.tail):
			w.todo.Remove(block.Range{Lo: r.Lo, Hi: r.Lo + 1})
		case b.has(flagZero):
			if !w.addZero(r.Lo) {
				return false // told first
			}
			e.served(i)
		case b.k == 0:
			e.stalled = true
			return false
		default:
			inGroup := b.has(flagGroup) // of the other walk
			e.served(i)
			if inGroup {
				break
			}
			b.set(flagGroup)
			w.members[w.count] = member{index: i}
			w.count++
		}
		if manifest {
			continue
		}
		if w.at == 0 {
			e.pass++
			e.passBegun = true
		}
		w.at = r.Lo + 1
	}
	if w.count == 0 {
		return false
	}
	w.full, w.left, w.turn, w.longest = true, w.count, 0, 0
	for _, m := range w.members[:w.count] {
		w.longest = max(w.longest, e.blocks[m.index].k)
	}
	return true
}

// served: block i is about to be sent, for whomever.
func (e *Engine) served(i uint32) {
	e.main.todo.Remove(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
	e.tail.todo.Remove(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
	e.peers.served(i)
}

// addZero puts a block into the run under way, and tells whether that goes.
func (w *walk) addZero(i uint64) bool {
	if n := len(w.zeros); n > 0 {
		if w.zeros[n-1].Hi == i {
			w.zeros[n-1].Hi++
			return true
		}
		if n == maxZeroRepeats {
			return false
		}
	}
	w.zeros = append(w.zeros, block.Range{Lo: i, Hi: i + 1})
	return true
}

// finishMember: the source symbols of block i have been sent. It is owed its proactive
// repair, which continues its burst. The first of the longest blocks to end is when the
// deficits of the group before are known.
func (e *Engine) finishMember(w *walk, i uint32) {
	if w.tail {
		return
	}
	k := e.blocks[i].k
	if k == w.longest {
		w.longest = 0
		e.adapt()
	}
	if len(e.peers.list) > 1 {
		e.carry += e.proactive
		n := int(e.carry)
		e.carry -= float64(n)
		e.owe(i, min(n, int(k)))
	}
}

// finish ends a group.
func (e *Engine) finish(w *walk) {
	if !w.tail {
		win := window{count: w.count}
		for k, m := range w.members[:w.count] {
			win.blocks[k] = m.index
		}
		e.windows[1], e.windows[0] = e.windows[0], win
	}
	w.full, w.count, w.followed = false, 0, true
}

// owe makes at least n repair symbols of block i owed.
func (e *Engine) owe(i uint32, n int) {
	b := &e.blocks[i]
	if n <= int(b.owed) {
		return
	}
	b.owed = uint16(n)
	e.owed.add(i)
}

// adapt moves the proactive repair by what was owed for the group before: up by the
// mean of its deficits, down by the share of blocks that had none. It rests where
// about two blocks in three need no word (S6).
func (e *Engine) adapt() {
	win := &e.windows[0]
	if win.count == 0 {
		return
	}
	sum, none := 0.0, 0.0
	for _, d := range win.raised[:win.count] {
		sum += float64(d)
		if d == 0 {
			none++
		}
	}
	e.groups++
	gain := max(gainLeast, gainFirst/float64(e.groups))
	e.proactive = max(0, e.proactive+gain*(sum-none)/float64(win.count))
}
