package receiver

import (
	"time"

	"multiserver/internal/wire"
)

// sample is whether the sender wants reports in time, for its rate.
type sample struct {
	interval time.Duration
	until    time.Duration // without another heartbeat that names the receiver

	newestAt time.Duration // when the stream's newest packet came
}

// arrived records a packet that came.
func (e *Engine) arrived(now time.Duration, q wire.Sequence) {
	e.inStream, e.heard = now, now
	if q > e.stream.newest {
		e.sample.newestAt = now
	}
}

// follow takes a heartbeat's sample. Each heartbeat has all of it: one that names others
// ends this receiver's part in it.
func (s *sample) follow(now time.Duration, id wire.ReceiverID, of *wire.Sample) {
	switch {
	case of.Interval == 0:
	case of.Has(id):
		s.interval, s.until = max(of.Interval, minSampleInterval), now+sampleMemory
	default:
		s.until = now
	}
}

// reportInterval is how often to report.
func (e *Engine) reportInterval(now time.Duration) time.Duration {
	if now < e.sample.until {
		return min(e.sample.interval, e.session.ReportInterval)
	}
	return e.session.ReportInterval
}

// arrival says when the newest packet came.
func (e *Engine) arrival(now time.Duration) (a wire.Arrival, ok bool) {
	if e.stream.first == 0 {
		return a, false
	}
	return wire.Arrival{
		Behind: uint32(min(e.stream.seen()-e.stream.newest, 1<<32-1)),
		Clock:  wire.Clock(e.sample.newestAt.Microseconds()),
		Age:    now - e.sample.newestAt,
	}, true
}
