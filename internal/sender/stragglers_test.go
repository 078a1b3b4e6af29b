package sender

import (
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestTailGetsItsShare: while the regular receivers keep the sender busy, the stragglers get one
// packet in fifty, and all of them once the regular receivers have what it wants.
func TestStragglersGetTheirShare(t *testing.T) {
	const regularBlocks, stragglerBlocks, k = 4096, 512, 727
	e := New(0, Config{Session: 1, Image: block.Geometry{ImageSize: (regularBlocks + stragglerBlocks) << 20, BlockSize: 1 << 20}})
	for i := range regularBlocks + stragglerBlocks {
		e.Ready(Ref{Block: block.ID(i)}, k)
	}
	e.HandleReport(0, wire.Report{Receiver: 9, Number: 1, Limit: wire.LimitDisk})
	want := func(id wire.ReceiverID, first block.ID, count uint32) {
		w := wire.Wanted{Receiver: id, Generation: 1, Pages: 1}
		w.Ranges = w.Ranges.Append(wire.Range{First: first, Count: count})
		e.HandleWanted(0, w)
	}
	want(1, 0, regularBlocks)
	want(9, regularBlocks, stragglerBlocks)

	sent := [2]int{}
	for sent[0] < regularBlocks*k {
		s := e.Next(0)
		if s.Kind != Symbol {
			t.Fatalf("nothing to send after %v", sent)
		}
		if s.Symbol.Block < regularBlocks {
			sent[0]++
		} else {
			sent[1]++
		}
	}
	if share := float64(sent[1]) / float64(sent[0]); share < 0.015 || share > 0.021 {
		t.Errorf("%d packets for the stragglers and %d for the others, want one in fifty", sent[1], sent[0])
	}
	for sent[1] < stragglerBlocks*k {
		if s := e.Next(0); s.Kind != Symbol || s.Symbol.Block < regularBlocks {
			t.Fatalf("%+v after the regular receivers have all, and %v", s, sent)
		}
		sent[1]++
	}
	if s := e.Next(0); s.Kind != Nothing {
		t.Errorf("%+v after everything was sent", s)
	}
}
