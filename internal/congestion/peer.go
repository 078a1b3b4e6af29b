package congestion

import (
	"net/netip"
	"time"

	"multiserver/internal/wire"
)

// Report is what a receiver says of itself, as far as the rate is concerned. FromWire
// makes one.
type Report struct {
	Receiver wire.ReceiverID
	Number   uint32
	// Newest is the newest packet of the stream that has come. Timed: it came at Arrived
	// of the receiver's own clock, and Age before the report was sent. A receiver that does not say so
	// is judged without its delay, by when its reports arrive.
	Newest   wire.Sequence
	Timed    bool
	Arrived  uint32 // microseconds
	Age      time.Duration
	Clock    wire.Clock
	Held     time.Duration
	Counts   wire.PacketCounts
	Done     uint32 // blocks on the target
	Backlog  uint32
	Room     uint32
	Bound    bool // its target or its machine holds its window
	Needs    bool // it asks for something, or is in a phase of its own
	Finished bool // it has all, and is busy with its target
}

// mark is a receiver's state at one report.
type mark struct {
	newest   uint64
	arrived  time.Duration
	sent     time.Duration // when newest was
	received uint64
	dropped  uint64
}

// peer is a receiver that takes the stream.
type peer struct {
	id       wire.ReceiverID
	addr     netip.Addr
	order    uint64
	came     time.Duration
	number   uint32
	reported bool
	at       time.Duration // of the last report
	gap      time.Duration // between reports, smoothed
	progress time.Duration // when it last had received more
	left     bool
	leftAt   time.Duration
	finished bool
	share    float64 // of packets lost, since it came

	timed   bool
	clock   uint32
	arrived time.Duration // clock, unwrapped
	age     time.Duration
	last    mark
	base    base          // of the delay
	queue   time.Duration // delay above base
	recent  time.Duration // the smaller one of the last two
	trip    time.Duration // smallest round trip seen; 0 before

	epoch      uint32        // of first
	first      mark          // at the beginning of the round
	least      time.Duration // smallest queue in the round
	firstQueue time.Duration
	long       mark // at the beginning of the epoch
	ready      bool

	history history
	bursts  bursts
	target  target
}

// base is the smallest delay of baseSpan, in two halves.
type base struct {
	now, before time.Duration
	since       time.Duration
	known       bool
}

func (b *base) add(now, delay time.Duration) time.Duration {
	switch {
	case !b.known:
		*b = base{now: delay, before: delay, since: now, known: true}
	case now > b.since+baseSpan/2:
		b.before, b.now, b.since = b.now, delay, now
	default:
		b.now = min(b.now, delay)
	}
	return max(0, delay-min(b.now, b.before))
}

// HandleReport takes a report of a receiver that takes the stream, from an address.
func (e *Engine) HandleReport(now time.Duration, from netip.Addr, r Report) {
	p := e.join(now, r.Receiver, from)
	if p == nil || p.reported && r.Number <= p.number {
		return
	}
	if uint64(r.Newest) > e.sent.last {
		return // of nothing that was sent
	}
	if p.reported {
		gap := min(now-p.at, 4*time.Second)
		if p.gap == 0 {
			p.gap = gap
		}
		p.gap += (gap - p.gap) / 8
	}
	grew := r.Counts.Received > p.last.received || !p.reported
	if r.Counts.Received < p.last.received {
		p.epoch, p.ready = 0, false
	}
	p.number, p.reported, p.at, p.finished = r.Number, true, now, r.Finished
	if grew {
		p.progress = now
	}
	if r.Needs || grew || r.Finished || r.Done > p.target.done {
		e.Needed(now)
	}
	if all := float64(r.Counts.Received + r.Counts.Lost + r.Counts.Dropped); all > 0 {
		p.share = 1 - float64(r.Counts.Received)/all
	}
	p.history.add(now, r.Counts.Received)
	p.target.report(now, r)
	if r.Clock != 0 {
		trip := time.Duration(uint32(now.Microseconds())-uint32(r.Clock))*time.Microsecond - r.Held
		if trip >= 0 && trip < time.Minute && (p.trip == 0 || trip < p.trip) {
			p.trip = trip
		}
	}
	e.locate(now, p, r)
	e.judge(now)
}

// locate finds out which packets the report speaks of, and begins a round with it.
func (e *Engine) locate(now time.Duration, p *peer, r Report) {
	m := mark{newest: uint64(r.Newest), received: r.Counts.Received, dropped: r.Counts.Dropped}
	p.timed, p.age = r.Timed, r.Age
	if r.Timed {
		p.arrived += time.Duration(int32(r.Arrived-p.clock)) * time.Microsecond
		p.clock = r.Arrived
	} else {
		p.arrived = now
	}
	m.arrived = p.arrived
	sent, ok := e.sent.timeOf(m.newest)
	if !ok || m.newest <= e.origin {
		p.last = m
		return
	}
	m.sent = sent
	advanced := m.newest > p.last.newest
	if advanced && p.last.newest > e.origin {
		packets := float64(m.newest - p.last.newest)
		p.bursts.add(packets, packets-float64(m.received-p.last.received))
	}
	p.last = m
	recent := p.queue
	if p.timed {
		if advanced {
			p.queue = p.base.add(now, m.arrived-m.sent)
		} else if outstanding := e.sent.last - m.newest; outstanding > 0 && p.age > 0 {
			// Nothing came: what was sent since waits at least so long.
			if next, ok := e.sent.timeOf(m.newest + 1); ok {
				p.queue = max(p.queue, p.age-max(0, next-m.sent))
			}
		}
	}
	p.recent = min(recent, p.queue)
	switch {
	case m.newest < e.epochFrom:
	case p.epoch != e.epoch:
		p.epoch, p.first, p.long, p.least, p.firstQueue, p.ready = e.epoch, m, m, p.queue, p.queue, false
	default:
		p.least = min(p.least, p.queue)
		p.ready = true
	}
}

// late tells whether a receiver's reports should have come.
func (p *peer) late(now time.Duration) bool {
	return now-p.at > max(lateTime, lateGaps*p.gap)
}

// gone tells whether a receiver stops counting.
func (p *peer) gone(now time.Duration) bool {
	return now-p.at > max(goneTime, goneGaps*p.gap)
}
