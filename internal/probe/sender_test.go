package probe

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

const packetBits = 8 * 1538

func everybody(n int) Receivers {
	return Receivers{Unfinished: n, Multicast: n, Knows: func(id wire.ReceiverID) bool { return int(id) <= n }}
}

// report is what receiver id says when a train has come, its burst at a rate; 0: at once.
func report(id wire.ReceiverID, train uint32, bitsPerSec float64) wire.ProbeReport {
	r := wire.ProbeReport{Receiver: id, Train: train}
	burst := wire.ProbeStep{Step: StepBurst, LargestPacket: 1472, Received: 96}
	if bitsPerSec > 0 {
		burst.Span = time.Duration(95 * packetBits / bitsPerSec * float64(time.Second))
	}
	r.Steps = r.Steps.Append(wire.ProbeStep{Step: StepFirst, LargestPacket: 1472, Received: 32}).Append(burst)
	return r
}

// TestInitialRate: the first rate is taken from bursts only if three quarters of those
// that heard them got them slower than links of today are.
func TestInitialRate(t *testing.T) {
	for _, c := range []struct {
		name      string
		rates     []float64 // of the receivers' bursts
		paced     bool
		low, high float64
	}{
		{name: "nobody"},
		{name: "all at once", rates: []float64{0, 0, 0}},
		{name: "all behind a slow link", rates: []float64{100e6, 99e6, 98e6, 97e6}, low: 97e6, high: 100e6},
		{name: "all but one", rates: []float64{100e6, 100e6, 100e6, 0}, low: 99e6, high: 101e6},
		{name: "half", rates: []float64{100e6, 100e6, 0, 0}},
		{name: "faster than can be measured", rates: []float64{900e6, 900e6, 900e6}},
		{name: "the rate is given", rates: []float64{100e6}, paced: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits, Paced: c.paced})
			all := everybody(max(1, len(c.rates)))
			now := time.Duration(0)
			for ; s.Poll(now, all) != BeginStream; now += time.Millisecond {
				if s.train == 2 {
					continue
				}
				small, full := s.Train(now)
				if len(small) != SmallBytes || len(full)%1472 != 0 {
					t.Fatalf("a train of %d and %d bytes", len(small), len(full))
				}
				for i, rate := range c.rates {
					s.HandleReport(now, report(wire.ReceiverID(i+1), s.train, rate), true, true)
				}
			}
			if got := s.InitialRate(); got < c.low || got > c.high {
				t.Errorf("the first rate is %.0f, want %.0f to %.0f", got, c.low, c.high)
			}
			if deaf := len(c.rates) == 0; s.Unreached() != deaf || s.SeekDue(now+time.Second, 1) != deaf {
				t.Errorf("nobody hears the group: %v, want %v", s.Unreached(), deaf)
			}
		})
	}
}

// TestGathering: the stream begins when all have heard two trains; it waits 200 ms for the
// last quarter, and a second for more.
func TestGathering(t *testing.T) {
	for _, c := range []struct {
		name  string
		hear  int // of four receivers
		least time.Duration
		most  time.Duration
	}{
		{"all", 4, firstPause, 50 * time.Millisecond},
		{"three of four", 3, minorityLimit, 250 * time.Millisecond},
		{"half", 2, gatherLimit, 1050 * time.Millisecond},
		{"none", 0, gatherLimit, 1050 * time.Millisecond},
	} {
		s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits})
		now, trains := time.Duration(0), 0
		for begun := false; !begun; now += time.Millisecond {
			switch s.Poll(now, everybody(4)) {
			case SendTrain:
				trains++
				s.Train(now)
				for id := range c.hear {
					s.HandleReport(now, report(wire.ReceiverID(id+1), s.train, 0), true, true)
				}
			case BeginStream:
				begun = true
			}
		}
		if now < c.least || now > c.most || trains > 7 {
			t.Errorf("%s: the stream begins after %v and %d trains, want %v to %v", c.name, now, trains, c.least, c.most)
		}
		if s.Unreached() != (c.hear == 0) {
			t.Errorf("%s: deaf is %v", c.name, s.Unreached())
		}
	}
}

// TestStrangers: what somebody who is no receiver claims to have heard changes nothing.
func TestStrangers(t *testing.T) {
	s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits})
	nobodyElse := everybody(1)
	now := time.Duration(0)
	for ; s.Poll(now, nobodyElse) != BeginStream; now += time.Millisecond {
		s.HandleReport(now, report(99, uint32(now/time.Millisecond)+1, 1e6), true, false)
	}
	if now < gatherLimit || s.InitialRate() != 0 || !s.Unreached() {
		t.Errorf("the stream begins after %v at %.0f, deaf: %v", now, s.InitialRate(), s.Unreached())
	}
	s.HandleReport(now, report(99, 500, 1e6), true, false)
	if !s.Unreached() {
		t.Error("a stranger lets the stream begin")
	}
	s.HandleReport(now, report(1, 500, 1e6), true, true)
	if s.Unreached() {
		t.Error("a receiver that hears the group does not let the stream begin")
	}
}

// TestAskedTrains: a train that is asked for goes out at most four times a second, and is
// short once the stream runs.
func TestAskedTrains(t *testing.T) {
	s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits, Session: 5})
	if _, full := s.Train(time.Second); len(full) != 128*1472 {
		t.Errorf("a train before the stream has %d bytes", len(full))
	}
	asked := wire.ProbeReport{Receiver: 9}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{AskedPause - 1, false}, {AskedPause, true}} {
		if got := s.HandleReport(time.Second+c.after, asked, false, false); got != c.want {
			t.Errorf("%v after a train another one: %v, want %v", c.after, got, c.want)
		}
	}
	for now := time.Duration(0); s.Poll(now, everybody(1)) != BeginStream; now += time.Millisecond {
	}
	small, full := s.Train(3 * time.Second)
	if len(full) != Few*1472 {
		t.Errorf("a train beside the stream has %d bytes", len(full))
	}
	p, err := wire.ParseProbe(small)
	if err != nil || p.Session != 5 || p.Step != StepSmall || p.Clock != 3_000_000 {
		t.Errorf("its small packet: %+v, %v", p, err)
	}
	last, err := wire.ParseProbe(full[len(full)-1472:])
	if err != nil || last.Step != StepFirst || last.Index != Few-1 || last.Train != p.Train {
		t.Errorf("its last packet: %+v, %v", last, err)
	}
	off := NewSender(SenderConfig{Off: true})
	if off.HandleReport(time.Second, asked, false, false) || off.Poll(0, Receivers{}) != BeginStream {
		t.Error("without multicast there are trains")
	}
}
