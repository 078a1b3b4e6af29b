package sender

import (
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestStuck: who wants all of the image again and again gets one pass at once, and then a few blocks a
// second, until it says that it gets on; and it is a straggler.
func TestStuck(t *testing.T) {
	const blocks, k = 4096, 8
	const packetTime = 20 * time.Microsecond
	run := func(gets func(sent int) uint32, span time.Duration) (sent int, e *Engine) {
		e = New(0, Config{Session: 1, Image: block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20}})
		for i := range block.ID(blocks) {
			e.Ready(Ref{Object: wire.Image, Block: i}, k)
		}
		number := uint32(0)
		for now := time.Duration(0); now < span; now += packetTime {
			if now%(250*time.Millisecond) == 0 {
				number++
				e.HandleReport(now, wire.Report{Session: 1, Receiver: 7, Number: number, Highest: e.Sequence(), BlocksDone: gets(sent)})
				w := wire.Wanted{Session: 1, Receiver: 7, Highest: e.Sequence(), Generation: number, Pages: 1}
				w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: blocks})
				e.HandleWanted(now, w)
			}
			if e.Next(now).Kind == Symbol {
				sent++
			}
		}
		return sent, e
	}
	const pass, seconds = blocks * k, 40
	nothing := func(int) uint32 { return 0 }
	sent, e := run(nothing, seconds*time.Second)
	if most := int(stuckTime/packetTime) + 2*pass + seconds*Interleave*k; sent > most || sent < pass || !e.Stuck(seconds*time.Second, 7) {
		t.Errorf("one that never gets on has %d packets sent, %d at most; stuck: %v", sent, most, e.Stuck(seconds*time.Second, 7))
	}
	if p := e.peers.find(7); !p.straggler {
		t.Error("it is no straggler")
	}
	if e.HandleReport(seconds*time.Second, wire.Report{Session: 1, Receiver: 7, Number: 1000, Highest: e.Sequence(), BlocksDone: blocks / stuckShare}); e.Stuck(seconds*time.Second, 7) || e.peers.find(7).straggler {
		t.Error("it is stuck although it gets on")
	}
	// As slow as its target: 2% of what is sent.
	sent, e = run(func(sent int) uint32 { return uint32(sent / k / 50) }, seconds*time.Second)
	if e.Stuck(seconds*time.Second, 7) || sent < int(seconds*time.Second/packetTime)*9/10 {
		t.Errorf("one that is slow has %d packets sent; stuck: %v", sent, e.Stuck(seconds*time.Second, 7))
	}
}
