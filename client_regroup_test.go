package multiserver

import (
	"slices"
	"testing"
	"time"
)

func TestRegrouping(t *testing.T) {
	start := time.Unix(1e9, 0)
	const tick = 50 * time.Millisecond
	for _, test := range []struct {
		name  string
		heard []float64 // seconds after the start, besides 0
		want  []float64
	}{
		{"silence", nil, []float64{1, 3, 7, 15, 25, 35}},
		{"a packet now and then", []float64{0.9, 1.8, 2.7, 3.6}, []float64{4.6, 6.6, 10.6, 18.6, 28.6, 38.6}},
		{"a packet between", []float64{20}, []float64{1, 3, 7, 15, 21, 23, 27, 35}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var g regrouping
			var got []float64
			heard := start
			for now := start; now.Before(start.Add(40 * time.Second)); now = now.Add(tick) {
				if since := now.Sub(start).Seconds(); slices.Contains(test.heard, since) {
					heard = now
				}
				if g.now(now, heard) {
					got = append(got, now.Sub(start).Seconds())
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("joins again after %v s, want %v", got, test.want)
			}
		})
	}
}
