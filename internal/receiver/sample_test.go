package receiver

import (
	"math/rand/v2"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// reportsIn polls an engine for a while and returns its reports.
func reportsIn(t *testing.T, e *Engine, now *time.Duration, d time.Duration) (reports []wire.Report) {
	t.Helper()
	for end := *now + d; *now < end; *now += time.Millisecond {
		for {
			b, ok := e.Poll(*now, nil)
			if !ok {
				break
			}
			if r, err := wire.ParseReport(b); err == nil {
				reports = append(reports, r)
			}
		}
	}
	return reports
}

// TestSample: a receiver reports in time while heartbeats name it, and soon no more when
// they name others or do not come; its reports say when the newest packet came.
func TestSample(t *testing.T) {
	now := time.Duration(0)
	e := New(now, Config{
		Receiver: 7, Image: block.Geometry{ImageSize: 64 << 20, BlockSize: 1 << 20}, SymbolSize: 1444, Window: 64, Rand: rand.New(rand.NewPCG(1, 1)),
	}, Session{ID: 1, ReportInterval: 20 * time.Second, Receivers: 100})
	beat := func(q wire.Sequence, ids ...wire.ReceiverID) {
		h := wire.Heartbeat{Session: 1, Sequence: q, Receivers: 100, ReportInterval: 20 * time.Second}
		h.Sample.Interval = 100 * time.Millisecond
		for _, id := range ids {
			h.Sample.Receivers = h.Sample.Receivers.Append(id)
		}
		e.HandleHeartbeat(now, h)
	}
	beat(0, 6, 7)
	first := reportsIn(t, e, &now, time.Second)
	if len(first) < 9 || len(first) > 11 {
		t.Errorf("%d reports in the first second", len(first))
	}
	if first[0].Timed {
		t.Error("a receiver that got nothing says when")
	}
	e.HandleSymbol(now, &wire.Symbol{Session: 1, Sequence: 10, K: 727})
	came := now
	now += 30 * time.Millisecond
	e.HandleSymbol(now, &wire.Symbol{Session: 1, Sequence: 9, K: 727, Symbol: 1}) // late: not the newest
	beat(13, 7)
	for _, r := range reportsIn(t, e, &now, 150*time.Millisecond) {
		if !r.Timed || r.Highest-wire.Sequence(r.Arrival.Behind) != 10 || r.Arrival.Clock != wire.Clock(came.Microseconds()) || r.Arrival.Age <= 0 || r.Arrival.Age > now-came {
			t.Errorf("highest %d: %+v", r.Highest, r.Arrival)
		}
	}
	if n := len(reportsIn(t, e, &now, 10*time.Second)); n > 25 {
		t.Errorf("%d reports in 10 s without a heartbeat", n)
	}
	beat(13, 7)
	reportsIn(t, e, &now, 100*time.Millisecond)
	beat(13, 6)
	if n := len(reportsIn(t, e, &now, 10*time.Second)); n > 2 {
		t.Errorf("%d reports in 10 s while others are named", n)
	}
}
