package receiver

import (
	"math/rand/v2"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// image is a receiver of an image of blocks of 1 MiB.
func image(blocks uint64, cfg Config, receivers uint32) *Engine {
	cfg.Receiver, cfg.SymbolSize, cfg.Rand = 7, 1444, rand.New(rand.NewPCG(1, 2))
	cfg.Image = block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20}
	return New(0, cfg, Session{ID: 1, ReportInterval: time.Second, Receivers: receivers})
}

// saysUntil returns all that is due up to a time. It fails if that does not end.
func saysUntil(t *testing.T, e *Engine, now time.Duration) (packets [][]byte) {
	t.Helper()
	for range 100_000 {
		if e.Deadline() > now {
			return packets
		}
		if b, ok := e.Poll(max(e.Deadline(), 0), nil); ok {
			packets = append(packets, b)
		}
	}
	t.Fatalf("there is no end to what is due at %v", e.Deadline())
	return nil
}

// TestPacketsHoldWhatTheyCan: what does not fit a packet goes into the next ones.
func TestPacketsHoldWhatTheyCan(t *testing.T) {
	quiet := wire.Heartbeat{Sequence: 1 << 20, PassEnded: true, ReportInterval: time.Second, RoundTrip: time.Millisecond, Pass: 1}

	t.Run("NACKs", func(t *testing.T) {
		const blocks = wire.MaxNACKs + 50
		e := image(blocks, Config{Window: blocks}, 2)
		for b := range block.ID(blocks) {
			e.HandleSymbol(0, &wire.Symbol{Sequence: wire.Sequence(b) + 1, Block: b, K: 2})
		}
		quiet.Receivers = 2
		e.HandleHeartbeat(0, quiet)
		told := map[block.ID]bool{}
		for _, b := range saysUntil(t, e, 20*time.Millisecond) {
			if r, err := wire.ParseReport(b); err == nil {
				for n := range r.NACKs.All() {
					told[n.Block] = true
				}
			}
		}
		if len(told) != blocks {
			t.Errorf("%d blocks were told, want %d", len(told), blocks)
		}
	})
	t.Run("symbols", func(t *testing.T) {
		const k = 2*wire.MaxSymbolRanges + 100
		e := image(3, Config{Window: 3}, 1)
		q := wire.Sequence(0)
		for _, b := range []block.ID{2, 0, 1} { // slots that do not ascend
			for id := block.SymbolID(0); id < k; id += 2 {
				q++
				e.HandleSymbol(0, &wire.Symbol{Sequence: q, Block: b, Symbol: id, K: k})
			}
		}
		quiet.Receivers = 1
		e.HandleHeartbeat(0, quiet)
		told := map[block.ID]bool{}
		for _, b := range saysUntil(t, e, 20*time.Millisecond) {
			if w, err := wire.ParseWantedSymbols(b); err == nil {
				for r := range w.Ranges.All() {
					told[r.Block] = true
				}
			}
		}
		if len(told) != 3 {
			t.Errorf("symbols of %d blocks were told, want 3", len(told))
		}
	})
	t.Run("symbols of few blocks", func(t *testing.T) {
		e := image(3, Config{Window: 3}, 1)
		for q, b := range []block.ID{2, 0, 1} { // slots that do not ascend
			e.HandleSymbol(0, &wire.Symbol{Sequence: wire.Sequence(q + 1), Block: b, K: 10})
		}
		quiet.Receivers = 1
		e.HandleHeartbeat(0, quiet)
		told := map[block.ID]bool{}
		for _, b := range saysUntil(t, e, 20*time.Millisecond) {
			if w, err := wire.ParseWantedSymbols(b); err == nil {
				for r := range w.Ranges.All() {
					told[r.Block] = true
				}
			}
		}
		if len(told) != 3 {
			t.Errorf("symbols of %d blocks were told, want 3", len(told))
		}
	})
	t.Run("ranges", func(t *testing.T) {
		// One page more than a list may have.
		const blocks = 2 * wire.MaxRanges * (wire.MaxPages + 1)
		e := image(blocks, Config{Window: 4}, 1)
		for i := uint64(0); i < blocks; i += 2 {
			e.ConfirmRange(block.Range{Lo: i, Hi: i + 1})
		}
		quiet.Receivers = 1
		e.HandleHeartbeat(0, quiet)
		pages := 0
		for _, b := range saysUntil(t, e, 1100*time.Millisecond) {
			if w, err := wire.ParseWanted(b); err == nil && w.Generation == 1 {
				if pages++; w.Ranges.Len() != wire.MaxRanges {
					t.Errorf("page %d has %d ranges, want %d", w.Page, w.Ranges.Len(), wire.MaxRanges)
				}
			}
		}
		if pages != wire.MaxPages {
			t.Errorf("%d pages, want %d", pages, wire.MaxPages)
		}
	})
	t.Run("sub-blocks", func(t *testing.T) {
		const blocks = 1000
		e := image(blocks, Config{Window: 1000, Subblocks: true}, 1)
		e.MarkUnverified(0, block.Range{Hi: blocks})
		for b := block.ID(0); b < blocks; b += 2 {
			e.Confirm(0, b, false)
		}
		asked := 0
		for _, b := range saysUntil(t, e, 10*time.Millisecond) {
			if w, err := wire.ParseWantedSubblocks(b); err == nil {
				asked += w.Blocks.Len()
			}
		}
		if asked != maxSubblockRequests {
			t.Errorf("the sub-blocks of %d blocks were asked for at once, want %d", asked, maxSubblockRequests)
		}
	})
}

// TestComplete: nothing is complete before the manifest is known, and every block of both is
// written, in order if the target takes them so.
func TestComplete(t *testing.T) {
	for _, inOrder := range []bool{false, true} {
		e := image(2, Config{Window: 4, InOrder: inOrder}, 1)
		not := func(when string) {
			t.Helper()
			if e.Complete() {
				t.Errorf("in order %v: complete %s", inOrder, when)
			}
		}
		q := wire.Sequence(0)
		arrive := func(o wire.Object, b block.ID) int {
			q++
			p := e.HandleSymbol(0, &wire.Symbol{Sequence: q, Object: o, Block: b, K: 1})
			if !p.Complete {
				t.Fatalf("block %d: %+v", b, p)
			}
			e.BlockVerified(p.Slot)
			return p.Slot
		}
		for b := range block.ID(2) {
			e.BlockWritten(0, arrive(wire.Image, b))
		}
		e.PrefixWritten(0, 1)
		not("before the manifest is known")
		e.HandleHeartbeat(0, wire.Heartbeat{Receivers: 1, ReportInterval: time.Second, Completion: wire.Completion{ManifestSize: 100}})
		not("without the manifest")
		slot := arrive(wire.Manifest, 0)
		not("before the manifest is put away")
		e.BlockWritten(0, slot)
		not("before the sender has told of the manifest by unicast")
		e.Learn(0, wire.Completion{ManifestSize: 100})
		if inOrder {
			not("with a block that has not been its turn")
			e.PrefixWritten(0, 2)
		}
		if !e.Complete() {
			t.Errorf("in order %v: not complete in the end", inOrder)
		}
	}
}

// TestPrefixOnlyGrows: what the target has in order it keeps.
func TestPrefixOnlyGrows(t *testing.T) {
	e := image(20, Config{Window: 6, InOrder: true}, 1)
	e.PrefixWritten(0, 5)
	e.PrefixWritten(0, 3)
	if v := e.HandleSymbol(0, &wire.Symbol{Sequence: 1, Block: 8, K: 4}).Verdict; v != Keep {
		t.Errorf("block 8, of which four fit behind the first five: verdict %d", v)
	}
}

// TestCopiesFailOnce: a packet that comes twice is no second block that fails.
func TestCopiesFailOnce(t *testing.T) {
	e := image(1, Config{Window: 4}, 1)
	s := wire.Symbol{Sequence: 1, K: 1}
	e.BlockFailed(0, e.HandleSymbol(0, &s).Slot)
	if v := e.HandleSymbol(0, &s).Verdict; v != Duplicate {
		t.Errorf("a copy of a packet has verdict %d, want %d", v, Duplicate)
	}
}

// TestSlotOf: blocks that are not there are in no slot, whatever the manifest's are in.
func TestSlotOf(t *testing.T) {
	e := image(4, Config{Window: 4}, 1)
	e.HandleHeartbeat(0, wire.Heartbeat{Receivers: 1, ReportInterval: time.Second, Completion: wire.Completion{ManifestSize: 100}})
	if p := e.HandleSymbol(0, &wire.Symbol{Sequence: 1, Object: wire.Manifest, K: 1}); p.Verdict != Keep {
		t.Fatal(p)
	}
	if _, ok := e.slotOf(wire.Manifest, 0); !ok {
		t.Error("the manifest's block is in no slot")
	}
	for _, r := range []struct {
		object wire.Object
		block  block.ID
	}{{wire.Image, 4}, {wire.Image, block.MaxBlockCount - 1}, {wire.Manifest, 1}, {wire.Manifest, block.MaxBlockCount - 1}} {
		if p, ok := e.slotOf(r.object, r.block); ok {
			t.Errorf("block %d of object %d is in slot %d", r.block, r.object, p)
		}
	}
}

// TestSocketDrops: what the socket dropped is a part of what is missing.
func TestSocketDrops(t *testing.T) {
	e := image(4, Config{Window: 4}, 1)
	for _, q := range []wire.Sequence{1, 2, 5} {
		e.HandleSymbol(0, &wire.Symbol{Sequence: q, Symbol: block.SymbolID(q), K: 100})
	}
	e.SocketDropped(100)
	if c := e.stream.counts(); c != (wire.PacketCounts{Received: 3, Dropped: 2}) {
		t.Errorf("%+v, want two of five dropped", c)
	}
}

// TestDropsAndLoss: the two figures never mix. A drop is known before its gap shows, and a
// gap that showed before is the wire's.
func TestDropsAndLoss(t *testing.T) {
	type step struct {
		arrive, sent wire.Sequence
		drops        uint64 // told after it
	}
	for _, c := range []struct {
		name  string
		steps []step
		want  wire.PacketCounts
	}{
		{"lost, and dropped later", []step{{arrive: 1}, {arrive: 5}, {arrive: 6}, {arrive: 9, drops: 2}}, wire.PacketCounts{Received: 4, Lost: 3, Dropped: 2}},
		{"lost, and more dropped later than shows", []step{{arrive: 1}, {arrive: 5}, {arrive: 8, drops: 5}}, wire.PacketCounts{Received: 3, Lost: 3, Dropped: 2}},
		{"told before the gap shows", []step{{arrive: 1}, {arrive: 2, drops: 3}, {arrive: 3}, {arrive: 7}}, wire.PacketCounts{Received: 4, Dropped: 3}},
		{"the gap shows by a heartbeat", []step{{arrive: 1}, {arrive: 2, drops: 3}, {sent: 5}, {arrive: 6}}, wire.PacketCounts{Received: 3, Dropped: 3}},
		{"more is missing than was dropped", []step{{arrive: 1}, {arrive: 2, drops: 3}, {arrive: 8}}, wire.PacketCounts{Received: 3, Lost: 2, Dropped: 3}},
		{"in two gaps", []step{{arrive: 1, drops: 3}, {arrive: 3}, {arrive: 6}, {arrive: 8}}, wire.PacketCounts{Received: 4, Lost: 1, Dropped: 3}},
		{"told of more than was dropped, long ago", []step{{arrive: 1, drops: 64}, {arrive: 3}, {arrive: maxQueued + 9}, {arrive: maxQueued + 12}}, wire.PacketCounts{Received: 4, Lost: maxQueued - 56, Dropped: 64}},
		{"a part shows by a heartbeat", []step{{arrive: 1, drops: 64}, {arrive: 3}, {sent: 4}, {arrive: 5}, {arrive: 6}, {arrive: 7}}, wire.PacketCounts{Received: 5, Dropped: 2}},
		{"before the first packet", []step{{sent: 4, drops: 5}, {arrive: 7}}, wire.PacketCounts{Received: 1}},
	} {
		e := image(4, Config{Window: 4}, 1)
		for _, s := range c.steps {
			if s.arrive != 0 {
				e.stream.recordArrival(s.arrive)
			} else {
				e.stream.recordSent(s.sent)
			}
			e.SocketDropped(s.drops)
		}
		if got := e.stream.counts(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	// What was told too much expires once the socket must have been emptied.
	var s stream
	s.recordArrival(1)
	s.recordDrops(64)
	for q := wire.Sequence(2); q <= maxQueued+2; q++ {
		s.recordArrival(q)
		s.recordDrops(0)
	}
	s.recordArrival(maxQueued + 5)
	if got := s.counts(); got.Lost != 2 || got.Dropped != 0 {
		t.Errorf("long after a drop: %+v, want 2 lost", got)
	}
}

// TestSeedOfTheWrongSize: fewer bits than the block has symbols say nothing of it.
func TestSeedOfTheWrongSize(t *testing.T) {
	e := image(4, Config{Window: 4, Subblocks: true}, 1)
	e.MarkUnverified(0, block.Range{Hi: 4})
	e.Confirm(0, 1, false)
	if !e.HandleSubblockDigests(0, wire.SubblockDigests{Block: 1, K: 100}) {
		t.Fatal("the sub-blocks are not wanted")
	}
	if p := e.SeedSlot(0, 1, 100, false, []uint64{1<<64 - 1}); p.Verdict != Invalid || !e.IsMissing(1) {
		t.Errorf("%+v, missing %v", p, e.IsMissing(1))
	}
}
