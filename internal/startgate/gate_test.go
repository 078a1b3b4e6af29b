package startgate

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestOpen: the gate opens at the first of its conditions that holds, and not before.
func TestOpen(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name    string
		gate    Gate
		came    map[wire.ReceiverID]time.Duration
		gone    wire.ReceiverID
		refused int           // of the gone
		want    time.Duration // -1: never within a minute
	}{
		{name: "nobody", want: -1},
		{name: "at once", came: map[wire.ReceiverID]time.Duration{1: 3 * second}, want: 3 * second},
		{name: "too few", gate: Gate{MinReceivers: 2}, came: map[wire.ReceiverID]time.Duration{1: second}, want: -1},
		{name: "enough", gate: Gate{MinReceivers: 2}, came: map[wire.ReceiverID]time.Duration{1: second, 2: 4 * second}, want: 4 * second},
		{name: "one of them left", gate: Gate{MinReceivers: 2}, came: map[wire.ReceiverID]time.Duration{1: second, 2: 4 * second}, gone: 1, want: -1},
		{name: "one of them refused", gate: Gate{MinReceivers: 2}, came: map[wire.ReceiverID]time.Duration{1: second, 2: 4 * second}, gone: 2, refused: 1, want: second},
		{name: "one refused, and one is missing", gate: Gate{MinReceivers: 3}, came: map[wire.ReceiverID]time.Duration{1: second, 2: 4 * second}, gone: 2, refused: 1, want: -1},
		{name: "nobody but one that refused", gate: Gate{MinReceivers: 1}, came: map[wire.ReceiverID]time.Duration{1: second}, gone: 1, refused: 1, want: second},
		{name: "enough, but too early", gate: Gate{MinReceivers: 1, MinWait: 5 * second}, came: map[wire.ReceiverID]time.Duration{1: second}, want: 6 * second},
		{name: "long enough, but too few", gate: Gate{MinReceivers: 2, MinWait: second}, came: map[wire.ReceiverID]time.Duration{1: second}, want: -1},
		{name: "too long", gate: Gate{MinReceivers: 2, MaxWait: 7 * second}, came: map[wire.ReceiverID]time.Duration{1: second}, want: 8 * second},
		{name: "longest wait without anybody", gate: Gate{MaxWait: second}, want: -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := time.Duration(-1)
			for now := time.Duration(0); now < time.Minute && got < 0; now += second {
				for id, at := range c.came {
					if at == now {
						c.gate.Record(now, id)
					}
				}
				if c.gate.Open(now, func(id wire.ReceiverID) bool { return id != c.gone }, c.refused) {
					got = now
				}
			}
			if got != c.want || c.gate.Opened() != (c.want >= 0) {
				t.Errorf("it opens at %v, want %v", got, c.want)
			}
		})
	}
}

// TestStart: whoever is there begins, and before the first has come that one begins.
func TestStart(t *testing.T) {
	all := func(wire.ReceiverID) bool { return true }
	g := Gate{MinReceivers: 5, MinWait: time.Hour}
	g.Start()
	if g.Open(0, all, 0) {
		t.Error("it begins with nobody")
	}
	g.Record(1, 1)
	if !g.Open(1, all, 0) {
		t.Error("it does not begin with the first")
	}
	g = Gate{MinReceivers: 5}
	g.Record(1, 1)
	if g.Open(1, all, 0) {
		t.Error("it begins unasked")
	}
	g.Start()
	if !g.Open(1, all, 0) {
		t.Error("it does not begin")
	}
}
