package sender

import (
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestProactive: what goes with each block unasked rises to what blocks were found to
// need, and falls when they need nothing; a single receiver gets none (S6).
func TestProactive(t *testing.T) {
	const blocks, need = 1000, 6
	e := ready(blocks, 727, 2)
	for i := range uint32(blocks / 2) {
		e.finish(i)
		e.recordRaised(i, max(0, need-int(e.blocks[i].repairPending)))
	}
	if p := e.Proactive(); p < need-2 || p > need+1 {
		t.Errorf("%.2f repair symbols a block, of which each needs %d", p, need)
	}
	for i := uint32(blocks / 2); i < blocks; i++ {
		e.finish(i)
	}
	if p := e.Proactive(); p != 0 {
		t.Errorf("%.2f repair symbols a block, of which none needs any", p)
	}
	e.proactive = need
	e.Leave(2)
	if e.finish(blocks - 1); e.blocks[blocks-1].repairPending != 0 {
		t.Errorf("%d symbols are owed to one receiver that did not ask", e.blocks[blocks-1].repairPending)
	}
}

// TestExpectedLoss: with what is asked for go as many symbols as will be lost of it (S8).
func TestExpectedLoss(t *testing.T) {
	const k, lost = 727, 40
	e := ready(64, k, 10)
	w := wire.Wanted{Receiver: 1, Generation: 1, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Count: 64})
	e.HandleWanted(0, w)
	for e.recent.count == 0 {
		e.Next(0)
	}
	report := func(id wire.ReceiverID, number uint32) wire.Report {
		return wire.Report{Receiver: id, Number: number, Highest: e.sequence, Counts: wire.PacketCounts{Received: 800, Lost: 200}}
	}
	for id := range wire.ReceiverID(10) {
		e.HandleReport(0, report(id+1, 1))
	}
	r := report(1, 2)
	first := block.ID(e.recent.blocks[0])
	r.NACKs = r.NACKs.Append(wire.SymbolCount{Block: first, Symbols: lost})
	e.HandleReport(1e9, r)
	if owed := e.blocks[first].repairPending; owed != 50 {
		t.Errorf("of %d lost at 20%% loss %d are owed, want 50", lost, owed)
	}
}
