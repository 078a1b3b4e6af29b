//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// The best fixed --rate of a row is found by whole runs: first a coarse sweep from the highest
// rate down, then halving of the two gaps beside the best.
const (
	// coarseStep is the largest factor between neighbours of the coarse sweep.
	coarseStep = 2
	// fineStep is the factor between neighbours that ends the search.
	fineStep = 1.03
	// sameTime: times within this factor are alike, and the rate that sends less is better.
	sameTime = 1.02
	// trialPatience is how many times as long as the fastest run a run may take. Below the
	// best rate the time grows as the rate falls, so nothing slower is worth a run.
	trialPatience = 1.5
	// maxTrials bounds the runs of a search, quickTrials those with -quick.
	maxTrials   = 12
	quickTrials = 3
)

// rateRange is where a row's best fixed rate is searched for.
type rateRange struct{ lowBitsPerSec, highBitsPerSec int64 }

// trial is one run at a fixed rate.
type trial struct {
	bitsPerSec int64
	seconds    float64 // +Inf if it failed, was given up, or broke the row's rule
	sent       float64 // bytes ÷ image
}

// findRate returns the best of at most `most` trials. It stops at the first error.
func findRate(in rateRange, most int, try func(bitsPerSec int64, fastest float64) (trial, error)) (best trial, err error) {
	var tried []trial // by rate
	run := func(bitsPerSec float64) error {
		fastest := math.Inf(1)
		if len(tried) > 0 {
			fastest = slices.MinFunc(tried, bySeconds).seconds
		}
		t, err := try(int64(math.Round(bitsPerSec)), fastest)
		if err != nil {
			return err
		}
		at, _ := slices.BinarySearchFunc(tried, t, byRate)
		tried = slices.Insert(tried, at, t)
		return nil
	}

	ratio := float64(in.highBitsPerSec) / float64(in.lowBitsPerSec)
	steps := max(1, int(math.Ceil(math.Log(ratio)/math.Log(coarseStep)-1e-9)))
	for step := 0; step <= steps && len(tried) < most; step++ {
		if err := run(float64(in.highBitsPerSec) * math.Pow(ratio, -float64(step)/float64(steps))); err != nil {
			return trial{}, err
		}
		fastest := slices.MinFunc(tried, bySeconds).seconds
		if tried[0].seconds > trialPatience*fastest {
			break
		}
	}
	for len(tried) < most {
		n := bestOf(tried)
		if math.IsInf(tried[n].seconds, 1) {
			break // nothing went through
		}
		below, above := 1.0, 1.0 // factors to the neighbours
		if n > 0 {
			below = float64(tried[n].bitsPerSec) / float64(tried[n-1].bitsPerSec)
		}
		if n+1 < len(tried) {
			above = float64(tried[n+1].bitsPerSec) / float64(tried[n].bitsPerSec)
		}
		if max(below, above) <= fineStep {
			break
		}
		next := float64(tried[n].bitsPerSec) * math.Sqrt(above)
		if below > above {
			next = float64(tried[n].bitsPerSec) / math.Sqrt(below)
		}
		if err := run(next); err != nil {
			return trial{}, err
		}
	}
	return tried[bestOf(tried)], nil
}

func byRate(a, b trial) int    { return cmp.Compare(a.bitsPerSec, b.bitsPerSec) }
func bySeconds(a, b trial) int { return cmp.Compare(a.seconds, b.seconds) }

// bestOf is the index of the trial that sent least among those that were about as fast as the
// fastest.
func bestOf(tried []trial) int {
	fastest := slices.MinFunc(tried, bySeconds).seconds
	best := -1
	for n, t := range tried {
		if t.seconds <= sameTime*fastest && (best < 0 || t.sent < tried[best].sent) {
			best = n
		}
	}
	return best
}

// accepts reports whether a run at a fixed rate did what the row demands of all rates.
func (r *row) accepts(f figures) bool { return !r.besideTCP || f.tcpShare >= tcpShareWanted }

// search finds the best fixed rate of the row and has the transfers of s use it.
func (b *bench) search(ctx context.Context, s system) error {
	best, err := findRate(*b.row.rates, b.trials, func(bitsPerSec int64, fastest float64) (trial, error) {
		limited, cancel := ctx, context.CancelFunc(func() {})
		if !math.IsInf(fastest, 1) {
			limited, cancel = context.WithTimeout(ctx, startLimit+time.Duration(trialPatience*fastest*float64(time.Second)))
		}
		defer cancel()
		b.rateBitsPerSec = bitsPerSec
		t := trial{bitsPerSec: bitsPerSec, seconds: math.Inf(1)}
		f, err := b.transfer(limited, s)
		if ctx.Err() != nil {
			return t, ctx.Err()
		}
		head := fmt.Sprintf("%s, search, --rate %d", b.row.name, bitsPerSec)
		switch {
		case limited.Err() != nil:
			fmt.Fprintf(os.Stderr, "%s: given up, since %.2f s is the fastest\n", head, fastest)
		case err != nil:
			fmt.Fprintf(os.Stderr, "%s: %v\n", head, err)
		case !b.row.accepts(f):
			fmt.Fprintf(os.Stderr, "%s: %.2f s, but TCP had only %.2f\n", head, f.wallSeconds, f.tcpShare)
		default:
			t.seconds, t.sent = f.wallSeconds, f.sent
			fmt.Fprintf(os.Stderr, "%s: %.2f s, sent %.3f\n", head, f.wallSeconds, f.sent)
		}
		return t, nil
	})
	if err != nil {
		return err
	}
	if math.IsInf(best.seconds, 1) {
		return fmt.Errorf("no rate from %d to %d bits/s went through", b.row.rates.lowBitsPerSec, b.row.rates.highBitsPerSec)
	}
	b.rateBitsPerSec = best.bitsPerSec
	return nil
}
