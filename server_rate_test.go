package multiserver

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestNarrows: three quarters of the receivers behind a bottleneck slow the stream to
// what the best of them gets, random loss and a minority do not, and it grows again.
func TestNarrows(t *testing.T) {
	const interval, rate = 250 * time.Millisecond, 100e6
	for _, test := range []struct {
		name string
		loss []int // per cent, of each receiver
		want uint64
	}{
		{"nothing lost", []int{0, 0, 0, 0}, 0},
		{"lost at random", []int{5, 5, 5, 5}, 0},
		{"one of four", []int{90, 0, 0, 0}, 0},
		{"all of one", []int{90}, 10e6},
		{"three of four", []int{90, 80, 90, 0}, 20e6},
		{"all but nothing arrives", []int{100, 100}, minRateBitsPerSec},
	} {
		t.Run(test.name, func(t *testing.T) {
			var n narrows
			report := func(round uint64, loss int) func(id int) {
				return func(id int) {
					lost := uint64(loss) * 10
					n.report(wire.ReceiverID(id), wire.PacketCounts{Received: round * (1000 - lost), Lost: round * lost})
				}
			}
			all := func(wire.ReceiverID) bool { return true }
			for id, loss := range test.loss {
				report(1, loss)(id)
			}
			n.judge(interval, interval, rate, all)
			if got := n.limit; got < test.want-test.want/100 || got > test.want+test.want/100 {
				t.Fatalf("limit %d, want %d", got, test.want)
			}
			if test.want == 0 {
				return
			}
			for id := range test.loss {
				n.report(wire.ReceiverID(id), wire.PacketCounts{Received: 5000, Lost: n.last[wire.ReceiverID(id)].Lost})
			}
			n.judge(2*interval, interval, rate, all)
			if n.limit <= test.want {
				t.Errorf("limit %d does not grow though nothing is lost", n.limit)
			}
		})
	}
}

// TestNarrowsForgetsTheGone: who has left does not hold the others back.
func TestNarrowsForgetsTheGone(t *testing.T) {
	var n narrows
	n.report(1, wire.PacketCounts{Received: 100, Lost: 900})
	n.judge(time.Second, time.Millisecond, 100e6, func(wire.ReceiverID) bool { return false })
	if n.limit != 0 || len(n.last) != 0 || len(n.loss) != 0 {
		t.Errorf("limit %d, %d receivers remembered", n.limit, len(n.last))
	}
}
