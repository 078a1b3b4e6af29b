package main

import (
	"testing"
	"time"
)

func TestRampOf(t *testing.T) {
	const rate = 1000 // bytes a sample of 2 ms, when it is full
	for _, c := range []struct {
		name      string
		perSample func(n int) uint64 // of 1000
		want      time.Duration
	}{
		{"full at once", func(int) uint64 { return rate }, 100 * time.Millisecond},
		{"half for 400 ms", func(n int) uint64 {
			if n < 200 {
				return rate / 2
			}
			return rate
		}, 480 * time.Millisecond}, // 80% of the window at the full rate
		{"full with a gap", func(n int) uint64 {
			if n >= 500 && n < 600 {
				return 0
			}
			return rate
		}, 100 * time.Millisecond},
	} {
		start := time.Now()
		var samples []sample
		total := uint64(0)
		for n := range 1000 {
			total += c.perSample(n)
			samples = append(samples, sample{start.Add(time.Duration(n) * 2 * time.Millisecond), total})
		}
		if got := rampOf(samples); got < c.want-2*rampStep || got > c.want+2*rampStep {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := rampOf(nil); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
