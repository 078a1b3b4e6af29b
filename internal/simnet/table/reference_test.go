package main

import (
	"math"
	"testing"
)

// TestResends: the figures are those of a simulation made apart from this one, K = 1024.
func TestResends(t *testing.T) {
	for _, test := range []struct {
		loss float64
		n    int
		want float64
	}{
		{0.001, 100, 1.095}, {0.001, 10000, 2.010},
		{0.01, 10, 1.097}, {0.01, 100, 1.644}, {0.01, 1000, 2.096}, {0.01, 10000, 2.642},
		{0.05, 1000, 3.042}, {0.10, 1000, 3.739},
	} {
		if got := resends(alike(test.n, test.loss)...); math.Abs(got-test.want) > 0.005 {
			t.Errorf("%g%%, N = %d: %.4f, want %.3f", test.loss*100, test.n, got, test.want)
		}
	}
	if got := resends(0); got != 1 {
		t.Errorf("no loss: %v", got)
	}
}
