package probe

import (
	"slices"
	"time"

	"multiserver/internal/wire"
)

const (
	// trainsLeast is how many trains each receiver gets before the stream begins: a single
	// one may have been delayed.
	trainsLeast = 2
	// gatherLimit is how long the stream waits for reports, and minorityLimit how long it
	// waits for the last quarter of the receivers.
	gatherLimit   = time.Second
	minorityLimit = 200 * time.Millisecond
	// firstPause is the first pause between trains; it doubles. seekPause is the pause while
	// the group reaches no receiver.
	firstPause = 30 * time.Millisecond
	seekPause  = 500 * time.Millisecond
	// believableBitsPerSec: a burst at a lower rate takes longer than a busy receiver is late,
	// so that its measure counts.
	believableBitsPerSec = 350_000_000
)

// AskedPause is how long after a train a receiver that asks for one gets another.
const AskedPause = 250 * time.Millisecond

// SenderConfig says what a Sender probes for.
type SenderConfig struct {
	Session    wire.SessionID
	PacketSize int     // bytes of the session's packets
	PacketBits float64 // of such a packet on the wire
	// Paced: the rate is given, so that none has to be found.
	Paced bool
	// Off: nothing goes to the group, and the stream may begin at once.
	Off bool
}

// Sender decides when trains go out, when the stream may begin, and at what rate. Make it
// by NewSender.
type Sender struct {
	cfg       SenderConfig
	over      bool // the stream has begun
	unreached bool
	begun     bool
	began     time.Duration
	next      time.Duration // when the next train is due
	pause     time.Duration
	train     uint32        // the last one's number
	trainAt   time.Duration // when it was sent
	reports   map[wire.ReceiverID]*trainReports
	initial   float64 // bits a second
	packets   []byte  // of the last train
}

// trainReports is what a receiver has reported of trains.
type trainReports struct {
	trains           int
	last             uint32
	slowest, fastest float64 // bits a second, of the bursts; 0 before
	fast             bool    // a burst came at once
}

// NewSender returns a Sender that has sent nothing.
func NewSender(cfg SenderConfig) *Sender {
	return &Sender{cfg: cfg, reports: map[wire.ReceiverID]*trainReports{}}
}

// Action is what a driver has to do before the stream.
type Action int

// The actions.
const (
	Wait        Action = iota // and Poll again
	SendTrain                 // now
	BeginStream               // probing is over
)

// Receivers describes a session's receivers.
type Receivers struct {
	Unfinished int // of both streams
	Multicast  int // of the group's stream only
	// Knows reports whether a receiver is unfinished and sent something lately.
	Knows func(wire.ReceiverID) bool
}

// Poll decides what to do now, once the receivers that the stream waits for have come.
// Trains go out until every receiver has got two, or the time is over.
func (s *Sender) Poll(now time.Duration, r Receivers) Action {
	switch {
	case s.over:
		return BeginStream
	case s.cfg.Off:
		s.over = true
		return BeginStream
	case !s.begun:
		if r.Unfinished == 0 {
			return Wait
		}
		s.begun, s.began, s.next, s.pause = true, now, now, firstPause
	}
	enough := s.share(r)
	if waited := now - s.began; enough == 1 || enough >= 0.75 && waited > minorityLimit || waited > gatherLimit {
		s.over, s.unreached = true, len(s.reports) == 0
		s.initial = s.judge()
		s.reports = nil
		return BeginStream
	}
	if now < s.next {
		return Wait
	}
	s.next, s.pause = now+s.pause, 2*s.pause
	return SendTrain
}

// share is the share of the group's receivers that have got enough trains.
func (s *Sender) share(r Receivers) float64 {
	enough := 0
	for id, h := range s.reports {
		if r.Knows(id) && h.trains >= trainsLeast {
			enough++
		}
	}
	return float64(enough) / float64(max(1, r.Multicast))
}

// Train begins a train and returns its packets, until the next call: the small one, and the
// full ones, one after the other.
func (s *Sender) Train(now time.Duration) (small, full []byte) {
	s.train++
	s.trainAt = now
	shape := Full(s.cfg.PacketSize)
	if s.cfg.Paced || s.over {
		shape = Short()
	}
	p := wire.Probe{
		Session: s.cfg.Session, Train: s.train, Step: StepSmall,
		Clock: max(1, wire.Clock(now.Microseconds())), Size: SmallBytes,
	}
	dst := p.AppendTo(s.packets[:0])
	p.Size = uint16(s.cfg.PacketSize)
	for step := StepFirst; step < Steps; step++ {
		p.Step = uint16(step)
		for n := range shape[step] {
			p.Index = uint32(n)
			dst = p.AppendTo(dst)
		}
	}
	s.packets = dst
	return dst[:SmallBytes], dst[SmallBytes:]
}

// HandleReport handles a receiver's report of a train. It returns true if a train has to be
// sent: a receiver that has got none asks for one. multicast says that it is a known receiver of
// the group's stream, known that it is one of either stream.
func (s *Sender) HandleReport(now time.Duration, r wire.ProbeReport, multicast, known bool) (train bool) {
	if r.Steps.Len() == 0 {
		return !s.cfg.Off && (s.trainAt == 0 || now-s.trainAt >= AskedPause)
	}
	if multicast && known {
		s.unreached = false
	}
	if s.over || !known {
		return false
	}
	h := s.reports[r.Receiver]
	if h == nil {
		h = &trainReports{}
		s.reports[r.Receiver] = h
	}
	if r.Train <= h.last {
		return false
	}
	h.last = r.Train
	for step := range r.Steps.All() {
		if step.Step == StepFirst {
			h.trains++
		}
		if step.Step != StepBurst || step.Received < 2 {
			continue
		}
		if step.Span <= 0 {
			h.fast = true
			continue
		}
		rate := s.cfg.PacketBits * float64(step.Received-1) / step.Span.Seconds()
		h.fastest = max(h.fastest, rate)
		if h.slowest == 0 || rate < h.slowest {
			h.slowest = rate
		}
	}
	return false
}

// judge returns the rate at which the bursts reached three quarters of the receivers, if that is
// far less than any link of today; else 0.
func (s *Sender) judge() float64 {
	if s.cfg.Paced {
		return 0
	}
	var slow []float64
	for _, h := range s.reports {
		if !h.fast && h.fastest > 0 && h.fastest < believableBitsPerSec {
			slow = append(slow, h.slowest)
		}
	}
	if 4*len(slow) < 3*len(s.reports) || len(slow) == 0 {
		return 0
	}
	slices.Sort(slow)
	return slow[len(slow)/2]
}

// InitialRate is the rate at which the bursts arrived, in bits a second; 0 if that is no slower
// than any link of today. It is known once Poll has returned BeginStream.
func (s *Sender) InitialRate() float64 { return s.initial }

// Unreached reports that the group reaches no receiver, as far as known: no stream should go
// there.
func (s *Sender) Unreached() bool { return s.unreached }

// Reached records that a receiver of the group's stream got packets of it.
func (s *Sender) Reached() { s.unreached = false }

// SeekDue reports whether another train is due because the group reaches no receiver.
func (s *Sender) SeekDue(now time.Duration, multicastReceivers int) bool {
	return s.unreached && multicastReceivers > 0 && now-s.trainAt >= seekPause
}
