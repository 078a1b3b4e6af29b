package receiver

import (
	"math/rand/v2"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestTwinSlot: a block of which the target holds raw symbols takes those of its twin only, asks for
// them by name or by NACK, and is done by them. Twins that somebody else needs are no loss.
func TestTwinSlot(t *testing.T) {
	const k, twinK, had = 251, 727, 700
	for _, receivers := range []uint32{1, 2} {
		e := New(0, Config{
			Receiver: 1, Window: 8, SymbolSize: 1444, Rand: rand.New(rand.NewPCG(1, 1)), Subblocks: true,
			Image: block.Geometry{ImageSize: 8 << 20, BlockSize: 1 << 20},
		}, Session{ID: 1, ReportInterval: time.Second, Receivers: receivers, Completion: wire.Completion{ManifestSize: 300}})
		e.MarkUnverified(0, block.Range{Hi: 8})
		e.Confirm(0, 3, false)
		if !e.HandleSubblockDigests(0, wire.SubblockDigests{Block: 3, K: twinK, SentK: k}) {
			t.Fatal("the digests are not waited for")
		}
		have := block.NewBits(twinK)
		for i := range uint32(had) {
			have.Add(i)
		}
		at := e.SeedSlot(0, 3, twinK, true, have)
		if at.Verdict != Keep || !at.First || at.Complete {
			t.Fatalf("the seed: %+v", at)
		}
		var named, nacked int
		for now := time.Duration(0); now < 3*time.Second && named+nacked == 0; now += time.Millisecond {
			for b, more := e.Poll(now, nil); more; b, more = e.Poll(now, nil) {
				if w, err := wire.ParseWantedSymbols(b); err == nil {
					for r := range w.Ranges.All() {
						if r.Object == wire.Twin && r.Block == 3 && r.First >= had {
							named += int(r.Count)
						}
					}
				}
				if r, err := wire.ParseReport(b); err == nil {
					for n := range r.NACKs.All() {
						if n.Object == wire.Twin && n.Block == 3 {
							nacked = int(n.Symbols)
						}
					}
				}
			}
		}
		if named+nacked != twinK-had || (named > 0) != (receivers == 1) {
			t.Errorf("%d receivers: %d symbols are named, %d are in a NACK, of %d", receivers, named, nacked, twinK-had)
		}
		e.HandleRepairAdv(0, wire.RepairAdv{Pending: wire.List[wire.SymbolCount]{}.Append(wire.SymbolCount{Block: 3, Symbols: 100})})
		if e.slots[at.Slot].covered {
			t.Error("repair of the block covers its twin")
		}
		e.HandleRepairAdv(0, wire.RepairAdv{Pending: wire.List[wire.SymbolCount]{}.Append(wire.SymbolCount{Object: wire.Twin, Block: 3, Symbols: 100})})
		if !e.slots[at.Slot].covered {
			t.Error("the twin's repair does not cover it")
		}
		sequence := wire.Sequence(0)
		send := func(o wire.Object, id block.ID, s block.SymbolID, k uint16) Placement {
			sequence++
			return e.HandleSymbol(0, &wire.Symbol{Session: 1, Sequence: sequence, Object: o, Block: id, Symbol: s, K: k})
		}
		if p := send(wire.Image, 3, 0, k); p.Verdict != Duplicate {
			t.Errorf("a symbol of the other encoding: %+v", p)
		}
		if p := send(wire.Twin, 5, 0, twinK); p.Verdict != Duplicate {
			t.Errorf("a twin that nobody asked for: %+v", p)
		}
		for i := range block.SymbolID(twinK - had) {
			if p := send(wire.Twin, 3, had+i, twinK); p.Verdict != Keep || p.Complete != (i == twinK-had-1) {
				t.Fatalf("symbol %d of the twin: %+v", had+i, p)
			}
		}
		if c := e.stream.counts(); c.Lost != 0 || c.Received != uint64(sequence) {
			t.Errorf("%+v after %d packets, none of which is lost", c, sequence)
		}
	}
}
