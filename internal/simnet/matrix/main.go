// Command matrix simulates streams over paths that nobody tuned, with the engines of the
// sender, of the receivers and of the rate, and prints for each what was sent and how long it
// took, beside the best fixed rate, which it finds in the same run. Each figure is
// measured in the run that prints it. It takes half an hour on two cores.
//
//	go run ./internal/simnet/matrix [-cells REGEXP] [-fixed]
//
// Sent is what was sent of the stream ÷ (source symbols ÷ (1 − random loss)). Time is until
// the last receiver has all, ÷ that at the best fixed rate, of what is left to send after
// the first second. The budget is asserted in every run. With -fixed, only the cells that
// the tests run.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"multiserver/internal/simnet/path"
)

func main() {
	pattern := flag.String("cells", "", "only cells whose name matches")
	fixed := flag.Bool("fixed", false, "only those of the tests")
	flag.Parse()
	only, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	cells := append(path.Matrix(), path.Special()...)
	if *fixed {
		cells = path.Fixed()
	}
	cells = pick(cells, only)
	results := make([]path.Figures, len(cells))
	done := make([]chan struct{}, len(cells)) // closed by the worker that has measured it
	next := make(chan int, len(cells))        // from here, at once
	for i := range cells {
		done[i] = make(chan struct{})
		next <- i
	}
	close(next)
	var known path.Known
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range next {
				results[i], _ = path.Measure(cells[i], &known)
				close(done[i])
			}
		})
	}
	fmt.Printf("| %-58s | sent | time | best Mbit/s | its sent | queue | missed |\n|---|--:|--:|--:|--:|--:|---|\n", "cell")
	missed := 0
	for i, c := range cells {
		<-done[i]
		f := results[i]
		if len(f.Missed) > 0 {
			missed++
		}
		fmt.Printf("| %-58s | %.3f | %.3f | %.4g | %.3f | %d ms | %s |\n", c.Name, f.SentRatio, f.TimeRatio, f.Best/1e6, f.BestSent,
			f.Wait/time.Millisecond, missedText(f, c))
	}
	workers.Wait()
	fmt.Printf("\n%d of %d cells missed\n", missed, len(cells))
}

// missedText is what was missed, and why if that is known.
func missedText(f path.Figures, c path.Cell) string {
	if len(f.Missed) == 0 {
		return ""
	}
	text := strings.Join(f.Missed, ", ")
	if c.Strict {
		text += " MUST NOT"
	}
	return strings.TrimSpace(text + " " + c.Why)
}

func pick(cells []path.Cell, only *regexp.Regexp) (picked []path.Cell) {
	for _, c := range cells {
		if only.MatchString(c.Name) {
			picked = append(picked, c)
		}
	}
	return picked
}
