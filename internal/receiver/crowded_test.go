package receiver

import (
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestCrowded: three quarters of the window with the driver are a crowd, unless they wait for
// packets or the disk is slower than the stream.
func TestCrowded(t *testing.T) {
	const k = 4
	for _, c := range []struct {
		name    string
		cfg     Config
		blocks  []block.ID // of which all symbols come
		written int        // of them are verified and on their way to the target
		more    block.ID   // a block that finds no room; 0 is none
		want    bool
	}{
		{"to solve", Config{}, []block.ID{0, 1, 2}, 0, 0, true},
		{"to write", Config{}, []block.ID{0, 1, 2}, 3, 0, true},
		{"of both", Config{}, []block.ID{0, 1, 2}, 1, 0, true},
		{"half of it", Config{}, []block.ID{0, 1}, 1, 0, false},
		{"in order, the next is in", Config{InOrder: true, Window: 16}, []block.ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 12, 0, true},
		{"in order, the next is still to come", Config{InOrder: true, Window: 16}, []block.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 12, 0, false},
		{"the disk is slow", Config{}, []block.ID{0, 1, 2, 3}, 4, 4, false},
		{"the target waits", Config{TargetWaits: true}, []block.ID{0, 1, 2, 3}, 4, 4, true},
	} {
		c.cfg.Window = max(4, c.cfg.Window)
		e := image(20, c.cfg, 1)
		q := wire.Sequence(0)
		var slots []int
		symbols := func(id block.ID) {
			for i := range block.SymbolID(k) {
				q++
				if v := e.HandleSymbol(time.Second, &wire.Symbol{Sequence: q, Block: id, Symbol: i, K: k}); v.Complete {
					slots = append(slots, v.Slot)
				}
			}
		}
		for _, id := range c.blocks {
			symbols(id)
		}
		for _, slot := range slots[:min(c.written, len(slots))] {
			e.BlockVerified(slot)
		}
		if c.more != 0 {
			symbols(c.more)
		}
		if e.Crowded() != c.want {
			t.Errorf("%s: crowded: %v", c.name, e.Crowded())
		}
	}
}

// TestTargetReady: what waits before the target is ready is not the disk's fault, and afterwards
// it is.
func TestTargetReady(t *testing.T) {
	e := image(20, Config{TargetWaits: true, Window: 4}, 1)
	for id := range block.ID(4) {
		e.BlockVerified(e.HandleSymbol(time.Second, &wire.Symbol{Sequence: wire.Sequence(id + 1), Block: id, K: 1}).Slot)
	}
	for _, ready := range []bool{false, true} {
		if e.diskBound() != ready {
			t.Errorf("ready: %v; the disk is to blame: %v", ready, e.diskBound())
		}
		e.TargetReady()
	}
}

// TestStopped: time in which the driver did not run does not count towards the limit.
func TestStopped(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		e := image(4, Config{Window: 4, SilenceLimit: 10 * time.Second}, 1)
		now := time.Minute
		if stopped {
			e.Stopped(now, now)
		}
		e.Poll(now, nil)
		if _, _, gaveUp := e.GaveUp(); gaveUp == stopped {
			t.Errorf("stopped: %v; it gave up: %v", stopped, gaveUp)
		}
		e.Poll(2*now, nil)
		if _, _, gaveUp := e.GaveUp(); !gaveUp {
			t.Error("it never gives up after that")
		}
	}
}
