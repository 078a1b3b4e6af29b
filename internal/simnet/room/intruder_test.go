package room

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestIntruder: while somebody sends the sender valid packets with contents of his own, in his numbers
// and in those of the receivers, before they speak and after, each receiver is done in the end, with
// every block, and the sender knows it.
func TestIntruder(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 11))
		cfg := Config{
			Seed: seed, Blocks: 2 + uint32(r.IntN(30)), K: uint16(4 + r.IntN(40)), PacketTime: 12 * time.Microsecond,
			Strict: true, Limit: 20 * time.Minute, Unicast: r.IntN(2) == 0, Intruder: 0.1 + 0.7*r.Float64(),
		}
		if r.IntN(3) == 0 {
			cfg.Start = &Start{MinReceivers: 1 + r.IntN(2)}
		}
		if r.IntN(3) == 0 {
			cfg.Deaths, cfg.DeadTime = []time.Duration{time.Duration(1 + r.IntN(20_000_000))}, time.Duration(r.IntN(int(time.Second)))
		}
		for range 2 + r.IntN(4) {
			cfg.Receivers = append(cfg.Receivers, Spec{Loss: 0.02 * r.Float64(), Join: time.Duration(r.IntN(2) * r.IntN(20_000_000))})
		}
		cfg.Receivers[0].Join = 0
		if _, err := Run(cfg); err != nil {
			t.Errorf("seed %d: %v\n%+v", seed, err, cfg)
		}
	}
}
