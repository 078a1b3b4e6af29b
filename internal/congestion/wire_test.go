package congestion

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestFromWire: the newest packet is the one that came, not one that a heartbeat told; and
// what a receiver is busy with is a need.
func TestFromWire(t *testing.T) {
	r := wire.Report{Receiver: 7, Number: 3, Highest: 100, Timed: true, Arrival: wire.Arrival{Behind: 4, Clock: 9, Age: time.Millisecond}}
	if got := FromWire(r); got.Newest != 96 || got.Arrived != 9 || got.Age != time.Millisecond || !got.Timed || got.Needs || got.Bound {
		t.Errorf("%+v", got)
	}
	r.Timed = false
	if got := FromWire(r); got.Newest != 100 || got.Timed {
		t.Errorf("without an arrival: %+v", got)
	}
	for phase, needs := range map[wire.Phase]bool{wire.PhaseReceiving: false, wire.PhaseChecking: true, wire.PhaseFinishing: true} {
		if got := FromWire(wire.Report{Phase: phase}); got.Needs != needs || got.Finished != (phase == wire.PhaseFinishing) {
			t.Errorf("phase %d: %+v", phase, got)
		}
	}
	for limit, bound := range map[wire.Limit]bool{wire.LimitNone: false, wire.LimitWire: false, wire.LimitSocket: false, wire.LimitCPU: true, wire.LimitDisk: true} {
		if got := FromWire(wire.Report{Limit: limit}); got.Bound != bound {
			t.Errorf("limit %d: %+v", limit, got)
		}
	}
	asks := wire.Report{}
	asks.NACKs = asks.NACKs.Append(wire.SymbolCount{Symbols: 1})
	if !FromWire(asks).Needs {
		t.Error("a NACK is no need")
	}
}
