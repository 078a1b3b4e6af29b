package room

import (
	"reflect"
	"testing"
	"time"
)

const packetTime = 12304 * time.Nanosecond

// simulate runs a room of blocks of 1 MiB at 1 Gbit/s.
func simulate(t *testing.T, cfg Config) Result {
	t.Helper()
	cfg.Seed, cfg.K, cfg.PacketTime, cfg.Limit = 3, 727, packetTime, time.Minute
	r, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func receivers(n int, s Spec) []Spec {
	all := make([]Spec, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// TestPatience: packets that are handed over late, because there is nothing to say to
// them, change nothing.
func TestPatience(t *testing.T) {
	cfg := Config{Blocks: 80, Receivers: receivers(50, Spec{Loss: 0.01})}
	patient := simulate(t, cfg)
	cfg.Impatient = true
	if impatient := simulate(t, cfg); !reflect.DeepEqual(patient, impatient) {
		t.Errorf("patient %+v\nimpatient %+v", patient, impatient)
	}
}

// TestRepeats: a room is made by its seed alone.
func TestRepeats(t *testing.T) {
	for seed := range uint64(5) {
		a, errA := Run(randomRoom(seed))
		b, errB := Run(randomRoom(seed))
		if !reflect.DeepEqual(a, b) || errA != nil || errB != nil {
			t.Errorf("seed %d: %+v, %v\nand %+v, %v", seed, a, errA, b, errB)
		}
	}
}

// TestSlowLink: a link of half the rate takes twice the time if the switch holds all that
// waits for it, and else loses half of the stream.
func TestSlowLink(t *testing.T) {
	const blocks = 8
	for _, test := range []struct {
		queue       int
		least, most float64 // sent
	}{
		{1 << 20, 1, 1.01},
		{64, 1.7, 2.3},
	} {
		r := simulate(t, Config{Blocks: blocks, Receivers: receivers(1, Spec{LinkTime: 2 * packetTime, Queue: test.queue})})
		if r.Sent() < test.least || r.Sent() > test.most {
			t.Errorf("queue of %d: %.3f sent", test.queue, r.Sent())
		}
		if atLeast := 2 * blocks * 727 * packetTime; r.Finished < atLeast {
			t.Errorf("queue of %d: done after %v, which the link needs %v for", test.queue, r.Finished, atLeast)
		}
	}
}

// TestFigures: small rooms reach what the table measures in large ones.
func TestFigures(t *testing.T) {
	for _, test := range []struct {
		name   string
		all    []Spec
		wanted float64
	}{
		{"no loss", receivers(20, Spec{}), 1.003},
		{"one receiver at 1%", receivers(1, Spec{Loss: 0.01}), 1.016},
		{"ten at 1%", receivers(10, Spec{Loss: 0.01}), 1.022},
		{"fifty at 1%", receivers(50, Spec{Loss: 0.01}), 1.027},
		{"ten at 5%", receivers(10, Spec{Loss: 0.05}), 1.08},
		{"ten at 1% in bursts of 10", receivers(10, Spec{Loss: 0.01, Burst: 10}), 1.035},
	} {
		r := simulate(t, Config{Blocks: 64, Receivers: test.all})
		t.Logf("%s: %.4f sent, done %v after the last source symbol", test.name, r.Sent(), r.Finished-r.LastSource)
		if r.Sent() > test.wanted {
			t.Errorf("%s: %.4f sent, want at most %.4f", test.name, r.Sent(), test.wanted)
		}
	}
}

// TestOneHarmsNobody: one receiver that is far worse than nine others, or lies, moves
// their finish by little.
func TestOneHarmsNobody(t *testing.T) {
	good := receivers(9, Spec{Loss: 0.001})
	last := func(r Result) (d time.Duration) {
		for _, f := range r.Finish[:len(good)] {
			d = max(d, f)
		}
		return d
	}
	alone := last(simulate(t, Config{Blocks: 256, Receivers: good}))
	for _, test := range []struct {
		name string
		bad  Spec
	}{
		{"20% loss", Spec{Loss: 0.2}},
		{"slow disk", Spec{Loss: 0.001, Disk: 50 * time.Millisecond}},
		{"slow link", Spec{Loss: 0.001, LinkTime: 2 * packetTime, Queue: 100}},
		{"liar", Spec{Loss: 0.001, Liar: true}},
		{"killed", Spec{Loss: 0.001, Kill: alone / 2}},
		{"deaf", Spec{Loss: 0.001, Stalls: []Span{{alone / 4, 8 * time.Second}}}},
		{"stopped", Spec{Loss: 0.001, Stalls: []Span{{alone / 4, 8 * time.Second}}, Frozen: true}},
	} {
		with := last(simulate(t, Config{Blocks: 256, Receivers: append(receivers(9, good[0]), test.bad)}))
		share := float64(with) / float64(alone)
		t.Logf("%s: %.4f of the others' time", test.name, share)
		if share > 1.02 {
			t.Errorf("%s: the others take %.4f of their time without it", test.name, share)
		}
	}
}
