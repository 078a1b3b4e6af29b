package probe

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

const start = 1000 * time.Second

// addTrain lets o hear one train: its small packet, and as many full ones as are given, a
// millisecond apart.
func (o *Observer) addTrain(number uint32, at time.Duration, full int) {
	o.HandleProbe(at, wire.Probe{Train: number, Step: StepSmall, Size: SmallBytes, Clock: 7})
	for i := range full {
		o.HandleProbe(at+time.Duration(i)*time.Millisecond, wire.Probe{Train: number, Step: StepBurst, Index: uint32(i), Size: 1472, Clock: 7})
	}
}

func TestReportedOnce(t *testing.T) {
	var o Observer
	if _, due := o.Report(start); due {
		t.Error("a report is due before anything was heard")
	}
	o.addTrain(1, start, 5)
	last := start + 4*time.Millisecond
	o.HandleProbe(last, wire.Probe{Train: 1, Step: StepBurst, Index: 2, Size: 1472, Clock: 7}) // doubled
	if _, due := o.Report(last + reportAfter - 1); due {
		t.Error("a report is due while the train may go on")
	}
	r, due := o.Report(last + reportAfter)
	if !due || r.Train != 1 || r.Clock != 7 || r.ClockHeld != reportAfter || r.Steps.Len() != 2 {
		t.Fatalf("the report is %+v, due %v", r, due)
	}
	if s := r.Steps.At(1); s.Step != StepBurst || s.Received != 5 || s.LargestPacket != 1472 || s.Span != 4*time.Millisecond {
		t.Errorf("of the burst it reports %+v", s)
	}
	if _, due := o.Report(last + time.Second); due {
		t.Error("it is reported twice")
	}
	o.addTrain(2, last, 0)
	o.HandleProbe(last, wire.Probe{Train: 1, Step: StepBurst, Index: 9, Size: 1472}) // of the train before
	if r, due := o.Report(last + reportAfter); !due || r.Train != 2 || r.Steps.Len() != 1 {
		t.Errorf("the second train's report is %+v, due %v", r, due)
	}
}

// TestBlindTrains: only trains in a row of which nothing but small packets came tell of a
// path for small packets.
func TestBlindTrains(t *testing.T) {
	now := start
	var o Observer
	for i, full := range []int{0, 0, 1, 0, 0, 0} {
		o.addTrain(uint32(i+1), now, full)
		now += time.Second
		o.Report(now)
		want := SizeUnknown
		if i == 5 {
			want = SizeTooLarge
		}
		if got := o.Size(now, false, 0); got != want {
			t.Errorf("after train %d: %v, want %v", i+1, got, want)
		}
	}
}

// TestSequencesLost counts what the sender sent since the first heartbeat, and begins anew with
// a sender's.
func TestSequencesLost(t *testing.T) {
	var o Observer
	for _, c := range []struct{ beat, want wire.Sequence }{{100, 0}, {400, 300}, {7, 0}, {10, 3}} {
		if o.HandleSequence(c.beat); o.sent != c.want {
			t.Errorf("after %d: %d sent, want %d", c.beat, o.sent, c.want)
		}
	}
}

// TestSize: a stream of which nothing comes is asked for trains; by unicast there are none.
func TestSize(t *testing.T) {
	for _, c := range []struct {
		name    string
		sent    wire.Sequence
		unicast bool
		since   time.Duration
		want    []SizeVerdict // each 200 ms
	}{
		{"the stream has just begun", blindPackets, false, 0, []SizeVerdict{SizeUnknown, SizeUnknown}},
		{"nothing of it comes", blindPackets + 1, false, 0, []SizeVerdict{AskForTrain, SizeUnknown, AskForTrain, SizeUnknown}},
		{"by unicast, as yet", blindPackets + 1, true, unicastTimeout, []SizeVerdict{SizeUnknown}},
		{"by unicast", blindPackets + 1, true, unicastTimeout + 1, []SizeVerdict{UnicastTooLong}},
	} {
		var o Observer
		o.HandleSequence(1)
		o.HandleSequence(1 + c.sent)
		for i, want := range c.want {
			if got := o.Size(time.Duration(i)*200*time.Millisecond, c.unicast, c.since); got != want {
				t.Errorf("%s: after %d ms %v, want %v", c.name, i*200, got, want)
			}
		}
	}
}

// TestJudge: what arrived is counted against what was sent for that packet size.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name         string
		packetSize   int
		sent         Shape
		lost         int // of the burst, or of the first step if there is none
		wantLost     int
		wantOf       int
		wantMeasured bool
	}{
		{"all of 1500", 1472, Full(1472), 0, 0, 129, true},
		{"a third of the burst", 1472, Full(1472), 32, 32, 129, true},
		{"all of 9000", 8972, Full(8972), 0, 0, 24, true},
		{"some of 9000", 8972, Full(8972), 3, 3, 24, true},
		{"a short train", 1472, Short(), 0, 0, 9, false},
		{"a short train of 9000", 8972, Short(), 1, 1, 9, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var train Train
			now := start
			for step, count := range c.sent {
				size := uint16(c.packetSize)
				if step == StepSmall {
					size = SmallBytes
				}
				if step == StepBurst || step == StepFirst && c.sent[StepBurst] == 0 {
					count -= c.lost
				}
				for i := range count {
					now += 100 * time.Microsecond
					train.Add(now, wire.Probe{Train: 1, Step: uint16(step), Index: uint32(i), Size: size})
					train.Add(now, wire.Probe{Train: 1, Step: uint16(step), Index: uint32(i), Size: size}) // doubled
				}
			}
			j := Judge([]Train{train}, c.packetSize, 1000)
			if j.Sent-j.Received != c.wantLost || j.Sent != c.wantOf || !j.Full {
				t.Errorf("it judges %+v, want %d of %d lost", j, c.wantLost, c.wantOf)
			}
			if measured := j.Bursts > 0; measured != c.wantMeasured || measured && (j.BitsPerSec < 79e6 || j.BitsPerSec > 81e6) {
				t.Errorf("the rate is %.0f from %d bursts", j.BitsPerSec, j.Bursts)
			}
		})
	}
}

// TestJudgeSmallOnly: packets of the session's size did not arrive.
func TestJudgeSmallOnly(t *testing.T) {
	var train Train
	train.Add(start, wire.Probe{Train: 1, Step: StepSmall, Size: SmallBytes})
	if j := Judge([]Train{train}, 1472, 1538); j.Full || j.Received != 1 || j.Sent != 9 {
		t.Errorf("it judges %+v", j)
	}
}
