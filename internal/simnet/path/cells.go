package path

import (
	"fmt"
	"math"
	"sync"
	"time"

	"multiserver/internal/simnet"
)

// Cell is a network of the matrix, with what is to be reached in it.
type Cell struct {
	Name     string
	Special  string // of what the matrix does not have
	Config   Config
	Capacity float64 // bits a second that the path carries
	Loss     float64 // at random
	MaxSent  float64 // ÷ (source ÷ (1 − Loss)); 0: no bound
	MaxTime  float64 // ÷ time at the best fixed rate; 0: no bound
	MaxWait  time.Duration
	Keeps    float64       // share that the neighbour keeps at least
	To90     time.Duration // until 90% of the own interface; 0: no bound
	MaxBlind float64       // bits before the first report
	Strict   bool          // may not miss
	Why      string        // a miss is known, and why
	Lowest   float64       // share of the capacity from which the best rate is searched
}

// Figures are what a cell has shown.
type Figures struct {
	Result
	SentRatio float64
	Best      float64       // bits a second
	BestTime  time.Duration // at that rate
	BestSent  float64       // then, as SentRatio
	TimeRatio float64
	Missed    []string
}

// Known keeps what fixed rates gave, for cells that differ in nothing that matters to them.
// Several goroutines may use it.
type Known struct {
	mu      sync.Mutex
	results map[string]Result
}

func (k *Known) get(key string) (r Result, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok = k.results[key]
	return r, ok
}

func (k *Known) put(key string, r Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.results == nil {
		k.results = map[string]Result{}
	}
	r.Rates, r.Reasons = nil, nil
	k.results[key] = r
}

// image is how many blocks take that long at a rate.
func image(seconds, rate float64) uint32 {
	return uint32(max(1, math.Round(seconds*rate/(k*packetBits))))
}

func constant(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

func alike(n int, s Spec) []Spec {
	all := make([]Spec, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// Measure runs a cell, and finds its best fixed rate unless known has it.
func Measure(c Cell, known *Known) (Figures, error) {
	r, err := Run(c.Config)
	f := Figures{Result: r}
	f.SentRatio = r.Sent * (1 - c.Loss)
	if err != nil {
		f.Missed = append(f.Missed, err.Error())
		return f, err
	}
	if c.MaxTime > 0 {
		f.Best, f.BestTime, f.BestSent = best(c, known)
		f.BestSent *= 1 - c.Loss
		// After the first second: what remains then, at the best rate. Where much of what
		// was sent in it was of no use, the whole is nearer to what is meant.
		f.TimeRatio = min(float64(r.Finish-time.Second)/(float64(f.BestTime)*(1-r.First)), float64(r.Finish)/float64(f.BestTime))
	}
	miss := func(bad bool, format string, args ...any) {
		if bad {
			f.Missed = append(f.Missed, fmt.Sprintf(format, args...))
		}
	}
	miss(c.MaxSent > 0 && f.SentRatio > c.MaxSent, "sent %.2f > %.2f", f.SentRatio, c.MaxSent)
	miss(c.MaxTime > 0 && f.TimeRatio > c.MaxTime, "time %.2f > %.2f", f.TimeRatio, c.MaxTime)
	miss(c.MaxWait > 0 && r.Wait > c.MaxWait, "queue %v > %v", r.Wait, c.MaxWait)
	miss(c.Keeps > 0 && r.Neighbour < c.Keeps, "neighbour %.2f < %.2f", r.Neighbour, c.Keeps)
	miss(c.To90 > 0 && (r.To90 == 0 || r.To90 > c.To90), "90%% after %v", r.To90)
	miss(c.MaxBlind > 0 && r.Blind > c.MaxBlind, "blind %.3g bits", r.Blind)
	return f, nil
}

// best is the fixed rate with which all are done first, to 3%, and that time: by golden
// section between Lowest and 1.15 of the capacity. Beside a neighbour, the rate has to leave
// it what it keeps, and beside MXB 1 its eighth.
func best(c Cell, known *Known) (rate float64, took time.Duration, sent float64) {
	try := func(rate float64) Result {
		cfg := c.Config
		cfg.Fixed = rate
		if cfg.Own >= c.Capacity*1.5 {
			cfg.Own = 0 // it makes no difference to a paced stream
		}
		cfg.Limit = 5 * time.Minute
		key := fmt.Sprintf("%.4g %s", rate, keyOf(c))
		r, ok := known.get(key)
		if !ok {
			var err error
			if r, err = Run(cfg); err != nil && !r.counted(cfg) || c.Keeps > 0 && r.Neighbour < c.Keeps {
				r.Finish = time.Hour
			}
			known.put(key, r)
		}
		return r
	}
	const ratio = 0.618
	lo, hi := math.Log(c.Lowest*c.Capacity), math.Log(1.15*c.Capacity)
	if cfg := c.Config; cfg.Ceiling > 0 {
		hi = math.Log(cfg.Ceiling)
	}
	if c.Config.MXB1 {
		hi = math.Log(c.Capacity) // more would leave it less than its eighth
	}
	a, b := hi-ratio*(hi-lo), lo+ratio*(hi-lo)
	ta, tb := try(math.Exp(a)), try(math.Exp(b))
	for hi-lo > 2*math.Log(1.03) {
		if ta.Finish < tb.Finish {
			hi, b, tb = b, a, ta
			a = hi - ratio*(hi-lo)
			ta = try(math.Exp(a))
		} else {
			lo, a, ta = a, b, tb
			b = lo + ratio*(hi-lo)
			tb = try(math.Exp(b))
		}
	}
	if ta.Finish < tb.Finish {
		return math.Exp(a), ta.Finish, ta.Sent
	}
	return math.Exp(b), tb.Finish, tb.Sent
}

// counted tells whether all whose finish counts are done.
func (r *Result) counted(cfg Config) bool {
	for _, at := range r.Finished[:cfg.Count] {
		if at <= 0 {
			return false
		}
	}
	return cfg.Count > 0
}

// keyOf names what a fixed rate's time depends on.
func keyOf(c Cell) string {
	own := c.Config.Own
	if own >= c.Capacity*1.5 {
		own = 0
	}
	q := c.Config.Groups[0]
	return fmt.Sprintf("%v %g %d %g %d %g %s", q.Queue, c.Capacity, len(c.Config.Receivers), c.Loss, c.Config.Blocks, own, c.Special)
}

// Matrix is issue 12's: queues, rates, own links, receivers and random losses. An image
// takes 20 s of the path where that is 5 or 50 Mbit/s. At 1 Gbit/s it takes 20 s for one
// receiver, 8 for four and 2 for 16 that stand for a hundred, which is as many packets as 40 s
// or more at 50 Mbit/s; the time is compared after the first second.
func Matrix() (cells []Cell) {
	for _, queue := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, time.Second, 10 * time.Second} {
		for _, mbit := range []float64{5, 50, 1000} {
			for _, own := range []float64{0, 1e9} {
				for _, receivers := range []int{1, 4, 100} {
					for _, loss := range []float64{0, 0.01, 0.05, 0.15, 0.30} {
						cells = append(cells, cell(queue, mbit, own, receivers, loss))
					}
				}
			}
		}
	}
	return cells
}

func cell(queue time.Duration, mbit, own float64, receivers int, loss float64) Cell {
	rate := mbit * 1e6
	seconds := 20.0
	if mbit == 1000 {
		seconds = map[int]float64{1: 20, 4: 8, 100: 2}[receivers]
	}
	simulated := receivers
	if mbit == 1000 {
		simulated = min(receivers, 16)
	}
	link := "any"
	if own > 0 {
		link = "1 GbE"
	}
	c := Cell{
		Name:     fmt.Sprintf("queue %v, %g Mbit/s behind %s, %d receivers, %g%%", queue, mbit, link, receivers, 100*loss),
		Capacity: rate, Loss: loss, MaxSent: 1.10, MaxTime: 1.10, Lowest: 0.8,
		MaxBlind: max(16e6, rate),
		MaxWait:  20 * time.Millisecond,
		Strict:   loss <= 0.05 && queue <= time.Second,
		Config: Config{
			Seed: 1, Blocks: image(seconds, rate), Own: own,
			Groups:    []simnet.Bottleneck{{Rate: constant(rate), Queue: queue, Packets: 8}},
			Receivers: alike(simulated, Spec{Loss: loss}),
		},
	}
	if queue >= time.Second {
		c.MaxSent = 1.25
	}
	if mbit == 1000 && own > 0 && loss <= 0.05 {
		c.To90 = 500 * time.Millisecond
	}
	return c
}

// Fixed is what the tests run: of each queue, rate, link, count and loss some, and some of
// what can befall a stream.
func Fixed() (cells []Cell) {
	second := time.Second
	cells = append(cells,
		cell(2*time.Millisecond, 5, 0, 1, 0),
		cell(2*time.Millisecond, 5, 1e9, 4, 0.30),
		cell(2*time.Millisecond, 50, 0, 4, 0.05),
		cell(50*time.Millisecond, 5, 0, 1, 0.15),
		cell(50*time.Millisecond, 50, 1e9, 4, 0.01),
		cell(50*time.Millisecond, 50, 0, 1, 0.30),
		cell(second, 5, 1e9, 4, 0.05),
		cell(second, 50, 0, 1, 0),
		cell(10*second, 5, 0, 4, 0),
		cell(10*second, 50, 1e9, 1, 0.15),
		cell(50*time.Millisecond, 5, 0, 100, 0),
	)
	gigabit := cell(50*time.Millisecond, 1000, 1e9, 1, 0)
	gigabit.Config.Blocks = image(2, 1e9)
	gigabit.Special = "short"
	cells = append(cells, gigabit)
	for _, c := range Special() {
		switch c.Name {
		case "the service rate halves", "machines run 5 ms of 250 ms", "a neighbour", "reports lost by 30%", "all disks stall for 5 s", "one of two dies", "one of four lies", "two by unicast":
			cells = append(cells, c)
		}
	}
	return cells
}
