package sender

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestRoom: no more blocks enter than three quarters of the receivers have room for. Repair goes on,
// and with a report, or the time that slots need to become free, the carousel does.
func TestRoom(t *testing.T) {
	const blocks, k = 200, 3
	e := ready(blocks, k, 4)
	w := wire.Wanted{Receiver: 1, Generation: 1, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Count: blocks})
	e.SetCoded(1444)
	e.HandleWanted(0, w)
	began := map[uint32]bool{}
	send := func(now time.Duration) (entered int) {
		before := len(began)
		for {
			s := e.Next(now)
			if s.Kind != Symbol {
				return len(began) - before
			}
			if s.Symbol.Symbol.IsSource(k) {
				began[uint32(s.Symbol.Block)] = true
			}
		}
	}
	if n := send(0); n != firstRoom-firstRoom/reserve {
		t.Errorf("before the first report %d blocks enter", n)
	}
	for beat := true; beat; { // what is due at once
		_, beat = e.Poll(0, nil)
	}
	if !e.Holds() || e.flow.wakeAt > roomEvery+1 || e.Deadline() > roomEvery+1 || e.State() != wire.SenderStreaming {
		t.Errorf("holds %v until %v, state %v", e.Holds(), e.Deadline(), e.State())
	}
	if _, waits := e.Waits(); waits {
		t.Error("it waits for a block that is ready")
	}
	numbers := map[wire.ReceiverID]uint32{}
	report := func(now time.Duration, id wire.ReceiverID, room, backlog uint32) {
		numbers[id]++
		r := wire.Report{Receiver: id, Number: numbers[id], Highest: e.sequence, Room: room, Backlog: backlog}
		if id == 1 {
			r.NACKs = r.NACKs.Append(wire.SymbolCount{Block: 0, Symbols: 1})
		}
		e.HandleReport(now, r)
	}
	report(time.Millisecond, 1, 10, 54) // less than half is free
	report(time.Millisecond, 2, 10, 54)
	report(time.Millisecond, 3, 64, 0)
	report(time.Millisecond, 4, 64, 0)
	before := e.sequence
	if n := send(time.Millisecond); n != 0 || e.sequence == before {
		t.Errorf("half of the receivers have no room: %d blocks enter, %d packets are sent", n, e.sequence-before)
	}
	report(2*time.Millisecond, 2, 42, 22) // ten blocks more than half of its window
	if n := send(2 * time.Millisecond); n != 10 {
		t.Errorf("three have room for ten: %d blocks enter", n)
	}
	// 54 - 22 slots became free in a millisecond: what came since is written soon.
	if n := send(40 * time.Millisecond); n == 0 {
		t.Error("what becomes free in the meantime does not count")
	}
	for id := range wire.ReceiverID(4) {
		e.HandleGoodbye(41*time.Millisecond, wire.Goodbye{Receiver: id + 1})
	}
	if e.Next(41 * time.Millisecond); e.Holds() {
		t.Error("with nobody there a block is held back")
	}
}

// TestRoomForAll: a window that has room for all of the image holds nothing back.
func TestRoomForAll(t *testing.T) {
	e := ready(20, 3, 1)
	e.SetCoded(1444)
	w := wire.Wanted{Receiver: 1, Generation: 1, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Count: 20})
	e.HandleWanted(0, w)
	e.HandleReport(0, wire.Report{Receiver: 1, Number: 1, Room: 24})
	sent := 0
	for e.Next(0).Kind == Symbol {
		sent++
	}
	if sent != 60 {
		t.Errorf("%d packets are sent, want all 60", sent)
	}
}

// TestNoRoomForEver: a receiver that has no room, and never a block more, holds the others back for
// roomStall, and one that gets on for as long as it does.
func TestNoRoomForEver(t *testing.T) {
	for _, getsOn := range []bool{false, true} {
		const blocks = 200
		e := ready(blocks, 3, 2)
		w := wire.Wanted{Receiver: 1, Generation: 1, Pages: 1}
		w.Ranges = w.Ranges.Append(wire.Range{Count: blocks})
		e.SetCoded(1444)
		e.HandleWanted(0, w)
		entered, number := uint64(0), uint32(0)
		for now := time.Duration(0); now < roomStall+time.Second; now += 100 * time.Millisecond {
			number++
			r := wire.Report{Receiver: 1, Number: number, Highest: e.sequence, Room: 0, Backlog: 64}
			if getsOn {
				r.BlocksDone = number
			}
			e.HandleReport(now, r)
			e.HandleReport(now, wire.Report{Receiver: 2, Number: number, Highest: e.sequence, Room: 64, BlocksDone: number})
			for e.Next(now).Kind != Nothing {
			}
			if now == roomStall/2 {
				entered = e.flow.entered
			}
		}
		if more := e.flow.entered - entered; (more > blocks/2) == getsOn {
			t.Errorf("gets on %v: %d blocks entered after %v", getsOn, more, roomStall/2)
		}
	}
}
