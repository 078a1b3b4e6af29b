package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"multiserver/internal/lab"
)

// path is a path with one best rate: above it, what is lost is sent again, and costs time.
func path(bestBitsPerSec float64) func(int64, float64) (trial, error) {
	return func(bitsPerSec int64, _ float64) (trial, error) {
		over := max(1, float64(bitsPerSec)/bestBitsPerSec)
		through := min(float64(bitsPerSec), bestBitsPerSec)
		return trial{bitsPerSec, 1e8 / through * math.Sqrt(over), over}, nil
	}
}

func TestFindRate(t *testing.T) {
	for _, best := range []float64{10e6, 11e6, 14.2e6, 20e6, 77e6, 140e6, 300e6, 639e6, 640e6} {
		runs := 0
		got, err := findRate(rateRange{10e6, 640e6}, 30, func(bitsPerSec int64, fastest float64) (trial, error) {
			runs++
			if bitsPerSec < 10e6 || bitsPerSec > 640e6 {
				t.Errorf("best %g: %d is tried", best, bitsPerSec)
			}
			return path(best)(bitsPerSec, fastest)
		})
		if err != nil || float64(got.bitsPerSec) < best/fineStep || float64(got.bitsPerSec) > best*fineStep*fineStep {
			t.Errorf("best %g: got %+v after %d runs, %v", best, got, runs, err)
		}
		if runs > 20 {
			t.Errorf("best %g: %d runs", best, runs)
		}
	}
}

func TestFindRateIsBounded(t *testing.T) {
	for most := 1; most < 15; most++ {
		runs := 0
		got, err := findRate(rateRange{10e6, 640e6}, most, func(bitsPerSec int64, fastest float64) (trial, error) {
			runs++
			return path(15e6)(bitsPerSec, fastest)
		})
		if err != nil || runs > most || got.bitsPerSec == 0 {
			t.Errorf("at most %d: %d runs, %+v, %v", most, runs, got, err)
		}
	}
}

// TestFindRateCoarse: rates that are only slower are not tried.
func TestFindRateCoarse(t *testing.T) {
	lowest := int64(math.MaxInt64)
	var fastestSeen []float64
	_, err := findRate(rateRange{1e6, 1024e6}, 30, func(bitsPerSec int64, fastest float64) (trial, error) {
		lowest = min(lowest, bitsPerSec)
		fastestSeen = append(fastestSeen, fastest)
		return path(500e6)(bitsPerSec, fastest)
	})
	if err != nil || lowest < 200e6 {
		t.Errorf("%d is tried, %v", lowest, err)
	}
	if !math.IsInf(fastestSeen[0], 1) || math.IsInf(fastestSeen[1], 1) || fastestSeen[len(fastestSeen)-1] > fastestSeen[1] {
		t.Errorf("the fastest were said to be %v", fastestSeen)
	}
}

func TestFindRateFailures(t *testing.T) {
	// The higher rates do not go through.
	got, err := findRate(rateRange{10e6, 640e6}, 20, func(bitsPerSec int64, fastest float64) (trial, error) {
		if bitsPerSec > 30e6 {
			return trial{bitsPerSec: bitsPerSec, seconds: math.Inf(1)}, nil
		}
		return path(600e6)(bitsPerSec, fastest)
	})
	if err != nil || got.bitsPerSec > 30e6 || float64(got.bitsPerSec) < 30e6/fineStep {
		t.Errorf("got %+v, %v", got, err)
	}
	// None does.
	runs := 0
	got, err = findRate(rateRange{10e6, 640e6}, 20, func(bitsPerSec int64, _ float64) (trial, error) {
		runs++
		return trial{bitsPerSec: bitsPerSec, seconds: math.Inf(1)}, nil
	})
	if err != nil || !math.IsInf(got.seconds, 1) || runs != 7 {
		t.Errorf("got %+v after %d runs, %v", got, runs, err)
	}
	// The bench is interrupted.
	broken := errors.New("broken")
	runs = 0
	if _, err = findRate(rateRange{10e6, 640e6}, 20, func(int64, float64) (trial, error) {
		runs++
		return trial{}, broken
	}); !errors.Is(err, broken) || runs != 1 {
		t.Errorf("error %v after %d runs", err, runs)
	}
}

func TestBestOf(t *testing.T) {
	for _, c := range []struct {
		tried []trial
		want  int
	}{
		{[]trial{{1, 10, 1}, {2, 5, 1.1}, {3, 7, 1}}, 1},
		{[]trial{{1, 10, 1}, {2, 5.05, 1.1}, {3, 5, 2}}, 1},    // alike, but it sends less
		{[]trial{{1, 10, 1}, {2, 5.5, 1.1}, {3, 5, 2}}, 2},     // it sends less, but is slower
		{[]trial{{1, 5, 1.1}, {2, 5, 1.1}, {3, 5, 1.1}}, 0},    // no difference
		{[]trial{{1, math.Inf(1), 0}, {2, 9, 1}}, 1},           // one failed
		{[]trial{{1, math.Inf(1), 0}, {2, math.Inf(1), 0}}, 0}, // all failed
	} {
		if got := bestOf(c.tried); got != c.want {
			t.Errorf("%+v: got %d", c.tried, got)
		}
	}
}

func TestAccepts(t *testing.T) {
	beside, alone := &row{besideTCP: true}, &row{}
	if beside.accepts(figures{tcpShare: 0.24}) || !beside.accepts(figures{tcpShare: 0.25}) || !alone.accepts(figures{}) {
		t.Error("a rate that leaves TCP too little passes, or one that leaves it enough does not")
	}
}

// TestFixedRate: the search tells the server rates, and the rounds use what it found.
func TestFixedRate(t *testing.T) {
	b := newBench(t)
	b.trials = quickTrials
	b.row.rates = &rateRange{50e6, 200e6}
	best := bestRateSystem(lab.BuildOnce(t))
	b.row.only = []string{best.name}
	results, err := b.measure(t.Context(), []system{best})
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if r.rateBitsPerSec < 50e6 || r.rateBitsPerSec > 200e6 {
		t.Errorf("found %d bits/s", r.rateBitsPerSec)
	}
	// Without a rate it is more than four times as much. What was held back passes at once.
	if most := 1.3 * float64(r.rateBitsPerSec) / 8; r.median.goodput > most {
		t.Errorf("%.0f bytes/s, want at most %.0f", r.median.goodput, most)
	}
	if s := line(r, b.row, table{}); r.median.packetsPerMessage < 0.5 {
		t.Errorf("the table says %s", s)
	}

	client := best.client
	best.client = func(j *job, n int) *lab.Cmd {
		c := client(j, n)
		c.Args = append(c.Args, "--no-such-flag")
		return c
	}
	results, err = b.measure(t.Context(), []system{best})
	if err == nil || !strings.Contains(err.Error(), "no rate from 50000000 to 200000000 bits/s went through") || !results[0].failed {
		t.Errorf("results %+v, error %v", results, err)
	}
}
