package room

import (
	"testing"
	"time"
)

// TestFlow: blocks of which a twentieth is left come at 2.3 GB/s at 1 Gbit/s. Targets that write
// 250 MB/s have no room for them: the sender holds them back, and hardly anything is sent twice. A
// single slow target among many is no reason to.
func TestFlow(t *testing.T) {
	const k = 37 // of 727
	seed := uint64(1)
	run := func(flow bool, all []Spec) Result {
		t.Helper()
		r, err := Run(Config{Seed: seed, Blocks: 1024, K: k, PacketTime: packetTime, Flow: flow, Receivers: all, Limit: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	slow := receivers(8, Spec{Loss: 0.001, Disk: 4 * time.Millisecond})
	with, without := run(true, slow), run(false, slow)
	t.Logf("sent %.3f with and %.3f without, in %v and %v", with.Sent(), without.Sent(), with.Finished, without.Finished)
	if with.Sent() > 1.10 {
		t.Errorf("sent %.3f", with.Sent())
	}
	if without.Sent() < 1.3 {
		t.Errorf("without holding blocks back %.3f is sent: nothing is proven", without.Sent())
	}
	if best := 1024 * 4 * time.Millisecond; with.Finished > best*11/10 {
		t.Errorf("it takes %v, and the targets %v", with.Finished, best)
	}
	fast := receivers(8, Spec{Loss: 0.001})
	alone := run(true, fast)
	if free := run(false, fast); alone.Finished > free.Finished*108/100 {
		t.Errorf("targets that write at once: it takes %v, and %v without", alone.Finished, free.Finished)
	}
	one := run(true, append(receivers(7, fast[0]), slow[0]))
	last := time.Duration(0)
	for _, f := range one.Finish[:7] {
		last = max(last, f)
	}
	t.Logf("fast ones: %v; beside a slow one: %v", alone.Finished, last)
	if last > alone.Finished*11/10 {
		t.Errorf("beside a slow target the others take %v, and %v alone", last, alone.Finished)
	}
}
