package probe

import (
	"time"

	"multiserver/internal/wire"
)

const (
	// spreadTrains are heard by each receiver before the stream begins if the burst of the
	// first one was spread: one alone may have been held up.
	spreadTrains = 2
	// spread: a burst that arrives at less than this share of what the own interface took
	// was spread on the path.
	spread = 0.8
	// slowPath: what arrives at this rate or less, in bits a second, needs no second train,
	// which would take the path 160 ms or longer: a stream without probes begins as slowly.
	slowPath = 10_000_000
	// gatherLimit is how long the stream waits for reports, and minorityLimit how long for
	// those of the last quarter of the receivers.
	gatherLimit   = time.Second
	minorityLimit = 200 * time.Millisecond
	// firstPause is the first pause between trains that nobody reports, which doubles: a
	// train takes 315 ms at 5 Mbit/s, and those behind it would fill the path's queue.
	// seekPause is that while nobody hears the group.
	firstPause = 400 * time.Millisecond
	seekPause  = 500 * time.Millisecond
	// believableBitsPerSec: slower than this a burst takes longer than a busy receiver is
	// late.
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

// Sender decides when trains go out and when the stream may begin. Make it by NewSender.
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
	taken     float64 // bits a second at which the own interface took the last train; 0: unknown
	packets   []byte  // of the last train
}

// trainReports is what a receiver has reported of trains.
type trainReports struct {
	trains int
	last   uint32
	spread bool // each burst was
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
// Trains go out until all have heard enough, or the time is over: one that is not spread, or
// two.
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
		s.reports = nil
		return BeginStream
	}
	if now < s.next && !s.reported(r) {
		return Wait
	}
	s.next, s.pause = now+s.pause, 2*s.pause
	return SendTrain
}

// share is the share of the group's receivers that have got enough trains.
func (s *Sender) share(r Receivers) float64 {
	enough := 0
	for id, h := range s.reports {
		if r.Knows(id) && (h.trains > 0 && !h.spread || h.trains >= spreadTrains) {
			enough++
		}
	}
	return float64(enough) / float64(max(1, r.Multicast))
}

// reported tells whether all of the group's receivers have reported the last train.
func (s *Sender) reported(r Receivers) bool {
	n := 0
	for id, h := range s.reports {
		if r.Knows(id) && h.last == s.train {
			n++
		}
	}
	return n > 0 && n >= r.Multicast
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
	}
	rate, measured := s.Arrived(r)
	h.spread = measured && rate > slowPath && (s.taken == 0 || rate < spread*s.taken)
	return false
}

// Forget drops what a receiver has reported: it was a stranger's.
func (s *Sender) Forget(id wire.ReceiverID) { delete(s.reports, id) }

// Taken records at what rate, in bits a second, the own interface took the last train; 0 if
// at once, or if that is not known.
func (s *Sender) Taken(bitsPerSec float64) { s.taken = bitsPerSec }

// LastTaken is what Taken was told.
func (s *Sender) LastTaken() float64 { return s.taken }

// Arrived is the rate, in bits a second, at which a train's burst arrived at a receiver; 0 if
// that is no slower than any link of today. ok is false if the report has no burst. Where
// the rate is given, no burst is sent, and a train that arrives counts as one at once.
func (s *Sender) Arrived(r wire.ProbeReport) (bitsPerSec float64, ok bool) {
	for step := range r.Steps.All() {
		switch {
		case step.Step == StepFirst && s.cfg.Paced:
			return 0, true
		case step.Step != StepBurst || step.Received < 2:
			continue
		case step.Span <= 0:
			return 0, true
		}
		rate := s.cfg.PacketBits * float64(step.Received-1) / step.Span.Seconds()
		if rate >= believableBitsPerSec {
			rate = 0
		}
		return rate, true
	}
	return 0, false
}

// Unreached reports that the group reaches no receiver, as far as known: no stream should go
// there.
func (s *Sender) Unreached() bool { return s.unreached }

// Reached records that a receiver of the group's stream got packets of it.
func (s *Sender) Reached() { s.unreached = false }

// SeekDue reports whether another train is due because the group reaches no receiver.
func (s *Sender) SeekDue(now time.Duration, multicastReceivers int) bool {
	return s.unreached && multicastReceivers > 0 && now-s.trainAt >= seekPause
}
