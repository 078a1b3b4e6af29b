package room

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestForgedPackets: while somebody sends along valid packets of the session with contents of his
// own, each receiver is done in the end, with every block.
func TestForgedPackets(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 9))
		cfg := Config{
			Seed: seed, Blocks: 2 + uint32(r.IntN(30)), K: uint16(4 + r.IntN(40)), PacketTime: 12 * time.Microsecond,
			Strict: true, Limit: 20 * time.Minute, Unicast: r.IntN(2) == 0,
		}
		for range 1 + r.IntN(4) {
			cfg.Receivers = append(cfg.Receivers, Spec{Forged: 0.3 * r.Float64(), Loss: 0.02 * r.Float64()})
		}
		if _, err := Run(cfg); err != nil {
			t.Errorf("seed %d: %v\n%+v", seed, err, cfg)
		}
	}
}
