package fec

import (
	"testing"

	"pgregory.net/rapid"
)

// TestCoefficientNeverZero: a zero would make a row blind to a symbol.
func TestCoefficientNeverZero(t *testing.T) {
	var seen [256]int
	line := make([]byte, MaxSourceSymbols)
	for row := range uint32(40) {
		fillRow(line, row)
		for _, c := range line {
			seen[c]++
		}
	}
	if seen[0] != 0 {
		t.Errorf("%d coefficients are 0", seen[0])
	}
	for c := 2; c < 256; c++ {
		if mean := 39 * MaxSourceSymbols / 256; seen[c] < mean*9/10 || seen[c] > mean*11/10 {
			t.Errorf("%d occurs %d times, want about %d", c, seen[c], mean)
		}
	}
}

func TestFillRowAgreesWithCoefficient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.Uint32().Draw(t, "row")
		line := make([]byte, rapid.IntRange(0, 100).Draw(t, "count"))
		fillRow(line, row)
		for column, got := range line {
			if want := Coefficient(row, column); got != want {
				t.Fatalf("column %d: %#x, want %#x", column, got, want)
			}
		}
	})
}
