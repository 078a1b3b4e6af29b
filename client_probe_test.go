package multiserver

import (
	"testing"
	"time"

	"multiserver/internal/probe"
	"multiserver/internal/wire"
)

// train1 lets p hear one train: its small packet, and as many full ones as are given,
// a millisecond apart.
func (p *probes) train1(number uint32, at time.Time, full int) {
	p.hear(at, wire.Probe{Train: number, Step: probe.StepSmall, Size: probe.SmallBytes, Clock: 7})
	for i := range full {
		p.hear(at.Add(time.Duration(i)*time.Millisecond), wire.Probe{Train: number, Step: probe.StepBurst, Index: uint32(i), Size: 1472, Clock: 7})
	}
}

func TestProbesAreReportedOnce(t *testing.T) {
	start := time.Unix(1000, 0)
	var p probes
	if _, due := p.report(start); due {
		t.Error("a report is due before anything was heard")
	}
	p.train1(1, start, 5)
	last := start.Add(4 * time.Millisecond)
	p.hear(last, wire.Probe{Train: 1, Step: probe.StepBurst, Index: 2, Size: 1472, Clock: 7}) // doubled
	if _, due := p.report(last.Add(probeReportAfter - 1)); due {
		t.Error("a report is due while the train may go on")
	}
	r, due := p.report(last.Add(probeReportAfter))
	if !due || r.Train != 1 || r.Clock != 7 || r.ClockHeld != probeReportAfter || r.Steps.Len() != 2 {
		t.Fatalf("the report is %+v, due %v", r, due)
	}
	if s := r.Steps.At(1); s.Step != probe.StepBurst || s.Heard != 5 || s.LargestPacket != 1472 || s.Span != 4*time.Millisecond {
		t.Errorf("of the burst it tells %+v", s)
	}
	if _, due := p.report(last.Add(time.Second)); due {
		t.Error("it is told twice")
	}
	p.train1(2, last, 0)
	p.hear(last, wire.Probe{Train: 1, Step: probe.StepBurst, Index: 9, Size: 1472}) // of the train before
	if r, due := p.report(last.Add(probeReportAfter)); !due || r.Train != 2 || r.Steps.Len() != 1 {
		t.Errorf("the second train's report is %+v, due %v", r, due)
	}
}

// TestBlindTrains: only trains in a row of which nothing but small packets came tell of a
// path for small packets.
func TestBlindTrains(t *testing.T) {
	now := time.Unix(1000, 0)
	var p probes
	for i, full := range []int{0, 0, 1, 0, 0, 0} {
		p.train1(uint32(i+1), now, full)
		now = now.Add(time.Second)
		p.report(now)
		if want := []int{1, 2, 0, 1, 2, 3}[i]; p.blind != want {
			t.Errorf("after train %d: %d blind ones, want %d", i+1, p.blind, want)
		}
	}
}

// TestUnheard counts what the sender sent since the first heartbeat, and begins anew with
// a sender's.
func TestUnheard(t *testing.T) {
	var p probes
	for _, c := range []struct{ beat, want wire.Sequence }{{100, 0}, {400, 300}, {7, 0}, {10, 3}} {
		if p.beat(c.beat); p.unheard != c.want {
			t.Errorf("after %d: %d unheard, want %d", c.beat, p.unheard, c.want)
		}
	}
}
