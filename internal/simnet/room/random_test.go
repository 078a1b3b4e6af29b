package room

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"multiserver/internal/simnet"
)

var (
	seeds = flag.Int("seeds", 100, "how many random rooms to simulate")
	first = flag.Uint64("first", 1, "the first one's seed")
)

// regressions are seeds that failed once, beyond the first hundred, with what was
// wrong.
var regressions = map[uint64]string{
	127: "the walk waited for the manifest to be read, and Upcoming did not name it",
	583: "the same, with receivers that resume",

	3061: "a limit of silence began anew with each change to unicast; then probes counted as words",
	3152: "a forged symbol was too old to be looked at, and that was called taken",

	12866: "who had heard nothing of the stream named symbols as of sequence 0, and the answer was always on its way",
}

// TestRandomRooms simulates rooms in which everything may go wrong: whatever does,
// each receiver that lives is done in the end, with every block, and then the sender
// is silent.
func TestRandomRooms(t *testing.T) {
	try := func(seed uint64) {
		cfg := randomRoom(seed)
		failed := func(why any) {
			t.Errorf("%v\nrepeat it with: go test ./internal/simnet/room -run TestRandomRooms -seeds 1 -first %d\n%+v", why, seed, cfg)
		}
		defer func() {
			if p := recover(); p != nil {
				failed(p)
				panic(p)
			}
		}()
		if _, err := Run(cfg); err != nil {
			failed(err)
		}
	}
	for seed := range uint64(*seeds) {
		try(*first + seed)
	}
	if *seeds > 1 {
		for _, seed := range slices.Sorted(maps.Keys(regressions)) {
			try(seed)
		}
	}
}

// randomRoom is a small room with much that goes wrong.
func randomRoom(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 0))
	maybe := func(share float64) bool { return r.Float64() < share }
	cfg := Config{
		Seed:       seed,
		Blocks:     1 + uint32(r.IntN(60)),
		K:          uint16(1 + r.IntN(40)),
		PacketTime: time.Duration(10+r.IntN(500)) * time.Microsecond,
		ZeroRuns:   maybe(0.3),
		Strict:     true,
		Limit:      20 * time.Minute,
		DeadTime:   time.Duration(1+r.IntN(2000)) * time.Millisecond,
	}
	many := 12
	switch {
	case maybe(0.03): // lists of several pages
		cfg.Blocks, cfg.K = 300+uint32(r.IntN(700)), uint16(1+r.IntN(3))
	case maybe(0.03):
		many = 150
	}
	about := time.Duration(cfg.Blocks) * time.Duration(cfg.K) * cfg.PacketTime // a pass
	moment := func(passes float64) time.Duration {
		return 1 + time.Duration(r.Float64()*passes*float64(about))
	}
	span := func() Span {
		from := moment(2)
		return Span{from, from + time.Duration(r.IntN(3000))*time.Millisecond}
	}
	if maybe(0.2) {
		for range 1 + r.IntN(3) {
			cfg.Deaths = append(cfg.Deaths, moment(1))
		}
		// One after the other, and not while the sender is dead.
		for i := 1; i < len(cfg.Deaths); i++ {
			cfg.Deaths[i] = max(cfg.Deaths[i], cfg.Deaths[i-1]+cfg.DeadTime+moment(1))
		}
	}
	if maybe(0.2) {
		cfg.Stalls = append(cfg.Stalls, span())
	}
	if maybe(0.2) {
		cfg.CommonLoss = r.Float64() * 0.2
	}
	cfg.NoSubblocks = seed%8 == 0
	links := rand.New(rand.NewPCG(seed, 3)) // by itself, so that the rooms of old seeds are what they were
	hostile := rand.New(rand.NewPCG(seed, 4))
	if hostile.IntN(4) == 0 {
		cfg.Replays = 0.5 * hostile.Float64()
	}
	loss := []float64{0, 0.001, 0.01, 0.1, 0.3}[r.IntN(5)]
	for range 1 + r.IntN(many) {
		s := Spec{Loss: loss, Delay: time.Duration(50+r.IntN(200)) * time.Microsecond}
		if maybe(0.1) {
			s.Loss = r.Float64() * 0.5
		}
		if maybe(0.2) {
			s.Burst = 1 + r.Float64()*50
		}
		if maybe(0.1) {
			s.Delay = time.Duration(r.IntN(50)+1) * time.Millisecond
		}
		if maybe(0.2) {
			s.Reorder = r.Float64() * 0.3
		}
		if maybe(0.2) {
			s.Duplicate = r.Float64() * 0.3
		}
		if maybe(0.2) {
			s.Corrupt = r.Float64() * 0.3
		}
		if maybe(0.3) {
			s.Join = moment(2)
		}
		if maybe(0.15) {
			s.Kill = s.Join + moment(2)
		}
		if maybe(0.15) {
			s.Stalls = append(s.Stalls, span())
			s.Frozen = seed%2 == 0
		}
		if maybe(0.15) {
			s.Disk = time.Duration(r.Float64() * 10 * float64(cfg.K) * float64(cfg.PacketTime))
		}
		if maybe(0.3) {
			s.Window = 1 + r.IntN(40)
		}
		if maybe(0.1) {
			s.BadBlocks = 1 + r.IntN(4)
		}
		if maybe(0.1) {
			s.Holds = r.Float64()
		}
		if maybe(0.3) {
			s.OldContent = randomOldContent(r, about/time.Duration(cfg.Blocks), moment)
		}
		s.Liar = maybe(0.05)
		if links.IntN(10) == 0 { // up to three times slower than the stream
			s.LinkTime = time.Duration((0.5 + 2.5*links.Float64()) * float64(cfg.PacketTime))
			s.Queue = links.IntN(200)
		}
		if hostile.IntN(5) == 0 {
			s.Forged = 0.2 * hostile.Float64()
		}
		if hostile.IntN(25) == 0 {
			s.BadBlocks = 1 + hostile.IntN(40)
		}
		cfg.Receivers = append(cfg.Receivers, s)
	}
	addConditions(&cfg, rand.New(rand.NewPCG(seed, 6)), moment) // by itself, for the same reason
	return cfg
}

// addConditions lets a room have a gate and probes, unicast, and paths that fail.
func addConditions(cfg *Config, r *rand.Rand, moment func(float64) time.Duration) {
	maybe := func(share float64) bool { return r.Float64() < share }
	upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	cfg.Unicast = maybe(0.5)
	surely := 0 // receivers that come, whatever happens
	for i := range cfg.Receivers {
		s := &cfg.Receivers[i]
		if s.Kill > 0 {
			if maybe(0.5) {
				s.Return = 300*time.Millisecond + upTo(3*time.Second)
			}
		} else {
			surely++
		}
	}
	if maybe(0.75) {
		cfg.Start = &Start{MinReceivers: r.IntN(surely + 1), MinWait: upTo(time.Second)}
		if cfg.Deaths != nil || maybe(0.5) { // those that are done do not come to the next session
			cfg.Start.MaxWait = time.Second + upTo(3*time.Second)
		}
	}
	for i := range cfg.Receivers {
		s := &cfg.Receivers[i]
		if maybe(0.1) {
			s.Path.Network = 1 + r.IntN(3)
		}
		for at := time.Duration(0); maybe(0.15); {
			at += moment(1)
			s.Path.Forgets = append(s.Path.Forgets, at)
		}
		if maybe(0.1) {
			from := upTo(time.Second)
			s.Path.NoGroup = append(s.Path.NoGroup, Span{from, from + upTo(15*time.Second)})
		}
		if maybe(0.1) {
			from := upTo(4 * time.Second)
			s.Path.NoUnicast = append(s.Path.NoUnicast, Span{from, from + upTo(10*time.Second)})
		}
		if cfg.Start != nil && maybe(0.04) {
			s.Path.MaxPacket = 600 + r.IntN(700)
			cfg.Start.MaxWait = max(cfg.Start.MaxWait, time.Second)
		} else if maybe(0.04) { // cut off
			from := moment(2)
			s.Path.NoGroup = append(s.Path.NoGroup, Span{from, simnet.Never})
			s.Path.NoUnicast = append(s.Path.NoUnicast, Span{from, simnet.Never})
			s.SilenceLimit = 4*time.Second + upTo(4*time.Second)
			if cfg.Start != nil {
				cfg.Start.MaxWait = max(cfg.Start.MaxWait, time.Second)
			}
		} else if maybe(0.1) {
			s.SilenceLimit = 30 * time.Second
		}
		if s.OldContent != nil && maybe(0.3) {
			s.OldContent.At, s.OldContent.Sampled = 0, true
		}
	}
}

// randomOldContent is a target with something on it. A check takes up to four times as long as
// to send the block, or as long as a sender may wait for a word.
func randomOldContent(r *rand.Rand, blockTime time.Duration, moment func(float64) time.Duration) *OldContent {
	d := &OldContent{
		Same: r.Float64(), First: r.IntN(3) == 0, Alike: r.Float64(), Subblocks: r.IntN(4) > 0, Common: r.IntN(4) == 0,
		CheckTime: time.Duration(4 * r.Float64() * float64(blockTime)),
	}
	switch r.IntN(10) {
	case 0:
		d.CheckTime += time.Duration(r.IntN(3)) * time.Second
	case 1:
		d.Same = 1
	}
	if r.IntN(2) == 0 {
		d.At = moment(1)
	}
	return d
}

func ExampleConfig() {
	cfg := Config{Seed: 1, Blocks: 1, K: 727, PacketTime: 12 * time.Microsecond, Limit: time.Minute, Receivers: []Spec{{}}}
	r, err := Run(cfg)
	fmt.Println(r.Symbols, err) // the block and its manifest
	// Output: 728 <nil>
}
