package sender

import (
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestTailGetsItsShare: while the main class keeps the sender busy, the tail gets one
// packet in fifty, and all of them once the main class has what it wants.
func TestTailGetsItsShare(t *testing.T) {
	const mainBlocks, tailBlocks, k = 4096, 512, 727
	e := New(0, Config{Session: 1, Image: block.Geometry{ImageSize: (mainBlocks + tailBlocks) << 20, BlockSize: 1 << 20}})
	for i := range mainBlocks + tailBlocks {
		e.Ready(Ref{Block: block.ID(i)}, k)
	}
	e.HandleReport(0, wire.Report{Receiver: 9, Number: 1, Limit: wire.LimitDisk})
	want := func(id wire.ReceiverID, first block.ID, count uint32) {
		w := wire.Wanted{Receiver: id, Generation: 1, Pages: 1}
		w.Ranges = w.Ranges.Append(wire.Range{First: first, Count: count})
		e.HandleWanted(0, w)
	}
	want(1, 0, mainBlocks)
	want(9, mainBlocks, tailBlocks)

	sent := [2]int{}
	for sent[0] < mainBlocks*k {
		s := e.Next(0)
		if s.Kind != Symbol {
			t.Fatalf("nothing to send after %v", sent)
		}
		if s.Symbol.Block < mainBlocks {
			sent[0]++
		} else {
			sent[1]++
		}
	}
	if share := float64(sent[1]) / float64(sent[0]); share < 0.015 || share > 0.021 {
		t.Errorf("%d packets for the tail and %d for the others, want one in fifty", sent[1], sent[0])
	}
	for sent[1] < tailBlocks*k {
		if s := e.Next(0); s.Kind != Symbol || s.Symbol.Block < mainBlocks {
			t.Fatalf("%+v after the main class has all, and %v", s, sent)
		}
		sent[1]++
	}
	if s := e.Next(0); s.Kind != Nothing {
		t.Errorf("%+v after everything was sent", s)
	}
}
