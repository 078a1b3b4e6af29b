package multiserver

import (
	"time"

	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Before the stream begins the data group is probed: that gives switches the time to
// let it through, shows which receivers hear it, whether packets of this size arrive,
// and a first rate.

const (
	// A train is one small packet and a burst of full ones, of which the first are not
	// measured: a switch may let some pass at once. A bottleneck spreads the others, and
	// what fits its queue arrives.
	probeSmall  = 256 // bytes of payload
	probeFirst  = 32  // packets of 1472 bytes; fewer if they are larger
	probeBurst  = 96
	probeFew    = 8 // in place of them if the rate is given, or known, or the stream runs
	stepSmall   = 0
	stepFirst   = 1
	stepBurst   = 2
	probeSteps  = 3
	trainsLeast = 2 // heard by each receiver: one alone may have been held up

	// probeLimit is how long the stream waits for reports, and minorityLimit how long
	// for those of the last quarter. probePause is the first pause between trains, which
	// doubles, and deafPause that while nobody hears the group.
	probeLimit    = time.Second
	minorityLimit = 200 * time.Millisecond
	probePause    = 30 * time.Millisecond
	deafPause     = 500 * time.Millisecond

	// Slower than this a burst takes longer than a busy receiver is late.
	believableBitsPerSec = 350_000_000
	// askedPause is between trains that receivers ask for while there is a stream.
	askedPause = 250 * time.Millisecond
)

// prober is owned by the goroutine of run.
type prober struct {
	over    bool
	deaf    bool // nobody hears the group, as far as known: nothing is sent there
	begun   bool
	begin   time.Duration
	next    time.Duration // when the next train is due
	pause   time.Duration
	train   uint32
	trainAt time.Duration
	heard   map[wire.ReceiverID]*probed
	packet  []byte
}

// probed is what a receiver heard of trains.
type probed struct {
	trains           int
	last             uint32
	slowest, fastest float64 // bits a second, of the bursts; 0 before
	fast             bool    // a burst came at once
}

// probe sends trains until all receivers have heard two, or the time is over, and
// tells whether the stream may begin. If none has heard anything, the group's stream
// waits until one does.
func (s *symbolServer) probe(now time.Duration) bool {
	p := &s.prober
	switch {
	case p.over:
		return true
	case s.cfg.Unicast == UnicastAlways:
		p.over = true
		return true
	case !p.begun:
		if s.unfinished() == 0 {
			return false
		}
		p.begun, p.begin, p.next, p.pause = true, now, now, probePause
	}
	enough := s.probedShare()
	if waited := now - p.begin; enough == 1 || enough >= 0.75 && waited > minorityLimit || waited > probeLimit {
		p.over = true
		p.deaf = len(p.heard) == 0
		s.supposeRate(now)
		p.heard = nil
		return true
	}
	if now >= p.next {
		p.next, p.pause = now+p.pause, 2*p.pause
		s.sendTrain(now)
	}
	return false
}

// sendTrain sends one train to the data group.
func (s *symbolServer) sendTrain(now time.Duration) {
	p := &s.prober
	p.train++
	p.trainAt = now
	probe := wire.Probe{Session: s.session, Train: p.train, Step: stepSmall, Clock: max(1, wire.Clock(now.Microseconds())), Size: probeSmall}
	s.group.say(probe.AppendTo(p.packet[:0]), s.cfg.Log)
	probe.Size = uint16(s.packetSize())
	scale := func(packets int) uint32 { return uint32(max(probeFew, min(packets, packets*1472/s.packetSize()))) }
	steps := []uint32{stepFirst: scale(probeFirst), stepBurst: scale(probeBurst)}
	if s.cfg.RateBitsPerSec != 0 || s.cfg.Delay != 0 || s.rate.limit != 0 || !s.held {
		steps = []uint32{stepFirst: probeFew}
	}
	p.packet = p.packet[:0]
	for step, count := range steps {
		probe.Step = uint16(step)
		for probe.Index = 0; probe.Index < count; probe.Index++ {
			p.packet = probe.AppendTo(p.packet)
		}
	}
	for _, to := range s.group.to {
		if err := to.Send(p.packet, s.packetSize()); err != nil {
			s.cfg.Log.Debug("send probes", "err", err)
		}
	}
}

// hearProbed takes in what a receiver heard. One that heard nothing of a train asks for
// one.
func (s *symbolServer) hearProbed(now time.Duration, r wire.ProbeReport) {
	p := &s.prober
	if r.Steps.Len() == 0 {
		if s.cfg.Unicast != UnicastAlways && (p.trainAt == 0 || now-p.trainAt >= askedPause) {
			s.sendTrain(now)
		}
		return
	}
	if s.streamOf(r.Receiver) == s.group && s.knows(r.Receiver) {
		p.deaf = false
	}
	if p.over || !s.knows(r.Receiver) {
		return
	}
	if p.heard == nil {
		p.heard = map[wire.ReceiverID]*probed{}
	}
	h := p.heard[r.Receiver]
	if h == nil {
		h = &probed{}
		p.heard[r.Receiver] = h
	}
	if r.Train <= h.last {
		return
	}
	h.last = r.Train
	for step := range r.Steps.All() {
		if step.Step == stepFirst {
			h.trains++
		}
		if step.Step != stepBurst || step.Heard < 2 {
			continue
		}
		if step.Span <= 0 {
			h.fast = true
			continue
		}
		bits := float64(8 * udp.PacketWireBytes(s.cfg.Group, s.packetSize()) * int(step.Heard-1))
		rate := bits / step.Span.Seconds()
		h.fastest = max(h.fastest, rate)
		if h.slowest == 0 || rate < h.slowest {
			h.slowest = rate
		}
	}
}

// probedShare is the share of the receivers that have heard enough.
func (s *symbolServer) probedShare() float64 {
	enough := 0
	for id, h := range s.prober.heard {
		if s.knows(id) && h.trains >= trainsLeast {
			enough++
		}
	}
	return float64(enough) / float64(max(1, s.group.engine.Receivers()))
}

// seekHearers goes on sending trains while nobody hears the group.
func (s *symbolServer) seekHearers(now time.Duration) {
	if p := &s.prober; p.deaf && s.group.engine.Receivers() > 0 && now-p.trainAt >= deafPause {
		s.sendTrain(now)
	}
}

// supposeRate begins with the rate that three quarters of the receivers heard the
// bursts at, if that is far less than any link of today.
func (s *symbolServer) supposeRate(now time.Duration) {
	if s.cfg.RateBitsPerSec != 0 || s.cfg.Delay != 0 {
		return
	}
	var slow []*rateSample
	for _, h := range s.prober.heard {
		if !h.fast && h.fastest > 0 && h.fastest < believableBitsPerSec {
			slow = append(slow, &rateSample{delivered: h.slowest})
		}
	}
	if 4*len(slow) < 3*len(s.prober.heard) || len(slow) == 0 {
		return
	}
	s.rate.suppose(now, margin*quantile(slow, 2, func(r *rateSample) float64 { return r.delivered }))
	s.limit.Store(s.rate.limit)
}
