package sender

import (
	"reflect"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestStateSize: what is kept of a block is 16 bytes, and a bit in each of few sets.
func TestStateSize(t *testing.T) {
	if size := reflect.TypeFor[state]().Size(); size != 16 {
		t.Errorf("%d bytes a block, want 16", size)
	}
	const blocks = 1 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := New(0, Config{Image: block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20}})
	runtime.ReadMemStats(&after)
	if size := float64(after.TotalAlloc-before.TotalAlloc) / blocks; size > 17 || len(e.blocks) != blocks {
		t.Errorf("an engine of %.2f bytes a block", size)
	}
}

// TestComing holds what a burst still brings against the packets that were sent.
func TestComing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 1<<34).Draw(t, "first")
		step := rapid.Uint64Range(1, 40).Draw(t, "step")
		count := rapid.Uint64Range(1, 800).Draw(t, "count")
		s := state{k: 10, next: 10 | flagFresh}
		for n := range count {
			s.sent(wire.Sequence(first + n*step))
		}
		last := first + (count-1)*step
		now := wire.Sequence(last + rapid.Uint64Range(0, 1<<20).Draw(t, "after"))
		seen := wire.Sequence(rapid.Uint64Range(0, uint64(now)).Draw(t, "seen"))
		if rapid.Bool().Draw(t, "near") {
			seen = min(now, wire.Sequence(first+rapid.Uint64Range(0, count*step+50).Draw(t, "offset")))
		}
		want := 0
		for n := range count {
			if wire.Sequence(first+n*step) > seen {
				want++
			}
		}
		got := s.coming(seen, now)
		// The span is kept in units of 16 packets.
		if slack := 1 + spanUnit/int(step); got < want-slack || got > want+slack {
			t.Fatalf("%d coming, %d were sent later", got, want)
		}
		switch {
		case seen < wire.Sequence(first) && got != int(count):
			t.Fatalf("%d of %d coming after a packet before the burst", got, count)
		case seen == now && got != 0:
			t.Fatalf("%d coming after the last packet", got)
		}
		if after := s.sentAfter(seen, now); after != (seen < wire.Sequence(first)) {
			t.Fatalf("sent after %d: %v, burst from %d", seen, after, first)
		}
	})
}

func TestRowsAreNew(t *testing.T) {
	s := state{k: 3, next: 3}
	for want := block.SymbolID(3); want < 1000; want++ {
		if id := s.nextRepair(); id != want {
			t.Fatalf("repair symbol %d, want %d", id, want)
		}
	}
	s.next = s.next&^symbolMask | symbolMask
	if id := s.nextRepair(); id != block.MaxSymbolID {
		t.Errorf("the last repair symbol is %d", id)
	}
	if id := s.nextRepair(); id != 3 {
		t.Errorf("after the last comes %d, want the first", id)
	}
}
