//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"multiserver/internal/lab"
)

// row is a network, an image and what happens while it is sent, for every system.
// Where something is special about one client, that is the last.
type row struct {
	name      string
	clients   int
	sizeBytes int64
	config    lab.Config // but for Hosts
	// prepare changes the network further; nil if nothing is to change.
	prepare func(*lab.Lab) error
	// extents are where the image holds data; everywhere if nil.
	extents []lab.Extent
	// source is a file that is the image; noise if nil.
	source func() string
	// holds makes what the n-th client's target holds before; it does not exist if nil.
	holds func(j *job, n int) error
	// served: the server has the image's manifest from a session before.
	served bool
	// readsBack: the only client has its target on a disk, and reads it in the end.
	readsBack bool
	// times is how many times as many rounds count as elsewhere; 1 if 0.
	times int
	// worstOf is how many rounds of ours, and of the bare loop beside it, count at least, for
	// figures about the worst.
	worstOf int
	// slowestBytesPerSec ends a transfer that hangs, as the constant does if it is 0.
	slowestBytesPerSec int64
	// rates is where the best fixed --rate is searched for; nil if the row is not beside it.
	rates *rateRange
	// portBitsPerSec is what the switch sends to each client; 0 if that is not limited.
	portBitsPerSec int64
	// besideTCP: a further host, which is no client, sends by TCP.
	besideTCP bool
	duty      *duty // of all clients; nil if they run all the time
	// coreShares is, for each client, the share of a core that it has, and 0 if that is not
	// limited; none is if nil.
	coreShares []float64
	// missing is why it cannot be measured here, or ""; nothing is missing if nil.
	missing func() string
	// serverFlags and clientFlags are more flags of our programs.
	serverFlags, clientFlags []string
	// pipeBytesPerSec is, for each client, what the pipe takes that it writes to, and 0
	// if that is a file; files for all if nil.
	pipeBytesPerSec []float64
	during          *event // nil if nothing happens
	gated           bool   // the image can be kept from being read
	null            bool   // clients keep nothing of it
	crowded         bool   // the server has one core only, and a busy loop beside it
	maxBitrate      string // that udpcastLimited is told
	// only are the systems that can do it and finish; all if empty.
	only   []string
	wanted []figure
	note   string // on how to read it, for the report
}

// data is where the image holds data.
func (r *row) data() []lab.Extent {
	if r.extents == nil {
		return []lab.Extent{{SizeBytes: r.sizeBytes}}
	}
	return r.extents
}

// figure is something that a system of ours is to reach.
type figure struct {
	system string // that is to reach it, one of ours
	text   string
	// value returns the value and whether it is what is wanted; ok is false if
	// that cannot be told, because a system was left out or failed.
	value func(t table) (value float64, reached, ok bool)
	// unlimited: it is only told.
	unlimited bool
}

// Names of rows that figures refer to.
const (
	rowNoLoss     = "4 clients, 1 GbE"
	rowCut        = "4 clients, 1 GbE, packets cut"
	rowLoss       = "4 clients, 1 GbE, 1% loss"
	rowHalf       = "4 clients, 500 Mbit/s"
	rowFifth      = "4 clients, 200 Mbit/s"
	rowLoss3Fifth = "4 clients, 200 Mbit/s, 3% loss"
	rowLoss5      = "4 clients, 500 Mbit/s, 5% loss"
	rowSlowOne    = "one of 4 clients at 100 Mbit/s"
	rowOne        = "1 client, 100 Mbit/s"
	rowSixteen    = "16 clients, 100 Mbit/s"

	rowOneLoss     = "1 client, 100 Mbit/s, 1% loss"
	rowSixteenLoss = "16 clients, 100 Mbit/s, 1% loss"
	rowJumbo       = "4 clients, 1 GbE, MTU 9000"
	rowHoles       = "4 clients, 1 GbE, half holes"
	rowSparse      = "1 client, 1 GbE, 64 GiB almost all holes"
	rowUnshaped    = "1 client, unshaped"
	rowKilled      = "one of 4 clients killed"
	rowStopped     = "one of 4 clients stopped"
	rowSlowPipe    = "one of 4 clients into a pipe of 20 MB/s"
	rowJoined      = "one of 4 clients joins at 60%"
	rowRestarted   = "server killed at 50% and restarted, 3 clients"

	rowBottleneck = "4 clients behind 100 Mbit/s in the switch"
	rowSlowOf4    = "one of 4 clients behind 100 Mbit/s, the others at 1 GbE"
	rowLoss3      = "4 clients, 1 GbE, 3% loss"
	rowSlowPipes  = "4 clients into pipes of 40 MB/s"
	rowForgotten  = "4 clients, 100 Mbit/s, group forgotten by the switch"
	rowDeaf       = "one of 4 clients without multicast"
	rowStalled    = "4 clients, 500 Mbit/s, server's disk stalls 2 s"
)

// rows are all measurements with an image of sizeBytes; on slow networks it is
// smaller.
func rows(sizeBytes int64) []row {
	// Super-packets cross the network whole, as with NICs that cut and join them:
	// two cores cannot carry five hosts at this rate packet by packet.
	whole := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet, SegmentOffload: true}
	// The sender's interface cuts them, so that loss takes single packets, and those of
	// the receivers join what arrives, as NICs do: packet by packet the machine would be
	// the limit of these rows, and not the network.
	cut := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet, ReceiveOffload: true}
	lossy := cut
	lossy.LossPercent = 1
	half := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet / 2, ReceiveOffload: true}
	// A rate at which the machine, which plays all five, is not the limit even with loss.
	fifth := lab.Config{UplinkBitsPerSec: lab.GigabitEthernet / 5, ReceiveOffload: true}
	lossy3Fifth := fifth
	lossy3Fifth.LossPercent = 3
	lossy5 := half
	lossy5.LossPercent = 5
	fast := lab.Config{UplinkBitsPerSec: lab.FastEthernet, ReceiveOffload: true}
	fastLossy := fast
	fastLossy.LossPercent = 1
	jumbo := cut
	jumbo.MTU = 9000
	lossy3 := cut
	lossy3.LossPercent = 3
	large := min(4*sizeBytes, 1<<30)
	rows := append([]row{
		{name: rowNoLoss, clients: 4, sizeBytes: sizeBytes, config: whole, wanted: []figure{
			atLeast(oursMXB1, "÷ bare", 0.85, of(toBare, rowNoLoss, oursMXB1)),
			moreThan(oursMXB1, "goodput ÷ udpcast's", 1, ratio(goodput, rowNoLoss, oursMXB1, rowNoLoss, "udpcast")),
			atLeast(ours, "÷ bare", 0.96, of(toBare, rowNoLoss, ours)),
			atLeast(ours, "image ÷ wall ÷ bare's", 0.93, ratio(wall, rowNoLoss, bareLoop, rowNoLoss, ours)),
			atMost(ours, "sent ÷ image", 1.06, of(sent, rowNoLoss, ours)),
			atMost(ours, "start to first data s", 0.07, of(start, rowNoLoss, ours)),
			atMost(ours, "last data to end s", 0.3, of(end, rowNoLoss, ours)),
			atMost(ours, "first data to 90% s", 1, of(ramp, rowNoLoss, ours)),
		}},
		{name: rowCut, clients: 4, sizeBytes: sizeBytes, config: cut},
		{name: rowLoss, clients: 4, sizeBytes: sizeBytes, config: lossy, wanted: []figure{
			atMost(oursMXB1, "sent ÷ image", 1.5, of(sent, rowLoss, oursMXB1)),
			atMost(ours, "sent ÷ image", 1.08, of(sent, rowLoss, ours)),
			atMost(ours, "wall time ÷ without loss", 1.04, ratio(wall, rowLoss, ours, rowCut, ours)),
		}},
		{name: rowFifth, clients: 4, sizeBytes: sizeBytes / 4, config: fifth, only: []string{bareLoop, ours}},
		{name: rowLoss3Fifth, clients: 4, sizeBytes: sizeBytes / 4, config: lossy3Fifth, only: []string{bareLoop, ours}, wanted: []figure{
			atMost(ours, "wall time ÷ without loss", 1.09, ratio(wall, rowLoss3Fifth, ours, rowFifth, ours)),
		}},
		{name: rowHalf, clients: 4, sizeBytes: sizeBytes / 2, config: half, only: []string{bareLoop, ours}},
		{name: rowLoss5, clients: 4, sizeBytes: sizeBytes / 2, config: lossy5, only: []string{bareLoop, ours}, wanted: []figure{
			atMost(ours, "sent ÷ image", 1.13, of(sent, rowLoss5, ours)),
			atMost(ours, "wall time ÷ without loss", 1.12, ratio(wall, rowLoss5, ours, rowHalf, ours)),
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
			atMost(ours, "wall time ÷ 1 client's", 1.10, ratio(wall, rowSixteen, ours, rowOne, ours)),
		}},
		{name: rowOneLoss, clients: 1, sizeBytes: sizeBytes / 8, config: fastLossy, only: []string{ours}},
		{name: rowSixteenLoss, clients: 16, sizeBytes: sizeBytes / 8, config: fastLossy, only: []string{ours}, wanted: []figure{
			atMost(ours, "wall time ÷ 1 client's", 1.15, ratio(wall, rowSixteenLoss, ours, rowOneLoss, ours)),
			atMost(ours, "sent ÷ image", 1.09, of(sent, rowSixteenLoss, ours)),
		}},
		{
			name: rowJumbo, clients: 4, sizeBytes: sizeBytes, config: jumbo, serverFlags: []string{"--mtu", "9000"},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "sent ÷ image", 1.02, of(sent, rowJumbo, ours))},
		},
		{
			name: rowHoles, clients: 4, sizeBytes: sizeBytes, config: whole, extents: alternating(sizeBytes, 8<<20),
			only:   []string{ours},
			wanted: []figure{atMost(ours, "wall time ÷ a full image's", 0.55, ratio(wall, rowHoles, ours, rowNoLoss, ours))},
		},
		{
			name: rowSparse, clients: 1, sizeBytes: 64 << 30, config: whole,
			extents: []lab.Extent{{SizeBytes: 4 << 20}, {OffsetBytes: 32<<30 + 12345, SizeBytes: 1 << 20}, {OffsetBytes: 64<<30 - 1<<20, SizeBytes: 1 << 20}},
			only:    []string{ours},
			wanted: []figure{
				atMost(ours, "peak MiB server", 256, of(serverPeakMiB, rowSparse, ours)),
				atMost(ours, "peak MiB client", 128, of(clientPeakMiB, rowSparse, ours)),
			},
		},
		{name: rowUnshaped, clients: 1, sizeBytes: large, worstOf: unshapedRounds, config: lab.Config{SegmentOffload: true}, only: []string{ours, "udpcast"}, wanted: []figure{
			atLeast(ours, fmt.Sprintf("goodput, worst of %d ÷ median", unshapedRounds), 0.8, lowestOf(unshapedRounds, func(f figures) float64 { return f.goodput }, rowUnshaped, ours)),
			atLeast(ours, "goodput MB/s", 700, of(megabytes(goodput), rowUnshaped, ours)),
			atMost(ours, "CPU s/GB server", 0.6, of(perGB(serverCPU, large), rowUnshaped, ours)),
			atMost(ours, "CPU s/GB client", 1.2, of(perGB(clientCPU, large), rowUnshaped, ours)),
			atMost(ours, "peak MiB server", 256, of(serverPeakMiB, rowUnshaped, ours)),
			atMost(ours, "peak MiB client", 128, of(clientPeakMiB, rowUnshaped, ours)),
		}},
		// udpcast asks a dead client longer than a transfer may take here.
		{
			name: rowKilled, clients: 4, sizeBytes: sizeBytes, config: whole, during: &event{at: 0.5, do: killLast},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "the others' time ÷ with nobody killed", 1.02, ratio(others, rowKilled, ours, rowNoLoss, ours))},
		},
		{
			name: rowStopped, clients: 4, sizeBytes: sizeBytes, config: whole, during: &event{at: 0.5, do: stopLast},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "the others' time ÷ with nobody stopped", 1.02, ratio(others, rowStopped, ours, rowNoLoss, ours))},
		},
		{
			name: rowSlowPipe, clients: 4, sizeBytes: sizeBytes, config: whole, pipeBytesPerSec: []float64{0, 0, 0, 20e6},
			only: []string{ours, "udpcast"},
			wanted: []figure{
				atMost(ours, "the others' time ÷ with nobody slow", 1.05, ratio(others, rowSlowPipe, ours, rowNoLoss, ours)),
				atLeast(ours, "the slow one's image ÷ wall MB/s", 15, of(megabytes(rate(last, sizeBytes)), rowSlowPipe, ours)),
			},
		},
		{
			// Where bytes are what is wanted, packets are cut, so that all headers count.
			name: rowJoined, clients: 4, sizeBytes: sizeBytes / 2, config: half, during: &event{at: 0.6, do: startLast, startsLast: true},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "sent ÷ image", 1.71, of(sent, rowJoined, ours))},
		},
		{
			name: rowRestarted, clients: 3, sizeBytes: sizeBytes / 2, config: half, during: &event{at: 0.5, do: restartServer(time.Second)},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "sent ÷ image", 1.10, of(sent, rowRestarted, ours))},
		},
		{
			name: rowBottleneck, clients: 4, sizeBytes: sizeBytes / 2, config: cut, maxBitrate: "90m",
			prepare: func(l *lab.Lab) error {
				for _, h := range l.Hosts[1:] {
					if err := h.ShapeDownlink(lab.FastEthernet, switchQueueBytes); err != nil {
						return err
					}
				}
				return nil
			},
			only: []string{ours, "udpcast", udpcastLimited},
			wanted: []figure{
				atLeast(ours, "goodput MB/s", 0.9*lab.FastEthernet/8/1e6, of(megabytes(goodput), rowBottleneck, ours)),
				atMost(ours, "sent ÷ image", 1.12, of(sent, rowBottleneck, ours)),
				atMost(ours, "first data to 90% s", 1, of(ramp, rowBottleneck, ours)),
			},
		},
		{
			name: rowSlowOf4, clients: 4, sizeBytes: sizeBytes, config: whole, maxBitrate: "90m",
			prepare: func(l *lab.Lab) error { return l.Hosts[4].ShapeDownlink(lab.FastEthernet, switchQueueBytes) },
			only:    []string{ours, "udpcast", udpcastLimited},
			wanted:  []figure{atMost(ours, "the others' time ÷ with nobody slow", 1.05, ratio(others, rowSlowOf4, ours, rowNoLoss, ours))},
		},
		{
			name: rowLoss3, clients: 4, sizeBytes: sizeBytes, config: lossy3, maxBitrate: "900m",
			only:   []string{ours, "udpcast", udpcastLimited},
			wanted: []figure{atMost(ours, "wall time ÷ without loss", 1.06, ratio(wall, rowLoss3, ours, rowCut, ours))},
		},
		{
			name: rowSlowPipes, clients: 4, sizeBytes: sizeBytes, config: cut, maxBitrate: "288m",
			pipeBytesPerSec: []float64{40e6, 40e6, 40e6, 40e6},
			only:            []string{ours, "udpcast", udpcastLimited},
			wanted: []figure{
				// What a client may hold in memory flatters the goodput on the wire.
				atLeast(ours, "image ÷ wall MB/s", 0.9*40, of(megabytes(rate(wall, sizeBytes)), rowSlowPipes, ours)),
				atMost(ours, "sent ÷ image", 1.10, of(sent, rowSlowPipes, ours)),
			},
		},
		{
			// The image must take longer than the switch remembers.
			name: rowForgotten, clients: 4, sizeBytes: sizeBytes / 4, config: fast,
			prepare: func(l *lab.Lab) error {
				return errors.Join(l.Switch().SetMemory(forgetAfter, time.Hour), l.Switch().SetQuerier(true))
			},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "silence s", 3, of(silence, rowForgotten, ours))},
		},
		{
			name: rowDeaf, clients: 4, sizeBytes: sizeBytes, config: whole,
			prepare: func(l *lab.Lab) error { return l.Hosts[4].BlockMulticast(true) },
			only:    []string{ours},
			wanted:  []figure{atMost(ours, "the others' time ÷ with nobody deaf", 1.10, ratio(others, rowDeaf, ours, rowNoLoss, ours))},
		},
		{
			name: rowStalled, clients: 4, sizeBytes: sizeBytes / 2, config: half, maxBitrate: "450m",
			gated: true, during: &event{at: 0.5, do: stallDisk(2 * time.Second)},
			only:   []string{ours, "udpcast", udpcastLimited},
			wanted: []figure{atMost(ours, "sent ÷ image", 1.07, of(sent, rowStalled, ours))},
		},
	}, heldRows(sizeBytes, cut)...)
	rows = append(rows, congestionRows(sizeBytes, cut, whole)...)
	rows = append(rows, packedRows(sizeBytes, cut, whole)...)
	for n := range rows {
		rows[n].addUsual()
	}
	return rows
}

const (
	// unshapedRounds and lossRounds are how many rounds the worst is of.
	unshapedRounds = 8
	lossRounds     = 6
	// packetsWanted are a message at the client, where the server's own link spaces packets
	// and has burstBitsPerSec or more.
	packetsWanted   = 8
	burstBitsPerSec = 50e6
)

// addUsual adds the figures that are wanted of every row of a kind.
func (r *row) addUsual() {
	if len(r.only) > 0 && !slices.Contains(r.only, ours) {
		return
	}
	if r.config.LossPercent > 0 {
		r.worstOf = max(r.worstOf, lossRounds)
		r.wanted = append(r.wanted, atMost(ours, fmt.Sprintf("sent, worst of %d ÷ median", lossRounds), 1.02,
			highestOf(lossRounds, func(f figures) float64 { return f.sent }, r.name, ours)))
	}
	link := r.config.UplinkBitsPerSec
	if (link == 0 || link >= burstBitsPerSec) && r.streams() {
		r.wanted = append(r.wanted, atLeast(ours, "packets a message", packetsWanted, of(packetsPerMessage, r.name, ours)))
	}
}

// streams: most of what clients receive is a stream of packets of 1500 bytes, and nothing but
// the server's own link spaces them.
func (r *row) streams() bool {
	var dataBytes int64
	for _, e := range r.data() {
		dataBytes += e.SizeBytes
	}
	return r.prepare == nil && r.pipeBytesPerSec == nil && r.duty == nil && r.coreShares == nil &&
		r.holds == nil && dataBytes >= r.sizeBytes/4 &&
		r.config.MTU == 0 // a message has no room for 8 larger packets
}

// coreShare is what the n-th client has of a core, 0 if that is not limited.
func (r *row) coreShare(n int) float64 {
	if n >= len(r.coreShares) {
		return 0
	}
	return r.coreShares[n]
}

// switchQueueBytes is what a small switch has for a port.
const switchQueueBytes = 100_000

// forgetAfter is how long a snooping switch remembers a group.
const forgetAfter = 3 * time.Second

// quantity is one number of a result.
type quantity func(result) float64

func goodput(r result) float64 { return r.median.goodput }
func wall(r result) float64    { return r.median.wallSeconds }
func sent(r result) float64    { return r.median.sent }
func toBare(r result) float64  { return r.median.toBare }
func others(r result) float64  { return r.median.othersSeconds }
func last(r result) float64    { return r.median.lastSeconds }
func start(r result) float64   { return r.median.startSeconds }
func end(r result) float64     { return r.median.endSeconds }
func ramp(r result) float64    { return r.median.rampSeconds }
func silence(r result) float64 { return r.median.silenceSeconds }

func packetsPerMessage(r result) float64 { return r.median.packetsPerMessage }
func tcpShareOf(r result) float64        { return r.median.tcpShare }

func sentToDiffering(r result) float64 { return r.median.sentToDiffering }
func rest(r result) float64            { return r.median.rest }
func readBack(r result) float64        { return r.median.readBack }

func serverCPU(r result) float64     { return r.median.serverCPUSeconds }
func clientCPU(r result) float64     { return r.median.clientCPUSeconds }
func serverPeakMiB(r result) float64 { return r.median.serverPeakBytes / (1 << 20) }
func clientPeakMiB(r result) float64 { return r.median.clientPeakBytes / (1 << 20) }

// rate is the image's bytes ÷ a time.
func rate(seconds quantity, sizeBytes int64) quantity {
	return func(r result) float64 { return float64(sizeBytes) / seconds(r) }
}

// perGB is a quantity ÷ the image's size.
func perGB(q quantity, sizeBytes int64) quantity {
	return func(r result) float64 { return q(r) / (float64(sizeBytes) / 1e9) }
}

func megabytes(q quantity) quantity { return func(r result) float64 { return q(r) / 1e6 } }

func of(q quantity, row, system string) func(table) (float64, bool) {
	return func(t table) (float64, bool) {
		r, ok := t[key{row, system}]
		return q(r), ok
	}
}

// highestOf is the largest of at least so many runs ÷ their median, lowestOf the smallest.
func highestOf(runs int, of func(figures) float64, row, system string) func(table) (float64, bool) {
	return extremeOf(slices.Max[[]float64], runs, of, row, system)
}

func lowestOf(runs int, of func(figures) float64, row, system string) func(table) (float64, bool) {
	return extremeOf(slices.Min[[]float64], runs, of, row, system)
}

func extremeOf(extreme func([]float64) float64, runs int, of func(figures) float64, row, system string) func(table) (float64, bool) {
	return func(t table) (float64, bool) {
		r, ok := t[key{row, system}]
		if !ok || len(r.runs) < runs {
			return 0, false
		}
		var values []float64
		for _, f := range r.runs {
			values = append(values, of(f))
		}
		return extreme(values) / of(r.median), true
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

// told is a figure without a limit.
func told(system, what string, value func(table) (float64, bool)) figure {
	return figure{
		system: system,
		text:   what,
		value: func(t table) (float64, bool, bool) {
			v, ok := value(t)
			return v, ok, ok
		},
		unlimited: true,
	}
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
