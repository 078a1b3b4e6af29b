package multiserver

import (
	"errors"
	"fmt"
	"time"

	"multiserver/internal/probe"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// probeReportAfter is how long after the last probe of a train it is reported.
	probeReportAfter = 8 * time.Millisecond
	// blindTrains: of so many trains only the small packets came, so that the large ones
	// cannot.
	blindTrains = 3
	// lostBlindly is how many packets of the stream are lost before a train is asked
	// for, and again each trainPause.
	lostBlindly = 256
	trainPause  = 300 * time.Millisecond
)

// probes is what was heard of the trains of probes that the server sends before the
// stream, and when it was asked for.
type probes struct {
	train   uint32
	clock   wire.Clock
	clockAt time.Time
	steps   [probe.Steps]probeStep // by wire.Probe's Step
	told    bool
	// sequence is that of the first heartbeat, and unheard how many packets the sender
	// has sent since.
	sequence, unheard wire.Sequence
	blind             int // trains so far of which only small packets came
}

// probeStep is what was heard of one step.
type probeStep struct {
	seen        [2]uint64 // by Index
	heard       uint32
	largest     uint16
	first, last time.Time
}

// hear takes in a probe.
func (p *probes) hear(now time.Time, q wire.Probe) {
	if q.Train < p.train || int(q.Step) >= len(p.steps) || q.Index >= 128 {
		return
	}
	if q.Train > p.train {
		*p = probes{train: q.Train, blind: p.blind, sequence: p.sequence, unheard: p.unheard}
	}
	s := &p.steps[q.Step]
	if bit := uint64(1) << (q.Index % 64); s.seen[q.Index/64]&bit == 0 {
		s.seen[q.Index/64] |= bit
		if s.heard == 0 {
			s.first = now
		}
		s.heard++
		s.last, s.largest = now, max(s.largest, q.Size)
	}
	p.clock, p.clockAt, p.told = q.Clock, now, false
}

// beat takes in a heartbeat's sequence.
func (p *probes) beat(q wire.Sequence) {
	if p.sequence == 0 || q < p.sequence {
		p.sequence = q
	}
	p.unheard = q - p.sequence
}

// due is how long it is until report has something to say.
func (p *probes) due(now time.Time) time.Duration {
	if p.train == 0 || p.told {
		return time.Hour
	}
	return max(0, probeReportAfter-now.Sub(p.clockAt))
}

// report is what the server is to be told now, if there is anything.
func (p *probes) report(now time.Time) (r wire.ProbeReport, due bool) {
	if p.due(now) > 0 {
		return r, false
	}
	p.told = true
	if p.steps[probe.StepFirst].heard+p.steps[probe.StepBurst].heard > 0 {
		p.blind = 0
	} else {
		p.blind++
	}
	r.Train, r.Clock, r.ClockHeld = p.train, p.clock, now.Sub(p.clockAt)
	for n, s := range p.steps {
		if s.heard > 0 {
			r.Steps = r.Steps.Append(wire.ProbeStep{Step: uint16(n), LargestPacket: s.largest, Heard: s.heard, Span: s.last.Sub(s.first)})
		}
	}
	return r, true
}

// errPacketSize ends a client whose path does not carry the session's packets.
var errPacketSize = errors.New("packets of this size do not arrive")

// lookAtSize fails if small packets arrive and those of the session's size do not. If
// the stream runs without one of it being heard, a train is asked for that shows it.
func (s *symbolClient) lookAtSize() error {
	if s.counts.PacketsReceived > 0 {
		return nil
	}
	if s.probes.blind >= blindTrains {
		return fmt.Errorf("%w: packets of %d bytes from %s, while small ones do: a part of the network, or this host's %s, has a smaller MTU; start the server without --mtu, or raise that MTU",
			errPacketSize, int(s.session.SymbolSize)+wire.SymbolHeaderSize+udp.HeaderBytes(s.cfg.Group), s.found.server, udp.InterfaceName(s.found.ifIndex))
	}
	if s.byUnicast {
		if s.probes.unheard > lostBlindly && time.Since(s.switched) > unicastPatience {
			return fmt.Errorf("%w: packets of %d bytes by unicast from %s, while small ones do: a part of the network has a smaller MTU; start the server without --mtu",
				errPacketSize, int(s.session.SymbolSize)+wire.SymbolHeaderSize+udp.HeaderBytes(s.cfg.Group), s.found.server)
		}
		return nil
	}
	if s.probes.unheard > lostBlindly && time.Since(s.trainAsked) > trainPause {
		s.trainAsked = time.Now()
		s.tell(wire.ProbeReport{Session: s.session.Session, Receiver: s.id}.AppendTo(nil))
	}
	return nil
}
