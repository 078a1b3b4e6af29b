package probe

import (
	"time"

	"multiserver/internal/wire"
)

// maxIndex bounds the packets of a step that are counted.
const maxIndex = 128

// Train is what a receiver has got of one train. The zero value is ready to use.
type Train struct {
	Number uint32
	steps  [Steps]receivedStep
}

// receivedStep is what has arrived of one step.
type receivedStep struct {
	seen        [maxIndex / 64]uint64 // by wire.Probe's Index
	received    uint32
	largest     uint16
	first, last time.Duration
}

// Add takes a probe of this train. One that comes twice counts once.
func (t *Train) Add(now time.Duration, p wire.Probe) {
	if int(p.Step) >= len(t.steps) || p.Index >= maxIndex {
		return
	}
	s := &t.steps[p.Step]
	bit := uint64(1) << (p.Index % 64)
	if s.seen[p.Index/64]&bit != 0 {
		return
	}
	s.seen[p.Index/64] |= bit
	if s.received == 0 {
		s.first = now
	}
	s.received++
	s.last, s.largest = now, max(s.largest, p.Size)
}

// receivedFull reports whether a packet of the session's size arrived.
func (t *Train) receivedFull() bool {
	return t.steps[StepFirst].received+t.steps[StepBurst].received > 0
}

// shape is the train that was sent, as far as known: a short one, unless more has arrived.
func (t *Train) shape(packetSize int) Shape {
	if t.steps[StepFirst].seen[0]>>Few == 0 && t.steps[StepBurst].received == 0 {
		return Short()
	}
	return Full(packetSize)
}

// Judgement is what trains show of the path from the server.
type Judgement struct {
	Sent, Received int  // packets of the trains of which any arrived
	Full           bool // packets of the session's size arrive
	// Bursts is how many were measured, and BitsPerSec the rate of the fastest, on the wire.
	Bursts     int
	BitsPerSec float64
}

// Judge judges the path by trains. packetSize is the payload of the session's packets, and
// wireBytes the size of one on the wire.
func Judge(trains []Train, packetSize, wireBytes int) (j Judgement) {
	for i := range trains {
		t := &trains[i]
		j.Sent += t.shape(packetSize).Packets()
		for _, s := range t.steps {
			j.Received += int(s.received)
			j.Full = j.Full || int(s.largest) >= packetSize
		}
		if s := t.steps[StepBurst]; s.received >= 2 {
			j.Bursts++
			bits := float64(8 * wireBytes * int(s.received-1))
			j.BitsPerSec = max(j.BitsPerSec, bits/max(s.last-s.first, time.Microsecond).Seconds())
		}
	}
	return j
}
