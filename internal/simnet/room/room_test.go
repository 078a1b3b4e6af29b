package room

import (
	"math/rand/v2"
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

// TestReplaysChangeNothing: whatever stale packets arrive again, the sender sends the same
// packets at the same times.
func TestReplaysChangeNothing(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 0))
		cfg := Config{Seed: seed, Blocks: 200 + uint32(r.IntN(200)), K: 8, PacketTime: 100 * time.Microsecond, Limit: time.Minute, Strict: true}
		pass := time.Duration(cfg.Blocks) * time.Duration(cfg.K) * cfg.PacketTime
		for range 8 {
			s := Spec{Loss: 0.2 * r.Float64(), Join: time.Duration(r.IntN(3)) * time.Duration(r.Float64()*float64(pass))}
			if r.IntN(3) == 0 {
				s.Window = 4
			}
			cfg.Receivers = append(cfg.Receivers, s)
		}
		clean, err := Run(cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Replays = 0.5
		with, err := Run(cfg)
		if err != nil {
			t.Error(err)
		}
		t.Logf("seed %d: %d stale packets among %v", seed, with.Replayed, clean.Feedback)
		if with.Replayed < 20 {
			t.Errorf("seed %d: %d stale packets try nothing", seed, with.Replayed)
		}
		with.Replayed, with.Feedback = 0, clean.Feedback
		if !reflect.DeepEqual(clean, with) {
			t.Errorf("seed %d: without stale packets %+v\nwith them %+v", seed, clean, with)
		}
	}
}

// TestForged: packets that claim what cannot be change nothing that a receiver has.
func TestForged(t *testing.T) {
	for seed := range uint64(4) {
		cfg := Config{Seed: seed, Blocks: 160, K: 8, PacketTime: 100 * time.Microsecond, Limit: time.Minute, Strict: true, ZeroRuns: seed%2 == 1}
		cfg.Receivers = receivers(4, Spec{Loss: 0.02, Forged: 0.3})
		cfg.Receivers[3].Join = 50 * time.Millisecond
		if _, err := Run(cfg); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestBadBlocks: sixteen blocks that fail are an accident, the seventeenth ends a receiver,
// and the others go on.
func TestBadBlocks(t *testing.T) {
	bad := receivers(3, Spec{Loss: 0.01})
	bad[0].BadBlocks, bad[1].BadBlocks = accident, accident+1
	simulate(t, Config{Blocks: 4, Receivers: bad})
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

// TestDeafHarmsNobody: a receiver that says that it is there, wants everything and takes
// nothing waits for those that take what is sent: they come when the sender is busy for it,
// and lack little.
func TestDeafHarmsNobody(t *testing.T) {
	const joins = 4 * time.Second
	late := receivers(6, Spec{Loss: 0.01, Holds: 0.95, Join: joins})
	room := func(all []Spec) (last time.Duration) {
		r, err := Run(Config{Seed: 1, Blocks: 256, K: 64, PacketTime: 140 * time.Microsecond, Limit: time.Minute, Receivers: all})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Finish[:len(late)] {
			last = max(last, f-joins)
		}
		return last
	}
	alone := room(late)
	deaf := Spec{Stalls: []Span{{0, 8 * time.Second}}}
	with := room(append(late[:len(late):len(late)], deaf))
	share := float64(with) / float64(alone)
	t.Logf("%v alone, %v beside one that is deaf: %.2f", alone, with, share)
	if share > 1.2 {
		t.Errorf("beside a receiver that is deaf the others take %.2f of their time", share)
	}
}
