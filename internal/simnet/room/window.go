package room

import (
	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/wire"
)

// window keeps what a receiver's slots hold, and which blocks it verified, apart from its
// engine.
type window struct {
	node     *node
	held     []map[block.SymbolID]bool // what each slot holds
	index    []int64                   // the block in each slot
	verified map[int64]int             // how often each block was
}

func newWindow(n *node) *window {
	return &window{
		node: n, held: make([]map[block.SymbolID]bool, n.spec.Window), index: make([]int64, n.spec.Window),
		verified: map[int64]int{},
	}
}

// keep notes that a slot holds what a packet brought.
func (w *window) keep(s *wire.Symbol, t receiver.Placement) {
	w.open(int64(s.Object)<<32|int64(s.Block), t)
	w.put(s.Symbol, t)
	w.count(s.K, t)
}

// open notes that a symbol of a block goes into a slot.
func (w *window) open(index int64, t receiver.Placement) {
	if t.First {
		w.held[t.Slot], w.index[t.Slot] = map[block.SymbolID]bool{}, index
	}
	if w.index[t.Slot] != index {
		w.node.room.fail("receiver %d puts block %x where block %x is", w.node.number, index, w.index[t.Slot])
	}
}

// put notes that a slot holds a symbol.
func (w *window) put(id block.SymbolID, t receiver.Placement) {
	if w.held[t.Slot][id] {
		w.node.room.fail("receiver %d keeps symbol %d of block %x twice", w.node.number, id, w.index[t.Slot])
	}
	w.held[t.Slot][id] = true
}

// count holds what a slot has against what is said of it.
func (w *window) count(k uint16, t receiver.Placement) {
	if n := len(w.held[t.Slot]); t.Complete && n < int(k) {
		w.node.room.fail("receiver %d calls block %x complete with %d of %d symbols", w.node.number, w.index[t.Slot], n, k)
	}
}

// solved notes that the block in a slot is verified, and tells whether it is the manifest,
// which has one block.
func (w *window) solved(slot int) (manifest bool) {
	w.verified[w.index[slot]]++
	return w.index[slot]>>32 != 0
}

// check: a receiver that is done has each block once.
func (w *window) check() {
	n := w.node
	want := 1 // the manifest
	for _, zero := range n.room.zeros {
		if !zero {
			want++
		}
	}
	if len(w.verified) != want {
		n.room.fail("receiver %d is done with %d blocks of %d", n.number, len(w.verified), want)
	}
	for index, times := range w.verified {
		if times != 1 {
			n.room.fail("receiver %d verified block %x %d times", n.number, index, times)
		}
	}
}
