package probe

import (
	"time"

	"multiserver/internal/wire"
)

const (
	// reportAfter is how long after the last probe of a train it is reported.
	reportAfter = 8 * time.Millisecond
	// blindTrains: if only the small packets of so many trains in a row arrived, large ones
	// cannot.
	blindTrains = 3
	// blindPackets is how many packets of the stream are lost before a train is asked for,
	// and again after each trainPause.
	blindPackets = 256
	trainPause   = 300 * time.Millisecond
	// unicastTimeout is how long a unicast stream may take until a packet of the session's
	// size arrives.
	unicastTimeout = 5 * time.Second
	// idle is the time to the next look while nothing is expected.
	idle = time.Hour
)

// Observer is a receiver's side: it watches and reports trains, and decides whether packets of
// the session's size can arrive. The zero value is ready to use.
type Observer struct {
	train    Train
	clock    wire.Clock // of the latest probe
	clockAt  time.Duration
	reported bool
	blind    int // trains in a row whose small packets alone arrived

	// first is the sequence of the first heartbeat, and sent how many packets the sender has
	// sent since.
	first, sent wire.Sequence
	asked       bool // for a train, at askedAt
	askedAt     time.Duration
}

// HandleProbe takes a probe.
func (o *Observer) HandleProbe(now time.Duration, p wire.Probe) {
	if p.Train < o.train.Number || int(p.Step) >= Steps || p.Index >= maxIndex {
		return
	}
	if p.Train > o.train.Number {
		o.train = Train{Number: p.Train}
	}
	o.train.Add(now, p)
	o.clock, o.clockAt, o.reported = p.Clock, now, false
}

// HandleSequence takes the sequence of a heartbeat.
func (o *Observer) HandleSequence(q wire.Sequence) {
	if o.first == 0 || q < o.first {
		o.first = q
	}
	o.sent = q - o.first
}

// Due is how long it is until Report returns a report.
func (o *Observer) Due(now time.Duration) time.Duration {
	if o.train.Number == 0 || o.reported {
		return idle
	}
	return max(0, reportAfter-(now-o.clockAt))
}

// Report returns the report to be sent now, if one is due. The caller fills in Session and
// Receiver.
func (o *Observer) Report(now time.Duration) (r wire.ProbeReport, due bool) {
	if o.Due(now) > 0 {
		return r, false
	}
	o.reported = true
	if o.train.receivedFull() {
		o.blind = 0
	} else {
		o.blind++
	}
	r.Train, r.Clock, r.ClockHeld = o.train.Number, o.clock, now-o.clockAt
	for n, s := range o.train.steps {
		if s.received > 0 {
			r.Steps = r.Steps.Append(wire.ProbeStep{Step: uint16(n), LargestPacket: s.largest, Received: s.received, Span: s.last - s.first})
		}
	}
	return r, true
}

// SizeVerdict reports whether packets of the session's size arrive, while no symbol has come.
type SizeVerdict int

// The verdicts.
const (
	SizeUnknown    SizeVerdict = iota
	AskForTrain                // the stream runs but does not arrive: a train would show why
	SizeTooLarge               // packets of the session's size do not arrive, small ones do
	UnicastTooLong             // the same, of a stream by unicast
)

// Size judges the session's packet size while no symbol has come. unicast says that the stream
// comes by unicast, and since for how long.
func (o *Observer) Size(now time.Duration, unicast bool, since time.Duration) SizeVerdict {
	switch {
	case o.blind >= blindTrains:
		return SizeTooLarge
	case o.sent <= blindPackets:
	case unicast && since > unicastTimeout:
		return UnicastTooLong
	case unicast:
	case !o.asked || now-o.askedAt > trainPause:
		o.asked, o.askedAt = true, now
		return AskForTrain
	}
	return SizeUnknown
}
