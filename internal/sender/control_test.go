package sender

import (
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// ready is a sender of blocks of K symbols that can all be sent, with receivers 1, 2, ….
func ready(blocks, k, receivers int) *Engine {
	e := New(0, Config{Session: 1, Image: block.Geometry{ImageSize: uint64(blocks) << 20, BlockSize: 1 << 20}})
	for i := range blocks {
		e.Ready(Ref{Block: block.ID(i)}, uint16(k))
	}
	for id := range receivers {
		e.Join(0, wire.ReceiverID(id+1))
	}
	return e
}

// beats are the pauses between the heartbeats that are due from now to end.
func beats(t *testing.T, e *Engine, now, end time.Duration) (pauses []time.Duration) {
	last := now
	for ; now <= end; now = e.Deadline() {
		b, ok := e.Poll(now, nil)
		if !ok {
			continue
		}
		if _, err := wire.ParseHeartbeat(b); err != nil {
			t.Fatal(err)
		}
		pauses = append(pauses, now-last)
		last = now
	}
	return pauses
}

// TestHeartbeats: while nothing is pending they follow after 1, 2, 4 … 250 ms; the manifest
// is told three times in a row (S12).
func TestHeartbeats(t *testing.T) {
	e := ready(4, 20, 1)
	want := []time.Duration{0}
	for pause := firstHeartbeat; pause < heartbeatEvery; pause *= 2 {
		want = append(want, pause)
	}
	want = append(want, heartbeatEvery, heartbeatEvery)
	if got := beats(t, e, 0, 800*time.Millisecond); !slices.Equal(got, want) {
		t.Errorf("pauses of %v, want %v", got, want)
	}
	now := 900 * time.Millisecond
	e.SetCompletion(now, wire.Completion{ManifestSize: 100})
	want = []time.Duration{0, firstHeartbeat, firstHeartbeat, heartbeatEvery}
	if got := beats(t, e, now, now+300*time.Millisecond); !slices.Equal(got, want) {
		t.Errorf("with the manifest: pauses of %v, want %v", got, want)
	}
}

// TestInterval: all receivers together send one report for 400 packets (S13).
func TestInterval(t *testing.T) {
	for _, test := range []struct {
		receivers int
		want      time.Duration
	}{
		{1, minReportInterval},
		{50, minReportInterval},
		{1000, 5 * time.Second},
		{10_000, 50 * time.Second},
		{20_000, maxReportInterval},
	} {
		e := ready(1, 1, test.receivers)
		e.SetRate(80_000)
		if got := e.Interval(); got != test.want {
			t.Errorf("%d receivers: %v, want %v", test.receivers, got, test.want)
		}
	}
}

// TestRoundTrip: a longer one counts at once, a shorter one by and by, and what is no
// round trip not at all (S13).
func TestRoundTrip(t *testing.T) {
	e := ready(1, 1, 1)
	const sent = time.Second
	for n, test := range []struct{ back, held, want time.Duration }{
		{6 * time.Millisecond, time.Millisecond, 5 * time.Millisecond},
		{time.Millisecond, 0, 4750 * time.Microsecond},
		{300 * time.Millisecond, 0, 4750 * time.Microsecond},
		{300 * time.Millisecond, 290 * time.Millisecond, 10 * time.Millisecond},
		{time.Millisecond, 2 * time.Millisecond, 10 * time.Millisecond},
	} {
		r := wire.Report{Receiver: 1, Number: uint32(n + 1), Clock: wire.Clock(sent.Microseconds()), ClockHeld: test.held}
		if e.HandleReport(sent+test.back, r); e.roundTrip != test.want {
			t.Errorf("back after %v, held for %v: %v, want %v", test.back, test.held, e.roundTrip, test.want)
		}
	}
}
