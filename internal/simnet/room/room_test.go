package room

import (
	"reflect"
	"testing"
	"time"
)

const packetTime = 12304 * time.Nanosecond

func TestSmoke(t *testing.T) {
	for _, n := range []int{1, 2, 10, 100} {
		for _, p := range []float64{0, 0.01, 0.05} {
			cfg := Config{Seed: 1, Blocks: 64, K: 727, PacketTime: packetTime, Limit: time.Minute}
			for range n {
				cfg.Receivers = append(cfg.Receivers, Spec{Loss: p})
			}
			start := time.Now()
			r, err := Run(cfg)
			t.Logf("n=%d p=%.2f: %.4f sent, symbols %d control %d zero %d feedback %v a=%.2f last %v finish %v in %v: %v", n, p, r.Sent(), r.Symbols, r.Control, r.ZeroRuns, r.Feedback, r.Proactive, r.LastSource, r.Finished, time.Since(start), err)
		}
	}
}

func TestBig(t *testing.T) {
	cfg := Config{Seed: 1, Blocks: 64, K: 727, PacketTime: packetTime, Limit: time.Minute}
	for range 10000 {
		cfg.Receivers = append(cfg.Receivers, Spec{Loss: 0.01})
	}
	start := time.Now()
	r, err := Run(cfg)
	t.Logf("%.4f sent, symbols %d control %d zero %d feedback %v %.4f %v a=%.2f last %v finish %v in %v: %v", r.Sent(), r.Symbols, r.Control, r.ZeroRuns, r.Feedback, r.FeedbackShare(), r.PerSecond, r.Proactive, r.LastSource, r.Finished, time.Since(start), err)
}

func TestPatience(t *testing.T) {
	run := func(impatient bool) Result {
		cfg := Config{Seed: 3, Blocks: 80, K: 727, PacketTime: packetTime, Limit: time.Minute, Impatient: impatient}
		for range 50 {
			cfg.Receivers = append(cfg.Receivers, Spec{Loss: 0.01})
		}
		r, err := Run(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if a, b := run(false), run(true); !reflect.DeepEqual(a, b) {
		t.Errorf("patient %+v\nimpatient %+v", a, b)
	}
}
