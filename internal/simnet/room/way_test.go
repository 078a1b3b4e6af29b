package room

import (
	"slices"
	"testing"
	"time"

	"multiserver/internal/reach"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// forever is all of the time from one on.
func forever(from time.Duration) []Span { return []Span{{from, simnet.Never}} }

// TestStart: the stream begins as soon as what it waits for is there, and probes cost no more
// than a second.
func TestStart(t *testing.T) {
	const second = time.Second
	late := func(joins ...time.Duration) (all []Spec) {
		for _, j := range joins {
			all = append(all, Spec{Join: j})
		}
		return all
	}
	lossy := receivers(4, Spec{Loss: 0.3})
	for _, test := range []struct {
		name   string
		start  Start
		all    []Spec
		opens  time.Duration // at the earliest, and within 300 ms: a first report takes as long
		probed time.Duration // after that the stream begins, at most
	}{
		{"one", Start{}, receivers(1, Spec{}), 0, 200 * time.Millisecond},
		{"the third of three", Start{MinReceivers: 3}, late(1, second, 3*second), 3 * second, 200 * time.Millisecond},
		{"a time", Start{MinReceivers: 1, MinWait: 2 * second}, receivers(2, Spec{}), 2 * second, 200 * time.Millisecond},
		{"three of which one never comes", Start{MinReceivers: 3, MaxWait: 4 * second}, receivers(2, Spec{}), 4 * second, 200 * time.Millisecond},
		{"two, one of which left", Start{MinReceivers: 2, MinWait: 5 * second},
			append(late(1, 6*second), Spec{Kill: 500 * time.Millisecond}), 6 * second, 200 * time.Millisecond},
		{"lost probes", Start{}, lossy, 0, 1100 * time.Millisecond},
		{"one in ten hears no group", Start{MinReceivers: 10},
			append(receivers(9, Spec{}), Spec{Path: Path{NoGroup: forever(0)}}), 0, 300 * time.Millisecond},
		{"nobody hears the group", Start{}, receivers(2, Spec{Path: Path{NoGroup: forever(0)}}), 0, 1100 * time.Millisecond},
	} {
		r := simulate(t, Config{Blocks: 16, Receivers: test.all, Start: &test.start, Unicast: true})
		opened, began := r.Opened[0], r.Began[0]
		t.Logf("%s: open at %v, begins %v later, %d probes, done at %v", test.name, opened, began-opened, r.Probes, r.Finished)
		if opened < test.opens || opened > test.opens+300*time.Millisecond {
			t.Errorf("%s: open at %v, want %v", test.name, opened, test.opens)
		}
		if began-opened > test.probed {
			t.Errorf("%s: the stream begins %v after the gate is open, want at most %v", test.name, began-opened, test.probed)
		}
	}
}

// TestRestartProbes: the trains of a server that is started again are answered as those of
// the one before.
func TestRestartProbes(t *testing.T) {
	r := simulate(t, Config{
		Blocks: 128, Receivers: receivers(4, Spec{}), Start: &Start{},
		Deaths: []time.Duration{700 * time.Millisecond}, DeadTime: 200 * time.Millisecond,
	})
	if len(r.Began) != 2 {
		t.Fatalf("the streams begin at %v", r.Began)
	}
	if d := r.Began[1] - r.Opened[1]; d > 80*time.Millisecond {
		t.Errorf("the second stream begins %v after its gate is open", d)
	}
}

// TestPath: what becomes of a receiver whose path fails, beside others, and what it costs.
func TestPath(t *testing.T) {
	const blocks, second = 512, time.Second // 4.6 s
	good := receivers(9, Spec{Loss: 0.001})
	alone := simulate(t, Config{Blocks: blocks, Receivers: good, Start: &Start{}})
	last := func(r Result) time.Duration { return slices.Max(r.Finish[:len(good)]) }
	for _, test := range []struct {
		name    string
		path    Path
		limit   time.Duration
		outcome wire.Outcome
		cause   reach.Cause // if it ends by its limit
		// When it changes between the group and unicast, each within 150 ms.
		switches []time.Duration
		rejoins  int           // at least
		ends     time.Duration // at most
		sent     float64       // at most, of the image, both streams together
		others   float64       // of their time alone, at most
	}{
		{name: "the group forgotten once", path: Path{Forgets: []time.Duration{second}},
			outcome: wire.OutcomeDone, rejoins: 1, ends: 8 * second, sent: 1.35, others: 1.01},
		{name: "the group forgotten three times", path: Path{Forgets: []time.Duration{second, 2500 * time.Millisecond, 4 * second}},
			outcome: wire.OutcomeDone, rejoins: 2, ends: 9 * second, sent: 1.8, others: 1.01},
		{name: "no group", path: Path{NoGroup: forever(0)},
			outcome: wire.OutcomeDone, switches: []time.Duration{2 * second}, rejoins: 1, ends: 10 * second, sent: 2.05, others: 1.08},
		{name: "the group lost in mid-stream", path: Path{NoGroup: forever(2 * second)},
			outcome: wire.OutcomeDone, switches: []time.Duration{4 * second}, rejoins: 1, ends: 9 * second, sent: 1.7, others: 1.08},
		{name: "the group comes back while unicast runs", path: Path{NoGroup: []Span{{0, 3 * second}}},
			outcome: wire.OutcomeDone, switches: []time.Duration{2 * second}, rejoins: 1, ends: 10 * second, sent: 2.05, others: 1.08},
		{name: "unicast fails, the group is back", path: Path{NoGroup: []Span{{0, 3 * second}}, NoUnicast: forever(2500 * time.Millisecond)},
			outcome: wire.OutcomeDone, switches: []time.Duration{2 * second, 7500 * time.Millisecond}, rejoins: 1, ends: 13 * second, sent: 3.5, others: 1.08},
		{name: "neither, within a limit", path: Path{NoGroup: forever(second), NoUnicast: forever(second)}, limit: 12 * second,
			outcome: wire.OutcomeTimeLimit, cause: reach.UnicastBlocked, switches: []time.Duration{3 * second, 8 * second, 10 * second}, rejoins: 1, ends: 13100 * time.Millisecond, sent: 3.5, others: 1.08},
		{name: "full packets are dropped", path: Path{MaxPacket: 1400},
			outcome: wire.OutcomePath, ends: 2 * second, sent: 1.05, others: 1.08},
		{name: "another network", path: Path{Network: 1},
			outcome: wire.OutcomeDone, ends: 6 * second, sent: 1.05, others: 1.01},
	} {
		all := append(slices.Clone(good), Spec{Loss: 0, Path: test.path, SilenceLimit: test.limit})
		r := simulate(t, Config{Blocks: blocks, Receivers: all, Start: &Start{}, Unicast: true})
		n, end := len(good), r.Ended[len(good)]
		others := float64(last(r)) / float64(last(alone))
		t.Logf("%s: outcome %d at %v, switches %v, %d rejoins; %.3f sent, %d by unicast; the others %.4f; networks %v; verdict %d of %d",
			test.name, end.Outcome, r.Finish[n], end.Switches, end.Rejoins, r.Sent(), r.Unicast, others, r.Networks, r.Failed, r.All)
		if end.Outcome != test.outcome || test.limit > 0 && end.Cause != test.cause {
			t.Errorf("%s: outcome %d, cause %d; want %d, %d", test.name, end.Outcome, end.Cause, test.outcome, test.cause)
		}
		if failed := 1; test.outcome == wire.OutcomeDone && r.Failed != 0 || test.outcome != wire.OutcomeDone && r.Failed != failed {
			t.Errorf("%s: the verdict is %d of %d failed", test.name, r.Failed, r.All)
		}
		ok := len(end.Switches) == len(test.switches)
		for i := 0; ok && i < len(test.switches); i++ {
			off := end.Switches[i] - test.switches[i]
			ok = off > -50*time.Millisecond && off < 250*time.Millisecond
		}
		if !ok {
			t.Errorf("%s: switches at %v, want %v", test.name, end.Switches, test.switches)
		}
		if end.Rejoins < test.rejoins || test.rejoins == 0 && end.Rejoins > 0 {
			t.Errorf("%s: %d rejoins, want %d", test.name, end.Rejoins, test.rejoins)
		}
		if r.Finish[n] > test.ends {
			t.Errorf("%s: ends at %v, want at most %v", test.name, r.Finish[n], test.ends)
		}
		if r.Sent() > test.sent || others > test.others {
			t.Errorf("%s: %.3f sent, the others take %.4f of their time; want at most %.3f and %.4f", test.name, r.Sent(), others, test.sent, test.others)
		}
	}
}

// TestNetworksLapse: a network whose receivers are gone gets the stream no more.
func TestNetworksLapse(t *testing.T) {
	all := receivers(3, Spec{})
	all[0].Path.Network, all[0].Kill = 1, time.Second
	r := simulate(t, Config{Blocks: 1024, Receivers: all})
	if !slices.Equal(r.Networks, []int{0}) {
		t.Errorf("at the end the stream goes out on %v", r.Networks)
	}
}

// TestReturns: a machine that is killed and comes again counts once, by how it ended.
func TestReturns(t *testing.T) {
	all := receivers(3, Spec{})
	all[1].Kill, all[1].Return = time.Second, 500*time.Millisecond
	all[2].Kill = time.Second
	r := simulate(t, Config{Blocks: 256, Receivers: all, Start: &Start{}})
	if r.Failed != 1 || r.All != 3 {
		t.Errorf("the verdict is %d of %d failed, want 1 of 3", r.Failed, r.All)
	}
}
