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

// TestArrived: a burst shows a rate if it arrives slower than links of today are.
func TestArrived(t *testing.T) {
	for _, c := range []struct {
		name      string
		rate      float64 // at which the burst arrives; 0: at once
		paced     bool
		low, high float64
	}{
		{name: "at once"},
		{name: "behind a slow link", rate: 100e6, low: 99e6, high: 101e6},
		{name: "faster than can be measured", rate: 900e6},
		{name: "the rate is given", rate: 100e6, paced: true},
	} {
		s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits, Paced: c.paced})
		if got, ok := s.Arrived(report(1, 1, c.rate)); !ok || got < c.low || got > c.high {
			t.Errorf("%s: %.0f, %v, want %.0f to %.0f", c.name, got, ok, c.low, c.high)
		}
	}
	s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits})
	small := wire.ProbeReport{Receiver: 1, Train: 1}
	small.Steps = small.Steps.Append(wire.ProbeStep{Step: StepFirst, LargestPacket: 1472, Received: Few})
	if _, ok := s.Arrived(small); ok {
		t.Error("a train without a burst shows a rate")
	}
}

// TestSecondTrain: a second train is sent only where the burst of the first was spread on
// the path, not where it arrives as the own interface took it.
func TestSecondTrain(t *testing.T) {
	for _, c := range []struct {
		name        string
		rate, taken float64
		want        uint32
	}{
		{"at once", 0, 0, 1},
		{"spread", 50e6, 0, 2},
		{"spread behind a faster link of one's own", 50e6, 100e6, 2},
		{"as it was taken", 97e6, 100e6, 1},
		{"so slow that another one costs too much", 5e6, 0, 1},
	} {
		s := NewSender(SenderConfig{PacketSize: 1472, PacketBits: packetBits})
		for now := time.Duration(0); ; now += time.Millisecond {
			action := s.Poll(now, everybody(2))
			if action == SendTrain {
				if small, full := s.Train(now); len(small) != SmallBytes || len(full)%1472 != 0 {
					t.Fatalf("a train of %d and %d bytes", len(small), len(full))
				}
				s.Taken(c.taken)
				for id := range 2 {
					s.HandleReport(now, report(wire.ReceiverID(id+1), s.train, c.rate), true, true)
				}
			}
			if action == BeginStream {
				break
			}
		}
		if s.train != c.want || s.Unreached() {
			t.Errorf("%s: %d trains, deaf: %v", c.name, s.train, s.Unreached())
		}
	}
}

// TestGathering: the stream begins when all have reported a train; it waits 200 ms for the
// last quarter, and a second for more. While nobody hears the group, trains go on.
func TestGathering(t *testing.T) {
	for _, c := range []struct {
		name  string
		hear  int // of four receivers
		least time.Duration
		most  time.Duration
	}{
		{"all", 4, 0, 5 * time.Millisecond},
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
		if now < c.least || now > c.most || trains > 3 {
			t.Errorf("%s: the stream begins after %v and %d trains, want %v to %v", c.name, now, trains, c.least, c.most)
		}
		if deaf := c.hear == 0; s.Unreached() != deaf || s.SeekDue(now+time.Second, 1) != deaf {
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
	if now < gatherLimit || !s.Unreached() {
		t.Errorf("the stream begins after %v, deaf: %v", now, s.Unreached())
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
