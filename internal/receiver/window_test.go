package receiver

import (
	"math/rand/v2"
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestSetWindow: a receiver with less memory takes no slot beyond it, tells the driver which it
// does not need, and requests no more than fits.
func TestSetWindow(t *testing.T) {
	const blocks, window, small = 100, 64, 5
	e := New(0, Config{
		Image:      block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20},
		SymbolSize: 1444, Window: window, Rand: rand.New(rand.NewPCG(1, 2)),
	}, Session{Receivers: 1})
	e.SetWindow(small)
	if n := len(e.Unused()); n != window-small {
		t.Errorf("%d slots are not needed, want %d", n, window-small)
	}
	taken := map[int]bool{}
	for id := range block.ID(blocks) {
		at := e.HandleSymbol(0, &wire.Symbol{Sequence: wire.Sequence(id) + 1, Block: id, K: 727})
		if at.Verdict == Keep {
			taken[at.Slot] = true
		}
	}
	if len(taken) != small {
		t.Errorf("%d slots are taken, want %d", len(taken), small)
	}
	for _, p := range e.Unused() {
		if taken[int(p)] {
			t.Errorf("slot %d is taken and not needed", p)
		}
	}
	if wanted := wantedBlocks(t, newTight(small)); wanted != small {
		t.Errorf("%d blocks are requested, want %d", wanted, small)
	}
	e.SetWindow(window)
	if n := len(e.Unused()); n != 0 {
		t.Errorf("%d slots are not needed by the full window", n)
	}
}

// newTight is a receiver that has nothing yet and memory for so many blocks.
func newTight(slots int) *Engine {
	e := New(0, Config{
		Image:      block.Geometry{ImageSize: 100 << 20, BlockSize: 1 << 20},
		SymbolSize: 1444, Window: 64, Rand: rand.New(rand.NewPCG(1, 2)),
	}, Session{Receivers: 1})
	e.SetWindow(slots)
	return e
}

// wantedBlocks is how many blocks the first list of wanted ones has.
func wantedBlocks(t *testing.T, e *Engine) (n int) {
	t.Helper()
	packet, ok := e.appendWanted(1, nil)
	if !ok {
		t.Fatal("no list")
	}
	w, err := wire.ParseWanted(packet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.Ranges.Len() {
		n += int(w.Ranges.At(i).Count)
	}
	return n
}
