package sender

import (
	"testing"

	"multiserver/internal/wire"
)

// TestTwins: a block that is sent in another encoding is served raw too, by name and by NACKs, with K
// and rows of its own; in a raw session there is no such thing.
func TestTwins(t *testing.T) {
	const k, twinK = 251, 727
	e := ready(4, k, 2)
	ask := func() {
		w := wire.WantedSymbols{Receiver: 1}
		w.Ranges = w.Ranges.Append(wire.SymbolRange{Object: wire.Twin, Block: 2, First: 700, Count: 2})
		e.HandleWantedSymbols(0, w)
	}
	ask()
	if s := e.Next(0); s.Kind != Nothing {
		t.Errorf("a raw session sends %+v", s)
	}
	e.SetCoded(1444)
	ask()
	if s := e.Next(0); s.Kind != Nothing {
		t.Errorf("before the manifest is known it sends %+v", s)
	}
	e.SetCompletion(0, wire.Completion{ManifestSize: 180})
	e.Ready(Ref{Object: wire.Manifest}, 1)
	for e.Next(0).Kind != Nothing {
	}
	ask()
	for want := range 2 {
		s := e.Next(0)
		if y := s.Symbol; s.Kind != Symbol || y.Object != wire.Twin || y.Block != 2 || int(y.Symbol) != 700+want || y.K != twinK {
			t.Fatalf("it sends %+v", s)
		}
	}
	e.advAt = never
	r := wire.Report{Receiver: 2, Number: 1, Highest: e.sequence}
	r.NACKs = r.NACKs.Append(wire.SymbolCount{Object: wire.Twin, Block: 2, Symbols: 1})
	r.NACKs = r.NACKs.Append(wire.SymbolCount{Object: wire.Twin, Block: 4, Symbols: 1}) // there is none
	e.HandleReport(0, r)
	var adv wire.RepairAdv
	for b, more := e.Poll(advDelay, nil); more; b, more = e.Poll(advDelay, nil) {
		if a, err := wire.ParseRepairAdv(b); err == nil {
			adv = a
		}
	}
	if adv.Pending.Len() != 1 || adv.Pending.At(0).Object != wire.Twin || adv.Pending.At(0).Block != 2 {
		t.Errorf("it advertises %+v", adv)
	}
	rows := 0
	for s := e.Next(0); s.Kind != Nothing; s = e.Next(0) {
		if y := s.Symbol; y.Object != wire.Twin || y.Block != 2 || int(y.Symbol) != twinK+rows {
			t.Errorf("it sends %+v", s)
		}
		rows++
	}
	if rows < 1 || rows > 2 {
		t.Errorf("%d repair symbols of the twin are sent", rows)
	}
	if e.blocks[2].next&symbolMask != k {
		t.Error("the block's own rows have moved on")
	}
}
