package multiserver

import (
	"testing"

	"multiserver/internal/wire"
)

// TestSupposeRate: the first rate is taken from bursts only if three quarters of those
// that heard them got them slower than links of today are.
func TestSupposeRate(t *testing.T) {
	slow := func(bits float64) *probed { return &probed{trains: 2, slowest: bits, fastest: 1.1 * bits} }
	fast := &probed{trains: 2, fast: true}
	for _, c := range []struct {
		name  string
		heard []*probed
		set   ServerConfig
		low   uint64 // the limit is within
		high  uint64
	}{
		{name: "nobody"},
		{name: "all at once", heard: []*probed{fast, fast, fast}},
		{name: "all behind a slow link", heard: []*probed{slow(100e6), slow(99e6), slow(98e6), slow(97e6)}, low: 90e6, high: 100e6},
		{name: "all but one", heard: []*probed{slow(100e6), slow(100e6), slow(100e6), fast}, low: 90e6, high: 100e6},
		{name: "half", heard: []*probed{slow(100e6), slow(100e6), fast, fast}},
		{name: "faster than that can be measured", heard: []*probed{slow(900e6), slow(900e6), slow(900e6)}},
		{name: "the rate is given", heard: []*probed{slow(100e6)}, set: ServerConfig{RateBitsPerSec: 1e9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &symbolServer{serverRun: &serverRun{Server: &Server{cfg: c.set}}}
			s.prober.heard = map[wire.ReceiverID]*probed{}
			for i, h := range c.heard {
				s.prober.heard[wire.ReceiverID(i+1)] = h
			}
			s.supposeRate(0)
			if got := s.rate.limit; got < c.low || got > c.high {
				t.Errorf("the limit is %d, want %d to %d", got, c.low, c.high)
			}
			if got := s.limit.Load(); got != s.rate.limit {
				t.Errorf("send keeps to %d, the limit is %d", got, s.rate.limit)
			}
		})
	}
}
