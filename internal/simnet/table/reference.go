package main

import "math"

// resends is the packets sent ÷ source packets of a sender that sends again what
// any receiver lost, until nobody lost it, with feedback that costs nothing and is
// never lost: the mean of the largest of the receivers' geometric counts of tries.
func resends(losses ...float64) float64 {
	sum := 0.0
	for t := 0; ; t++ {
		none := 0.0 // log of the chance that nobody is left after t tries
		for _, p := range losses {
			none += math.Log1p(-math.Pow(p, float64(t)))
		}
		left := -math.Expm1(none)
		if sum += left; left < 1e-9 {
			return sum
		}
	}
}

// alike is n receivers with the same loss.
func alike(n int, loss float64) []float64 {
	l := make([]float64, n)
	for i := range l {
		l[i] = loss
	}
	return l
}
