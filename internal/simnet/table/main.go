// Command table simulates the rooms whose figures MXB 2 is to reach, and prints what
// came out beside what is wanted. Each figure is measured in the run that prints it.
//
//	go run ./internal/simnet/table [-seed N] [-rows REGEXP]
//
// K is 727 and the image 1 GiB worth of symbols, 64 MiB with 10,000 receivers; one
// symbol takes 12.304 µs, as on 1 Gbit/s at MTU 1500; the round trip is 0.2 ms with
// 20 µs of jitter each way. Every packet either way is lost at its receiver's rate.
// Receivers that are there from the start have their descriptions; the offers of
// newcomers and the answers are lost like all else, and are not among the packets sent.
// "Sent" is all packets sent ÷ source symbols. The reference resends the union of
// losses, as udpcast and UFTP do, with feedback that is free and never lost.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"time"

	"multiserver/internal/simnet/room"
	"multiserver/internal/wire"
)

const (
	k          = 727
	packetTime = 12304 * time.Nanosecond
	gib        = 1024 // blocks
)

// pass is the time of one pass over an image of 1 GiB.
const pass = gib * k * packetTime

var seed = flag.Uint64("seed", 1, "of all random numbers")

// row is a line of the table.
type row struct {
	name string
	// measure returns the figure, whether it is reached, and the reference.
	measure func() (figure string, ok bool, reference string)
	wanted  string
}

func main() {
	pattern := flag.String("rows", "", "only rows whose name matches")
	flag.Parse()
	only, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Printf("| %-58s | %-26s | %-14s | %-9s | %s |\n", "case", "figure", "wanted", "resending", "seconds")
	fmt.Println("|---|---|---|---|---|")
	missed := 0
	for _, r := range rows() {
		if !only.MatchString(r.name) {
			continue
		}
		start := time.Now()
		figure, ok, reference := r.measure()
		if !ok {
			figure += " MISSED"
			missed++
		}
		fmt.Printf("| %-58s | %-26s | %-14s | %-9s | %.0f |\n", r.name, figure, r.wanted, reference, time.Since(start).Seconds())
	}
	if missed > 0 {
		fmt.Printf("\n%d rows missed\n", missed)
	}
}

// run simulates a room that must come to its end.
func run(c room.Config) room.Result {
	c.Seed, c.K, c.PacketTime = *seed, k, packetTime
	if c.Blocks == 0 {
		c.Blocks = gib
	}
	if c.Limit == 0 {
		c.Limit = 10 * time.Minute
	}
	r, err := room.Run(c)
	if err != nil {
		fmt.Fprintf(os.Stderr, "table: %v\n", err)
		os.Exit(1)
	}
	return r
}

func specs(n int, s room.Spec) []room.Spec {
	all := make([]room.Spec, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// sent measures the packets sent to n receivers that are alike.
func sent(blocks uint32, n int, s room.Spec, wanted float64) row {
	name := fmt.Sprintf("%g%% loss, N = %d", s.Loss*100, n)
	switch {
	case s.Loss == 0:
		name = fmt.Sprintf("no loss, N = %d", n)
	case s.Burst > 1:
		name = fmt.Sprintf("%g%% loss in bursts of %g, N = %d", s.Loss*100, s.Burst, n)
	}
	return row{name: name + ": sent", wanted: fmt.Sprintf("≤ %.3f", wanted), measure: func() (string, bool, string) {
		r := run(room.Config{Blocks: blocks, Receivers: specs(n, s)})
		figure := fmt.Sprintf("%.4f", r.Sent())
		if n == 10000 && s.Loss == 0.01 {
			feedbackOf10000 = &r
		}
		if n == 100 && s.Loss == 0.01 {
			lossOf100 = &r
		}
		return figure, r.Sent() <= wanted, fmt.Sprintf("%.3f", resends(alike(n, s.Loss)...))
	}}
}

// What rows further down measure in a room that was simulated already.
var feedbackOf10000, lossOf100 *room.Result

// finish is when the last of the receivers numbered from .. to-1 was done that lived.
func finish(r room.Result, from, to int) time.Duration {
	last := time.Duration(0)
	for i := from; i < to; i++ {
		if !r.Killed[i] {
			last = max(last, r.Finish[i])
		}
	}
	return last
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func rows() []row {
	return []row{
		sent(gib, 100, room.Spec{}, 1.003),
		sent(gib, 10, room.Spec{Loss: 0.01}, 1.022),
		sent(gib, 100, room.Spec{Loss: 0.01}, 1.027),
		sent(gib, 1000, room.Spec{Loss: 0.01}, 1.030),
		sent(64, 10000, room.Spec{Loss: 0.01}, 1.033),
		sent(gib, 1000, room.Spec{Loss: 0.05}, 1.092),
		sent(64, 10000, room.Spec{Loss: 0.001}, 1.013),
		sent(gib, 1000, room.Spec{Loss: 0.01, Burst: 10}, 1.036),
		{"one at 20% among 99 at 0.1%: the 99's time", oneLossy, "≤ 1.01"},
		{"one with a disk at 1/6 of the rate among 9: the 9's time", slowDiskOthers, "≤ 1.02"},
		{"  its own speed ÷ its disk's", slowDiskItself, "≥ 0.75"},
		{"one joins at 60%, N = 10: sent", joinAt60, "≤ 1.62"},
		{"20 join within the first half: sent", joinTwenty, "≤ 1.55"},
		{"one arrives every T/10 for 5 T: the slowest's time ÷ T", arrivals, "≤ 1.1"},
		{"a third of 1000 killed, 1%: the others' time", killed, "≤ 1.02"},
		{"sender killed and restarted, 1%, N = 100: sent", restarted, "≤ 1.05"},
		{"4 update, each has 2% of its own that differ, 1%: sent", update, "≤ 0.09"},
		{"one resumes at 70%: sent", resume, "≤ 0.31"},
		{"feedback ÷ packets sent, 1%, N = 10000", feedbackShare, "≤ 0.01"},
		{"  the most in a second", feedbackRate, "≤ 2000"},
		{"last source symbol to last receiver done, 1%, N = 100", endGame, "≤ 30ms"},
	}
}

func oneLossy() (string, bool, string) {
	with := run(room.Config{Receivers: append(specs(99, room.Spec{Loss: 0.001}), room.Spec{Loss: 0.2})})
	without := run(room.Config{Receivers: specs(99, room.Spec{Loss: 0.001})})
	f := ratio(finish(with, 0, 99), finish(without, 0, 99))
	reference := resends(append(alike(99, 0.001), 0.2)...) / resends(alike(99, 0.001)...)
	return fmt.Sprintf("%.4f (itself %.2f)", f, ratio(with.Finish[99], finish(without, 0, 99))), f <= 1.01, fmt.Sprintf("%.3f", reference)
}

// diskTime is what a disk at a sixth of the rate takes for a block.
const diskTime = 6 * k * packetTime

var withSlowDisk *room.Result

func slowDisk() *room.Result {
	if withSlowDisk == nil {
		r := run(room.Config{Receivers: append(specs(9, room.Spec{Loss: 0.001}), room.Spec{Loss: 0.001, Disk: diskTime})})
		withSlowDisk = &r
	}
	return withSlowDisk
}

func slowDiskOthers() (string, bool, string) {
	without := run(room.Config{Receivers: specs(9, room.Spec{Loss: 0.001})})
	f := ratio(finish(*slowDisk(), 0, 9), finish(without, 0, 9))
	return fmt.Sprintf("%.4f", f), f <= 1.02, "6.000" // all wait for the slowest
}

func slowDiskItself() (string, bool, string) {
	f := ratio(gib*diskTime, slowDisk().Finish[9])
	return fmt.Sprintf("%.3f", f), f >= 0.75, ""
}

func joinAt60() (string, bool, string) {
	r := run(room.Config{Receivers: append(specs(10, room.Spec{}), room.Spec{Join: pass * 6 / 10})})
	return fmt.Sprintf("%.4f", r.Sent()), r.Sent() <= 1.62, "1.600"
}

func joinTwenty() (string, bool, string) {
	rng := rand.New(rand.NewPCG(*seed, 99))
	all := specs(1, room.Spec{})
	last := time.Duration(0)
	for range 20 {
		at := time.Duration(rng.Int64N(int64(pass / 2)))
		last = max(last, at)
		all = append(all, room.Spec{Join: at})
	}
	r := run(room.Config{Receivers: all})
	return fmt.Sprintf("%.4f (last at %.3f T)", r.Sent(), ratio(last, pass)), r.Sent() <= 1.55, fmt.Sprintf("%.3f", 1+ratio(last, pass))
}

func arrivals() (string, bool, string) {
	var all []room.Spec
	for i := range 50 {
		all = append(all, room.Spec{Join: time.Duration(i) * pass / 10})
	}
	r := run(room.Config{Receivers: all})
	slowest := time.Duration(0)
	for i := range all {
		slowest = max(slowest, r.Finish[i]-r.Joined[i])
	}
	f := ratio(slowest, pass)
	return fmt.Sprintf("%.4f (sent %.2f)", f, r.Sent()), f <= 1.1, ""
}

func killed() (string, bool, string) {
	rng := rand.New(rand.NewPCG(*seed, 98))
	all := specs(1000, room.Spec{Loss: 0.01})
	for i := range all {
		if i%3 == 0 {
			all[i].Kill = time.Duration(1 + rng.Int64N(int64(pass)))
		}
	}
	with := run(room.Config{Receivers: all})
	without := run(room.Config{Receivers: specs(1000, room.Spec{Loss: 0.01})})
	f := ratio(with.Finished, without.Finished)
	return fmt.Sprintf("%.4f", f), f <= 1.02, ""
}

func restarted() (string, bool, string) {
	r := run(room.Config{Receivers: specs(100, room.Spec{Loss: 0.01}), Deaths: []time.Duration{pass / 2}, DeadTime: time.Second})
	return fmt.Sprintf("%.4f", r.Sent()), r.Sent() <= 1.05, fmt.Sprintf("%.3f", resends(alike(100, 0.01)...))
}

// checkTime is what a check of a block takes at 500 MB/s.
const checkTime = 2 * time.Millisecond

func update() (string, bool, string) {
	s := room.Spec{Loss: 0.01, OldContent: &room.OldContent{Same: 0.98, CheckTime: checkTime, Subblocks: true}}
	four, one := run(room.Config{Receivers: specs(4, s)}), run(room.Config{Receivers: specs(1, s)})
	s.OldContent = &room.OldContent{Same: 0.98, Alike: 0.97, CheckTime: checkTime, Subblocks: true}
	pages := run(room.Config{Receivers: specs(4, s)})
	figure := fmt.Sprintf("%.4f (1: %.4f, by little: %.4f)", four.Sent(), one.Sent(), pages.Sent())
	return figure, four.Sent() <= 0.09 && one.Sent() <= 0.03 && pages.Sent() <= 0.09, fmt.Sprintf("%.3f", 0.08*resends(0.01))
}

func resume() (string, bool, string) {
	r := run(room.Config{Receivers: specs(1, room.Spec{OldContent: &room.OldContent{
		Same: 0.7, First: true, At: 5 * time.Millisecond, CheckTime: checkTime, Subblocks: true,
	}})})
	return fmt.Sprintf("%.4f", r.Sent()), r.Sent() <= 0.31, "0.300"
}

func in10000() *room.Result {
	if feedbackOf10000 == nil {
		r := run(room.Config{Blocks: 64, Receivers: specs(10000, room.Spec{Loss: 0.01})})
		feedbackOf10000 = &r
	}
	return feedbackOf10000
}

func feedbackShare() (string, bool, string) {
	r := in10000()
	return fmt.Sprintf("%.4f (goodbyes %d)", r.FeedbackShare(), r.Feedback[wire.TypeGoodbye]), r.FeedbackShare() <= 0.01, ""
}

func feedbackRate() (string, bool, string) {
	most := 0
	for _, n := range in10000().PerSecond {
		most = max(most, n)
	}
	return fmt.Sprint(most), most <= 2000, ""
}

func endGame() (string, bool, string) {
	if lossOf100 == nil {
		r := run(room.Config{Receivers: specs(100, room.Spec{Loss: 0.01})})
		lossOf100 = &r
	}
	d := lossOf100.Finished - lossOf100.LastSource
	return d.Round(100 * time.Microsecond).String(), d <= 30*time.Millisecond, ""
}
