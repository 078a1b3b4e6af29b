package sender

import (
	"slices"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// carousel sends whole blocks in ascending order, over and over. It interleaves Interleave of
// them, each ahead of the next by a part of its symbols (S3).
type carousel struct {
	todo       *block.Set
	at         uint64 // where the carousel is
	stragglers bool

	members []member // at most Interleave, in the order of their entry
	turn    int

	zeros  []block.Range // runs to be announced for the first time
	repeat []repeat      // runs to be announced again
}

// member is a block that is being sent.
type member struct {
	index uint32
	next  uint32 // source symbol
}

// repeat is a run of zeros to be announced again once packet after is sent.
type repeat struct {
	run   block.Range
	after wire.Sequence
}

// recent are the last blocks of the regular receivers whose source symbols are all sent, with the
// repair requested for them since.
type recent struct {
	blocks [2 * Interleave]uint32
	raised [2 * Interleave]uint16
	count  int // of all so far
}

func (r *recent) add(i uint32) {
	at := r.count % len(r.blocks)
	r.blocks[at], r.raised[at] = i, 0
	r.count++
}

// all are the blocks that are kept.
func (r *recent) all() []uint32 { return r.blocks[:min(r.count, len(r.blocks))] }

func newCarousel(blocks uint64, straggler bool) carousel {
	return carousel{todo: block.NewSet(blocks), stragglers: straggler, members: make([]member, 0, Interleave)}
}

// pickCarousel takes the next source symbol, or a run of zeros. Runs go out when the carousel
// reaches them, and again zeroGap packets later, so that no burst of loss hits both (S5).
func (e *Engine) pickCarousel(w *carousel) (i uint32, id block.SymbolID, kind Kind, run block.Range) {
	if len(w.zeros) == 0 {
		e.admit(w)
	}
	tooMany := len(w.repeat) >= maxZeroRepeats
	switch {
	case len(w.zeros) > 0 && !tooMany:
		run, w.zeros = w.zeros[0], append(w.zeros[:0], w.zeros[1:]...)
		w.repeat = append(w.repeat, repeat{run, e.sequence + zeroGap})
		return 0, 0, ZeroRun, run
	case len(w.repeat) > 0 && (tooMany || len(w.members) == 0 || e.sequence >= w.repeat[0].after):
		run, w.repeat = w.repeat[0].run, append(w.repeat[:0], w.repeat[1:]...)
		return 0, 0, ZeroRun, run
	case len(w.members) > 0:
		i, id = e.nextSource(w)
		return i, id, Symbol, run
	}
	return 0, 0, Nothing, run
}

// nextSource takes the next source symbol of the member whose turn it is.
func (e *Engine) nextSource(w *carousel) (uint32, block.SymbolID) {
	if w.turn >= len(w.members) {
		w.turn = 0
	}
	m := &w.members[w.turn]
	i, id := m.index, m.next
	b := &e.blocks[i]
	if id == 0 {
		b.set(flagFresh)
	}
	w.turn++
	if m.next++; m.next == uint32(b.k) {
		w.turn--
		w.members = slices.Delete(w.members, w.turn, w.turn+1)
		b.clear(flagSending)
		if !w.stragglers {
			e.finish(i)
		}
	}
	return i, block.SymbolID(id)
}

// admit starts the next block once the previous one has sent its part of its symbols. Blocks
// then finish one at a time, and receivers have a steady load. Zero blocks become runs (S3 to
// S5).
func (e *Engine) admit(w *carousel) {
	if n := len(w.members); n >= e.interleave || n > 0 && !e.isAhead(w.members[n-1]) {
		return
	}
	for {
		// The manifest first: it is small, and every receiver needs it.
		r, ok := w.todo.Next(uint64(e.image))
		manifest := ok
		if !ok {
			r, ok = w.todo.Next(w.at)
		}
		if !ok {
			// A pass is over before the next one begins.
			if len(w.members)+len(w.zeros) > 0 || w.at == 0 || w.todo.Count() == 0 {
				return
			}
			w.at = 0
			continue
		}
		i := uint32(r.Lo)
		b := &e.blocks[i]
		taken := false
		switch {
		case !manifest && !e.peers.wanted(i, w.stragglers):
			w.todo.Remove(block.Range{Lo: r.Lo, Hi: r.Lo + 1})
		case b.has(flagZero):
			if !w.addZero(r.Lo) {
				return // announced first
			}
			e.served(i)
		case b.k == 0:
			e.stalled = true
			return
		case !manifest && !w.stragglers && e.flow.on && e.flow.credit <= 0:
			e.flow.hold(e.flow.at)
			return
		default:
			if !manifest {
				e.flow.enter(e.sequence)
			}
			taken = !b.has(flagSending) // by the other carousel
			e.served(i)
		}
		if !manifest {
			if w.at == 0 {
				e.pass++
				e.passBegun = true
			}
			w.at = r.Lo + 1
		}
		if taken {
			b.set(flagSending)
			w.members = append(w.members, member{index: i})
			return
		}
	}
}

// isAhead reports whether the last member is so far ahead that the next may enter.
func (e *Engine) isAhead(m member) bool {
	return m.next*uint32(e.interleave) >= uint32(e.blocks[m.index].k)
}

// served records that block i is about to be sent.
func (e *Engine) served(i uint32) {
	e.regular.todo.Remove(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
	e.stragglers.todo.Remove(block.Range{Lo: uint64(i), Hi: uint64(i) + 1})
	e.peers.served(i)
}

// addZero adds a block to the present run, and reports whether it fits.
func (w *carousel) addZero(i uint64) bool {
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

// finish records that the source symbols of block i, of the regular receivers, are sent. Its
// proactive repair is pending now, and continues its burst.
func (e *Engine) finish(i uint32) {
	e.adapt()
	e.recent.add(i)
	if len(e.peers.list) > 1 {
		e.carry += e.proactive
		n := int(e.carry)
		e.carry -= float64(n)
		e.addRepair(i, min(n, int(e.blocks[i].k)))
	}
}

// addRepair makes at least n repair symbols of block i pending.
func (e *Engine) addRepair(i uint32, n int) {
	b := &e.blocks[i]
	if n <= int(b.repairPending) {
		return
	}
	b.repairPending = uint16(n)
	e.repairPending.add(i)
}

// adapt adjusts the proactive repair by the NACKs for the block that ended Interleave blocks ago:
// up by their number, down by one if there were none. In balance, about two blocks in three need
// no NACK. NACKs beyond what receivers of median loss lack are a straggler's, and do not count
// (S6).
func (e *Engine) adapt() {
	r := &e.recent
	if r.count < Interleave {
		return
	}
	at := (r.count - Interleave) % len(r.raised)
	d := min(float64(r.raised[at]), fewSymbols+2*e.peers.median*float64(e.blocks[r.blocks[at]].k))
	if d == 0 {
		d = -1
	}
	gain := max(gainLeast, gainFirst*Interleave/float64(r.count))
	e.proactive = max(0, e.proactive+gain*d/Interleave)
}
