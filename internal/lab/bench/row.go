//go:build linux

package main

import (
	"fmt"

	"multiserver/internal/lab"
)

// row is a network and an image, for every system.
type row struct {
	name      string
	clients   int
	sizeBytes int64
	config    lab.Config // but for Hosts
	// prepare changes the network further; nil if nothing is to change.
	prepare func(*lab.Lab) error
	// only are the systems that can do it and finish; all if empty.
	only   []string
	wanted []figure
}

// figure is something that a system of ours is to reach.
type figure struct {
	system string // that is to reach it, one of ours
	text   string
	// reached returns the value and whether it is what is wanted; ok is false if
	// that cannot be told, because a system was left out or failed.
	value func(t table) (value float64, reached, ok bool)
}

// Names of rows that figures refer to.
const (
	rowNoLoss  = "4 clients, 1 GbE"
	rowCut     = "4 clients, 1 GbE, packets cut"
	rowLoss    = "4 clients, 1 GbE, 1% loss"
	rowHalf    = "4 clients, 500 Mbit/s"
	rowLoss5   = "4 clients, 500 Mbit/s, 5% loss"
	rowSlowOne = "one of 4 clients at 100 Mbit/s"
	rowOne     = "1 client, 100 Mbit/s"
	rowSixteen = "16 clients, 100 Mbit/s"
)

// rows are all measurements with an image of sizeBytes; on slow networks it is
// smaller.
func rows(sizeBytes int64) []row {
	// Super-packets cross the network whole, as with NICs that cut and join them:
	// two cores cannot carry five hosts at this rate packet by packet.
	whole := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet, SegmentOffload: true}
	// The sender's interface cuts them, so that loss takes single packets.
	cut := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet}
	lossy := cut
	lossy.LossPercent = 1
	half := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet / 2}
	lossy5 := half
	lossy5.LossPercent = 5
	fast := lab.Config{UplinkBitsPerSec: lab.FastEthernet}
	return []row{
		{name: rowNoLoss, clients: 4, sizeBytes: sizeBytes, config: whole, wanted: []figure{
			atLeast(oursMXB1, "÷ bare", 0.85, of(toBare, rowNoLoss, oursMXB1)),
			moreThan(oursMXB1, "goodput ÷ udpcast's", 1, ratio(goodput, rowNoLoss, oursMXB1, rowNoLoss, "udpcast")),
			atLeast(ours, "÷ bare", 0.95, of(toBare, rowNoLoss, ours)),
			atMost(ours, "sent ÷ image", 1.06, of(sent, rowNoLoss, ours)),
		}},
		{name: rowCut, clients: 4, sizeBytes: sizeBytes, config: cut},
		{name: rowLoss, clients: 4, sizeBytes: sizeBytes, config: lossy, wanted: []figure{
			atMost(oursMXB1, "sent ÷ image", 1.5, of(sent, rowLoss, oursMXB1)),
			atMost(ours, "sent ÷ image", 1.08, of(sent, rowLoss, ours)),
			atMost(ours, "wall time ÷ without loss", 1.04, ratio(wall, rowLoss, ours, rowCut, ours)),
		}},
		{name: rowHalf, clients: 4, sizeBytes: sizeBytes / 2, config: half, only: []string{bareLoop, ours}},
		{name: rowLoss5, clients: 4, sizeBytes: sizeBytes / 2, config: lossy5, only: []string{bareLoop, ours}, wanted: []figure{
			atMost(ours, "sent ÷ image", 1.13, of(sent, rowLoss5, ours)),
			atMost(ours, "wall time ÷ without loss", 1.10, ratio(wall, rowLoss5, ours, rowHalf, ours)),
		}},
		{
			name: rowSlowOne, clients: 4, sizeBytes: sizeBytes / 4, config: cut,
			prepare: func(l *lab.Lab) error { return l.Hosts[4].ShapeDownlink(lab.FastEthernet, switchQueueBytes) },
			only:    []string{ours, oursMXB1, "udpcast"},
			wanted:  []figure{atMost(oursMXB1, "sent ÷ image", 3, of(sent, rowSlowOne, oursMXB1))},
		},
		{name: rowOne, clients: 1, sizeBytes: sizeBytes / 8, config: fast},
		{name: rowSixteen, clients: 16, sizeBytes: sizeBytes / 8, config: fast, wanted: []figure{
			atMost(oursMXB1, "wall time ÷ 1 client's", 1.1, ratio(wall, rowSixteen, oursMXB1, rowOne, oursMXB1)),
			atMost(ours, "wall time ÷ 1 client's", 1.03, ratio(wall, rowSixteen, ours, rowOne, ours)),
		}},
	}
}

// switchQueueBytes is what a small switch has for a port.
const switchQueueBytes = 100_000

// quantity is one number of a result.
type quantity func(result) float64

func goodput(r result) float64 { return r.median.goodput }
func wall(r result) float64    { return r.median.wallSeconds }
func sent(r result) float64    { return r.median.sent }
func toBare(r result) float64  { return r.median.toBare }

func of(q quantity, row, system string) func(table) (float64, bool) {
	return func(t table) (float64, bool) {
		r, ok := t[key{row, system}]
		return q(r), ok
	}
}

func ratio(q quantity, rowA, systemA, rowB, systemB string) func(table) (float64, bool) {
	return func(t table) (float64, bool) {
		a, okA := t[key{rowA, systemA}]
		b, okB := t[key{rowB, systemB}]
		if !okA || !okB {
			return 0, false
		}
		return q(a) / q(b), true
	}
}

func atLeast(system, what string, limit float64, value func(table) (float64, bool)) figure {
	return compared(system, what, "≥", limit, value, func(v float64) bool { return v >= limit })
}

func moreThan(system, what string, limit float64, value func(table) (float64, bool)) figure {
	return compared(system, what, ">", limit, value, func(v float64) bool { return v > limit })
}

func atMost(system, what string, limit float64, value func(table) (float64, bool)) figure {
	return compared(system, what, "≤", limit, value, func(v float64) bool { return v <= limit })
}

func compared(system, what, sign string, limit float64, value func(table) (float64, bool), holds func(float64) bool) figure {
	return figure{
		system: system,
		text:   fmt.Sprintf("%s %s %g", what, sign, limit),
		value: func(t table) (float64, bool, bool) {
			v, ok := value(t)
			return v, ok && holds(v), ok
		},
	}
}
