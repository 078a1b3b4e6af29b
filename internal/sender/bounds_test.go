package sender

import (
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// every lists n ranges of one block each, none of which touches the next.
func every(n int) (list wire.List[wire.Range]) {
	for i := range n {
		list = list.Append(wire.Range{First: block.ID(2 * i), Count: 1})
	}
	return list
}

// TestRangesAreBounded: all lists of wanted ranges together take maxRanges at most. What
// finds no room is asked for again, and finds it once others have gone.
func TestRangesAreBounded(t *testing.T) {
	e := ready(2*wire.MaxRanges, 4, 0)
	page := every(wire.MaxRanges)
	list := func(id int, generation uint32) {
		e.HandleWanted(0, wire.Wanted{Receiver: wire.ReceiverID(id), Generation: generation, Pages: 1, Ranges: page})
	}
	full := maxRanges / page.Len()
	for id := 1; id <= full+100; id++ {
		list(id, 1)
	}
	if e.peers.ranges > maxRanges || len(e.peers.wanters) != full {
		t.Fatalf("%d ranges of %d receivers are kept, want %d of them", e.peers.ranges, len(e.peers.wanters), full)
	}
	e.HandleGoodbye(0, wire.Goodbye{Receiver: 1})
	if list(full+1, 2); e.peers.ranges != full*page.Len() {
		t.Errorf("%d ranges are kept after one receiver has gone and another has come, want %d", e.peers.ranges, full*page.Len())
	}
}

// TestJobsAreBounded: source symbols that receivers name, and what stragglers lack, are
// queued up to maxJobs each.
func TestJobsAreBounded(t *testing.T) {
	const k = 100
	blocks := 2 * maxJobs / (k / 2)
	e := ready(blocks, k, 2)
	sent := passAll(t, e, blocks, k)
	for b := range blocks {
		var ranges wire.List[wire.SymbolRange]
		for first := uint16(0); first < k; first += 2 {
			ranges = ranges.Append(wire.SymbolRange{Block: block.ID(b), First: first, Count: 1})
		}
		e.HandleWantedSymbols(0, wire.WantedSymbols{Receiver: 1, Highest: sent, Ranges: ranges})
	}
	if n := e.jobs.len(); n != maxJobs {
		t.Errorf("%d ranges of symbols are queued, want %d", n, maxJobs)
	}

	blocks = maxJobs + 100
	e = ready(blocks, 1, 2)
	sent = passAll(t, e, blocks, 1)
	for b := 0; b < blocks; b += 100 {
		r := wire.Report{Receiver: 2, Number: uint32(b + 1), Highest: sent, Limit: wire.LimitDisk}
		for i := b; i < min(b+100, blocks); i++ {
			r.NACKs = r.NACKs.Append(wire.SymbolCount{Block: block.ID(i), Symbols: 1})
		}
		e.HandleReport(0, r)
	}
	if n := e.stragglerJobs.len(); n != maxJobs {
		t.Errorf("%d NACKs of stragglers are queued, want %d", n, maxJobs)
	}
}

// passAll lets receiver 1 want every block, and sends them.
func passAll(t *testing.T, e *Engine, blocks, k int) wire.Sequence {
	t.Helper()
	var all wire.List[wire.Range]
	e.HandleWanted(0, wire.Wanted{Receiver: 1, Generation: 1, Pages: 1, Ranges: all.Append(wire.Range{Count: uint32(blocks)})})
	for range blocks * k {
		if s := e.Next(0); s.Kind != Symbol {
			t.Fatalf("%+v in the pass", s)
		}
	}
	return e.sequence
}

// TestPeersAreBounded: however many identities somebody makes up, so many are kept, and of
// those that said goodbye as many.
func TestPeersAreBounded(t *testing.T) {
	e := ready(1, 1, 0)
	for id := range wire.ReceiverID(maxPeers + 100) {
		e.HandleReport(0, wire.Report{Receiver: id + 1, Number: 1})
	}
	if n := e.Receivers(); n != maxPeers {
		t.Errorf("%d receivers are kept, want %d", n, maxPeers)
	}
	for id := range wire.ReceiverID(2*maxPeers + 100) {
		e.HandleGoodbye(0, wire.Goodbye{Receiver: id + 1})
	}
	if n := len(e.peers.gone); n > maxPeers {
		t.Errorf("%d goodbyes are remembered, want %d at most", n, maxPeers)
	}
}

// TestPacketsHoldWhatTheyCan: more goodbyes, and more pending repair, than a packet holds
// make a packet that is full.
func TestPacketsHoldWhatTheyCan(t *testing.T) {
	const blocks, k = wire.MaxPending + 50, 10
	e := ready(blocks, k, 2)
	sent := passAll(t, e, blocks, k)
	for id := range wire.ReceiverID(wire.MaxGoodbyeAcks + 50) {
		e.HandleGoodbye(0, wire.Goodbye{Receiver: 1000 + id})
	}
	number := uint32(0)
	for b := 0; b < blocks; b += 10 {
		number++
		r := wire.Report{Receiver: 1, Number: number, Highest: sent}
		for i := b; i < min(b+10, blocks); i++ {
			r.NACKs = r.NACKs.Append(wire.SymbolCount{Block: block.ID(i), Symbols: 1})
		}
		e.HandleReport(0, r)
	}
	acks, pending := 0, 0
	for {
		b, ok := e.Poll(time.Second, nil)
		if !ok {
			break
		}
		if a, err := wire.ParseGoodbyeAck(b); err == nil {
			acks = a.Receivers.Len()
		} else if r, err := wire.ParseRepairAdv(b); err == nil {
			pending = r.Pending.Len()
		} else if _, err := wire.ParseHeartbeat(b); err != nil {
			t.Fatal(err)
		}
	}
	if acks != wire.MaxGoodbyeAcks || pending != wire.MaxPending {
		t.Errorf("%d goodbyes are acknowledged and %d blocks advertised, want %d and %d", acks, pending, wire.MaxGoodbyeAcks, wire.MaxPending)
	}
}

// TestZeroRunsAreBounded: of an image in which every other block is zeros, no more runs are
// gathered than may wait for their second time.
func TestZeroRunsAreBounded(t *testing.T) {
	const blocks = 20 * maxZeroRepeats
	e := New(0, Config{Session: 1, Image: block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20}})
	for i := range block.ID(blocks) {
		if i%2 == 0 || i < blocks/2 {
			e.Zero(i)
		}
	}
	for i := range block.ID(blocks) {
		e.Ready(Ref{Block: i}, 1)
	}
	// Every other block of zeros is wanted in the first half: the runs do not touch there.
	w := wire.Wanted{Receiver: 1, Generation: 1, Pages: 1}
	for first := 0; first < blocks; first += 2 * wire.MaxRanges {
		w.Ranges = w.Ranges.Reset()
		for i := first; i < min(first+2*wire.MaxRanges, blocks/2); i += 2 {
			w.Ranges = w.Ranges.Append(wire.Range{First: block.ID(i), Count: 1})
		}
		e.HandleWanted(0, w)
	}
	w.Ranges = w.Ranges.Reset().Append(wire.Range{First: blocks / 2, Count: blocks / 2})
	e.HandleWanted(0, w)
	told := 0
	for range 10 * blocks {
		s := e.Next(0)
		if s.Kind == Nothing {
			break
		}
		if s.Kind == ZeroRun {
			told++
		}
		if z, r := len(e.regular.zeros), len(e.regular.repeat); z > maxZeroRepeats || r > maxZeroRepeats {
			t.Fatalf("%d runs wait to be told, and %d to be told again", z, r)
		}
	}
	if want := 2 * (blocks/4 + blocks/4); told != want {
		t.Errorf("runs were told %d times, want %d", told, want)
	}
}

// TestProactiveIsBounded: no more repair goes with a block, unasked, than it has symbols.
func TestProactiveIsBounded(t *testing.T) {
	e := ready(1, 4, 2)
	e.proactive = 1000
	passAll(t, e, 1, 4)
	if n := e.blocks[0].repairPending; n != 4 {
		t.Errorf("%d repair symbols of a block of four are pending, want 4", n)
	}
}

// TestCountsBeginAnew: a receiver whose counts went back has begun anew, and has lost
// nothing by that.
func TestCountsBeginAnew(t *testing.T) {
	var p peer
	for _, c := range []wire.PacketCounts{
		{Received: 10_000, Lost: 100}, {Received: 20_000, Lost: 200}, {Received: 300, Lost: 3}, {Received: 10_300, Lost: 103}, {Received: 20_300, Lost: 10},
	} {
		if p.count(c); p.loss < 0.005 || p.loss > 0.015 {
			t.Fatalf("after %+v a loss of %v, want 0.01", c, p.loss)
		}
	}
}

// TestManifestEnds: a range of the manifest ends where that does, though there is room for a
// larger one.
func TestManifestEnds(t *testing.T) {
	const blocks = 20_000 // of which a manifest could have two blocks
	e := ready(blocks, 1, 1)
	e.SetCompletion(0, wire.Completion{ManifestSize: 100})
	e.SetCompletion(0, wire.Completion{ManifestSize: 1<<20 + 1}) // the first one counts
	if got := e.Upcoming(nil, 3); !slices.Equal(got, []Ref{{wire.Manifest, 0}}) {
		t.Errorf("%v are to be read, want the manifest's one block", got)
	}
	e.Ready(Ref{wire.Manifest, 0}, 1)
	var all wire.List[wire.Range]
	e.HandleWanted(0, wire.Wanted{Receiver: 1, Generation: 1, Pages: 1, Ranges: all.Append(wire.Range{Object: wire.Manifest, Count: 5})})
	if s := e.Next(0); s.Kind != Symbol || s.Symbol.Object != wire.Manifest || s.Symbol.Block != 0 {
		t.Errorf("%+v, want the manifest's block", s)
	}
	if s := e.Next(0); s.Kind != Nothing {
		t.Errorf("%+v behind the manifest's block", s)
	}
}
