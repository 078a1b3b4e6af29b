package sender

import (
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// streaming is a sender in the middle of a pass, with repair to be sent.
func streaming(receivers int) *Engine {
	const blocks, k = 1 << 14, 727
	e := New(0, Config{Session: 1, Image: block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20}})
	e.SetRate(80_000)
	for i := range blocks {
		e.Ready(Ref{Block: block.ID(i)}, k)
	}
	for id := range receivers {
		e.Join(0, wire.ReceiverID(id+1))
	}
	var all wire.List[wire.Range]
	e.HandleWanted(0, wire.Wanted{Receiver: 1, Generation: 1, Pages: 1, Ranges: all.Append(wire.Range{Count: blocks})})
	e.proactive = 8.5
	for range 100_000 {
		e.Next(0)
	}
	return e
}

func BenchmarkNext(b *testing.B) {
	e := streaming(100)
	for b.Loop() {
		if e.Next(0).Kind == Nothing {
			b.StopTimer()
			e = streaming(100)
			b.StartTimer()
		}
	}
}

func BenchmarkHandleReport(b *testing.B) {
	e := streaming(1000)
	var nacks wire.List[wire.SymbolCount]
	for i := range 16 {
		nacks = nacks.Append(wire.SymbolCount{Block: block.ID(i), Symbols: 2})
	}
	number := uint32(0)
	for b.Loop() {
		number++
		e.HandleReport(time.Duration(number), wire.Report{
			Receiver: wire.ReceiverID(number%1000 + 1), Number: number, Highest: e.sequence, NACKs: nacks,
		})
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	e := streaming(100)
	var nacks wire.List[wire.SymbolCount]
	for i := range 16 {
		nacks = nacks.Append(wire.SymbolCount{Block: block.ID(i), Symbols: 2})
	}
	var packet []byte
	number, now := uint32(0), time.Duration(0)
	round := func() {
		number++
		now += 10 * time.Millisecond
		for range 100 {
			e.Next(now)
		}
		e.HandleReport(now, wire.Report{Receiver: wire.ReceiverID(number%100 + 1), Number: number, Highest: e.sequence, NACKs: nacks})
		for {
			b, ok := e.Poll(now+time.Millisecond, packet[:0])
			packet = b
			if !ok {
				break
			}
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}
