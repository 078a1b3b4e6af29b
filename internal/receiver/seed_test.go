package receiver

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestBlockStateCounts: whatever comes, in whatever order, what the engine counts is what it
// has, and no block whose sub-blocks are wanted is overlooked.
func TestBlockStateCounts(t *testing.T) {
	flag.Set("rapid.nofailfile", "true") // it would lie among the transcripts
	rapid.Check(t, func(t *rapid.T) {
		const blocks, k = 12, 20
		now := time.Duration(0)
		q := wire.Sequence(0)
		e := New(0, Config{
			Receiver: 1, SymbolSize: 1444, Window: rapid.IntRange(1, 6).Draw(t, "window"), Subblocks: rapid.Bool().Draw(t, "sub-blocks"),
			Rand:  rand.New(rand.NewPCG(1, 1)),
			Image: block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20},
		}, Session{ID: 1, ReportInterval: time.Second, Receivers: rapid.Uint32Range(1, 9).Draw(t, "receivers")})
		var solving, writing []int
		take := func(from []int) (int, []int) {
			if len(from) == 0 {
				t.Skip("none")
			}
			return from[0], from[1:]
		}
		settle := func(v Placement) {
			if v.Complete {
				solving = append(solving, v.Slot)
			}
		}
		id := func() block.ID { return block.ID(rapid.Uint32Range(0, blocks-1).Draw(t, "block")) }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { checkCounts(t, e) },
			"symbols": func(t *rapid.T) {
				b, first := id(), rapid.Uint32Range(0, 2*k).Draw(t, "first")
				for i := range rapid.Uint32Range(1, k).Draw(t, "count") {
					q++
					settle(e.HandleSymbol(now, &wire.Symbol{Sequence: q, Block: b, Symbol: block.SymbolID(first + i), K: k}))
				}
			},
			"zeros": func(t *rapid.T) {
				q++
				for _, r := range e.HandleZeroRun(now, &wire.ZeroRun{Sequence: q, First: id(), Count: 1}, nil) {
					e.ZerosWritten(uint32(r.Len()))
				}
			},
			"unverified": func(t *rapid.T) {
				lo := uint64(id())
				e.MarkUnverified(now, block.Range{Lo: lo, Hi: lo + 4})
			},
			"held":       func(t *rapid.T) { e.Confirm(now, id(), true) },
			"differs":    func(t *rapid.T) { e.Confirm(now, id(), false) },
			"sub-blocks": func(t *rapid.T) { e.HandleSubblockDigests(now, wire.SubblockDigests{Block: id(), K: k}) },
			"whole":      func(t *rapid.T) { e.RequestWhole(now, id()) },
			"fill": func(t *rapid.T) {
				have := []uint64{rapid.Uint64().Draw(t, "have")}
				asked := have[0]
				v := e.SeedSlot(now, id(), k, false, have)
				if have[0]&^asked != 0 || v.Verdict == Keep && have[0]>>k != 0 {
					t.Fatalf("had %x, and %x is to be put in", asked, have[0])
				}
				settle(v)
			},
			"verified": func(t *rapid.T) {
				var p int
				p, solving = take(solving)
				e.BlockVerified(p)
				writing = append(writing, p)
			},
			"failed":   func(t *rapid.T) { var p int; p, solving = take(solving); e.BlockFailed(now, p) },
			"singular": func(t *rapid.T) { var p int; p, solving = take(solving); e.BlockNeedsMore(now, p, 1) },
			"written":  func(t *rapid.T) { var p int; p, writing = take(writing); e.BlockWritten(now, p) },
			"restart":  func(t *rapid.T) { q = 0; e.Restart(now, Session{ID: 2, ReportInterval: time.Second, Receivers: 2}) },
			"switch":   func(t *rapid.T) { q = 0; e.SwitchStream(now) },
			"quiet": func(t *rapid.T) {
				e.HandleHeartbeat(now, wire.Heartbeat{Sequence: q, PassEnded: true, Receivers: 2, ReportInterval: time.Second})
			},
			"wait": func(t *rapid.T) {
				now += time.Duration(rapid.IntRange(1, 1e9).Draw(t, "time"))
				for range 1000 {
					if e.Deadline() > now {
						return
					}
					e.Poll(now, nil)
				}
				t.Fatalf("at %v there is no end to what is due at %v", now, e.Deadline())
			},
		})
	})
}

func checkCounts(t *rapid.T, e *Engine) {
	var none, unverified, subblocks, taken, inSlots int
	for i, p := range e.blockState {
		switch p {
		case blockMissing:
			none++
		case blockUnverified:
			unverified++
		case blockDiffers:
			subblocks++
			if _, asked := e.subblocks.find(uint32(i)); !asked && uint32(i) < e.subblocks.from {
				t.Fatalf("the sub-blocks of block %d are overlooked", i)
			}
		case blockVerified:
			taken++
		default:
			inSlots++
			if s := &e.slots[p]; int(s.index) != i || s.state == slotFree || s.state == slotWriting {
				t.Fatalf("block %d is in slot %d, which has %+v", i, p, s)
			}
		}
	}
	if none != int(e.missing) || unverified != int(e.Unverified()) || subblocks != e.subblocks.wanted || taken != int(e.verified) || int(e.Missing()) != len(e.blockState)-taken {
		t.Fatalf("%d none, %d unverified, %d with sub-blocks, %d taken, counted as %d, %d, %d, %d",
			none, unverified, subblocks, taken, e.missing, e.Unverified(), e.subblocks.wanted, e.verified)
	}
	if busy := e.inState(slotFilling) + e.inState(slotSolving); busy != inSlots || len(e.slots)-len(e.free)-busy != e.inState(slotWriting) {
		t.Fatalf("%d blocks in %d slots, %d of them free", inSlots, busy, len(e.free))
	}
	for _, a := range e.subblocks.requested {
		if e.blockState[a.index] != blockDiffers {
			t.Fatalf("the sub-blocks of block %d are asked for in vain", a.index)
		}
	}
	r, ok := e.NextUnverified(0)
	if ok != (unverified > 0) || ok && (e.blockState[r.Lo] != blockUnverified || e.blockState[r.Hi-1] != blockUnverified) {
		t.Fatalf("%d unverified, the next %v, %v", unverified, r, ok)
	}
}

// TestUnverifiedAllocatesNothing: once there is memory for all, a delta takes none.
func TestUnverifiedAllocatesNothing(t *testing.T) {
	const blocks, k = 64, 727
	var e *Engine
	now := time.Duration(0)
	packet := make([]byte, 0, wire.MaxControlSize)
	have := make([]uint64, (k+63)/64)
	poll := func() {
		for e.Deadline() <= now {
			e.Poll(now, packet[:0])
		}
	}
	e = New(now, Config{
		Receiver: 1, Window: 32, SymbolSize: 1444, Rand: rand.New(rand.NewPCG(1, 1)), Subblocks: true,
		Image: block.Geometry{ImageSize: 1 << 40, BlockSize: 1 << 20},
	}, Session{ID: 1, ReportInterval: 250 * time.Millisecond, Receivers: 1})
	e.MarkUnverified(now, block.Range{Hi: 1 << 20})
	first := block.ID(0)
	round := func() {
		for id := first; id < first+blocks; id++ {
			e.Confirm(now, id, id%4 != 0)
		}
		for asked := 0; asked < blocks/4; {
			now += 2 * time.Millisecond
			poll()
			for id := first; id < first+blocks; id += 4 {
				if !e.HandleSubblockDigests(now, wire.SubblockDigests{Block: id, K: k}) {
					continue
				}
				asked++
				for i := range have {
					have[i] = ^uint64(0)
				}
				have[0] = 0
				v := e.SeedSlot(now, id, k, false, have)
				now += 2 * time.Millisecond
				poll()
				for i := range 64 {
					v = e.HandleSymbol(now, &wire.Symbol{Sequence: e.stream.highest + 1, Block: id, Symbol: block.SymbolID(i), K: k})
				}
				if !v.Complete {
					t.Fatalf("block %d: %+v", id, v)
				}
				e.BlockVerified(v.Slot)
				e.BlockWritten(now, v.Slot)
			}
		}
		first += blocks
	}
	for range 20 {
		round()
	}
	if n := testing.AllocsPerRun(50, round); n != 0 {
		t.Errorf("%v allocations for %d blocks", n, blocks)
	}
}

// TestWrongTarget: what the target gives may be wrong however often, and each block then
// comes whole.
func TestWrongTarget(t *testing.T) {
	const k = 20
	e := New(0, Config{
		Receiver: 1, Window: 4, SymbolSize: 1444, Rand: rand.New(rand.NewPCG(1, 1)), Subblocks: true,
		Image: block.Geometry{ImageSize: 64 << 20, BlockSize: 1 << 20},
	}, Session{ID: 1, ReportInterval: time.Second, Receivers: 1})
	e.MarkUnverified(0, block.Range{Hi: 64})
	for id := range block.ID(2 * maxDigestFailures) {
		e.Confirm(0, id, false)
		e.HandleSubblockDigests(0, wire.SubblockDigests{Block: id, K: k})
		v := e.SeedSlot(0, id, k, false, []uint64{1<<k - 1})
		if !v.Complete {
			t.Fatalf("block %d: %+v", id, v)
		}
		e.BlockFailed(0, v.Slot)
		if e.blockState[id] != blockMissing {
			t.Errorf("block %d is at %d", id, e.blockState[id])
		}
	}
	if _, reason, gaveUp := e.GaveUp(); gaveUp {
		t.Error("gave up:", reason)
	}
}
