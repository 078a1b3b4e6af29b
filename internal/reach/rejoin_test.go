package reach

import (
	"slices"
	"testing"
	"time"
)

func TestRejoin(t *testing.T) {
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
			var r Rejoin
			var got []float64
			heard := time.Duration(0)
			for now := time.Duration(0); now < 40*time.Second; now += tick {
				if slices.Contains(test.heard, now.Seconds()) {
					heard = now
				}
				if r.Due(now, heard) {
					got = append(got, now.Seconds())
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("joins again after %v s, want %v", got, test.want)
			}
		})
	}
}
