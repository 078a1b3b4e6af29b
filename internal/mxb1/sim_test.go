package mxb1

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// The test network: one sender that sends a block each 9 µs, as at 1 Gbit/s, and
// receivers behind links of their own, in virtual time.

const blockTime = 9 * time.Microsecond

// link leads from the sender to one receiver and back.
type link struct {
	loss  float64
	delay time.Duration
	// A bottleneck that takes slow times as long for a block as the sender, and
	// queues so many; 0 is none.
	slow, queue int
	free        time.Duration // when the bottleneck has sent what it holds
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

type sim struct {
	*testing.T
	rng       *rand.Rand
	now       time.Duration
	events    events
	seq       int
	size      uint64
	sender    *Sender
	sending   bool
	sent      int
	requests  int
	receivers []*simReceiver
}

type simReceiver struct {
	*Receiver
	link link
	join time.Duration
	done time.Duration // 0 while not
	got  []int         // how often each block was taken
}

var (
	simServer = netip.MustParseAddrPort("10.0.0.1:7500")
	epoch     = time.Unix(1_000_000, 0)
)

func newSim(t *testing.T, seed uint64, size uint64) *sim {
	return &sim{T: t, rng: rand.New(rand.NewPCG(seed, 0)), size: size, sender: NewSender(size)}
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, event{s.now + d, s.seq, do})
}

// add lets a receiver join at a time.
func (s *sim) add(join time.Duration, l link, ours bool) *simReceiver {
	r := &simReceiver{link: l, join: join, got: make([]int, BlockCount(s.size))}
	s.receivers = append(s.receivers, r)
	s.after(join, func() {
		r.Receiver = NewReceiver(epoch.Add(s.now), ReceiverConfig{
			SizeBytes: s.size, QuietTime: time.Second, HasTrailer: ours, Server: simServer,
		})
		s.poll(r)
	})
	return r
}

// poll polls r and comes back at its deadline.
func (s *sim) poll(r *simReceiver) {
	if r.done != 0 {
		return
	}
	now := epoch.Add(s.now)
	actions := r.Poll(now, nil)
	if len(actions.Requests) > MaxBurst {
		s.Fatalf("%d requests in a burst", len(actions.Requests))
	}
	if actions.Describe && s.rng.Float64() >= r.link.loss {
		s.after(2*r.link.delay, func() { r.Confirmed(epoch.Add(s.now)) })
	}
	for _, q := range actions.Requests {
		s.requests++
		if s.rng.Float64() < r.link.loss {
			continue
		}
		s.after(r.link.delay, func() {
			if _, err := s.sender.Request(q); err != nil {
				s.Fatalf("request %v: %v", q, err)
			}
			if !s.sending {
				s.sending = true
				s.send()
			}
		})
	}
	if d := r.Deadline(); !d.IsZero() {
		s.after(max(d.Sub(now), time.Microsecond), func() { s.poll(r) })
	}
}

// send sends the next block to everybody who is there.
func (s *sim) send() {
	run := s.sender.Next(1)
	if run.Len() == 0 {
		s.sending = false
		return
	}
	s.sent++
	for _, r := range s.receivers {
		if r.Receiver == nil || s.rng.Float64() < r.link.loss {
			continue
		}
		delay := r.link.delay
		if r.link.slow > 0 {
			service := time.Duration(r.link.slow) * blockTime
			start := max(s.now, r.link.free)
			if start-s.now > time.Duration(r.link.queue)*service {
				continue
			}
			r.link.free = start + service
			delay += r.link.free - s.now
		}
		s.after(delay, func() { s.arrive(r, uint32(run.Lo)) })
	}
	s.after(blockTime, s.send)
}

func (s *sim) arrive(r *simReceiver, id uint32) {
	v := r.Block(epoch.Add(s.now), simServer, id, BlockLen(s.size, uint64(id)))
	if v == Keep {
		r.got[id]++
	}
	if r.Missing() == 0 && r.done == 0 {
		r.done = s.now
	}
	if r.done == 0 {
		if d := r.Deadline(); !epoch.Add(s.now).Before(d) {
			s.poll(r)
		}
	}
}

// run goes on until every receiver is done, and checks that each took every block
// exactly once.
func (s *sim) run(limit time.Duration) {
	s.Helper()
	for {
		done := true
		for _, r := range s.receivers {
			done = done && r.done != 0
		}
		if done {
			break
		}
		if len(s.events) == 0 || s.now > limit {
			s.Fatalf("not done after %v, %d events left", s.now, len(s.events))
		}
		s.step()
	}
	for i, r := range s.receivers {
		for id, n := range r.got {
			if n != 1 {
				s.Fatalf("receiver %d took block %d %d times", i, id, n)
			}
		}
	}
}

// step does the next event.
func (s *sim) step() {
	e := heap.Pop(&s.events).(event)
	s.now = e.at
	e.do()
}

// ratio is blocks sent ÷ blocks of the image.
func (s *sim) ratio() float64 { return float64(s.sent) / float64(BlockCount(s.size)) }

func TestSimulatedRooms(t *testing.T) {
	const size = 32<<20 + 777
	lan := link{delay: 100 * time.Microsecond}
	lossy := func(p float64) link { return link{delay: lan.delay, loss: p} }
	slow := func(factor, queue int) link { return link{delay: lan.delay, slow: factor, queue: queue} }
	pass := time.Duration(BlockCount(size)) * blockTime
	tests := []struct {
		name  string
		links []link
		joins []time.Duration
		ours  bool
		ratio float64 // blocks sent ÷ blocks, at most
	}{
		{"one receiver", []link{lan}, nil, true, 1.001},
		{"original server", []link{lan}, nil, false, 1.001},
		{"eight at once", []link{lan, lan, lan, lan, lan, lan, lan, lan}, nil, true, 1.01},
		{"join at 60%", []link{lan, lan}, []time.Duration{0, pass * 6 / 10}, true, 1.62},
		{"1% loss at four", []link{lossy(.01), lossy(.01), lossy(.01), lossy(.01)}, nil, true, 1.10},
		{"5% loss at four", []link{lossy(.05), lossy(.05), lossy(.05), lossy(.05)}, nil, true, 1.35},
		{"a tenth of the rate, 64 KiB queue", []link{slow(10, 64)}, nil, true, 3},
		{"a tenth of the rate, 1 MiB queue", []link{slow(10, 1024)}, nil, true, 3},
		{"a tenth of the rate among three", []link{slow(10, 256), lan, lan}, nil, true, 3},
		{"a third of the rate", []link{slow(3, 256)}, nil, true, 3},
	}
	for _, test := range tests {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/seed %d", test.name, seed), func(t *testing.T) {
				s := newSim(t, seed, size)
				for i, l := range test.links {
					var join time.Duration
					if test.joins != nil {
						join = test.joins[i]
					}
					s.add(join, l, test.ours)
				}
				s.run(10 * time.Minute)
				t.Logf("sent ÷ image %.3f, %d requests, done after %.3f passes", s.ratio(), s.requests, float64(s.now)/float64(pass))
				if s.ratio() > test.ratio {
					t.Errorf("sent ÷ image %.3f, want at most %.3f", s.ratio(), test.ratio)
				}
			})
		}
	}
}
