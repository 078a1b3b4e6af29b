package session

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"multiserver/internal/congestion"
	"multiserver/internal/wire"
)

const (
	// pollInterval is how often the controllers are asked how to go on.
	pollInterval = 10 * time.Millisecond
	// silentTime is how long the reports of a destination may be late before it holds the
	// others by unicast up no longer.
	silentTime = 3 * time.Second
	// trickleInterval is the pause between two packets of a stream that nobody seems to
	// need: a receiver that gets one reports progress, and the stream goes on.
	trickleInterval = time.Second
	// creditTime is how much of its rate a stream may catch up on at once: a queue that keeps
	// to a pace takes less anyway, and the interface's own pace is the lower one otherwise.
	creditTime = 30 * time.Millisecond
	// heldBack: what is sent at less than this share of the rate is held back by something
	// else.
	heldBack = 0.85
)

// destination is a controller and what it is for: all of the group (receiver 0), or one
// receiver by unicast.
type destination struct {
	receiver wire.ReceiverID
	engine   *congestion.Engine
	decision congestion.Decision
	late     bool // its reports have been late since lateAt
	lateAt   time.Duration
}

// silent tells whether nothing but control packets should go there.
func (d *destination) silent(now time.Duration) bool {
	return d.decision.Rate == 0 || d.late && now-d.lateAt > silentTime
}

// control is the congestion control of a stream. By unicast each receiver has a controller
// of its own, and the slowest one's rate holds for all, since all get the same packets.
type control struct {
	cfg          congestion.Config
	unicast      bool
	destinations []*destination

	decision  congestion.Decision
	allowed   float64 // bits that may be composed until the next poll
	unsent    float64 // bits composed that have not come back from the transmitter
	credit    float64 // bits of the rate that may be composed at once
	polledAt  time.Duration
	reported  bool // since the last poll
	trickleAt time.Duration

	sample []wire.ReceiverID // scratch
}

// newControl returns the control of the group's stream, or of one by unicast that has no
// destinations yet.
func newControl(now time.Duration, cfg congestion.Config, unicast bool) control {
	cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	c := control{cfg: cfg, unicast: unicast, polledAt: now - pollInterval}
	if !unicast {
		c.destinations = []*destination{{engine: congestion.New(now, cfg, 0)}}
	}
	return c
}

// add begins with a destination by unicast, behind what was sent before it came.
func (c *control) add(now time.Duration, id wire.ReceiverID, from netip.Addr, sequence wire.Sequence) {
	if c.of(id) == nil {
		c.destinations = append(c.destinations, &destination{
			receiver: id, engine: congestion.New(now, c.cfg, max(sequence, wire.UnicastSequence)),
		})
	}
	c.of(id).Join(now, id, from)
	c.reported = true
}

// of is the controller that a receiver concerns; nil if there is none.
func (c *control) of(id wire.ReceiverID) *congestion.Engine {
	if !c.unicast {
		return c.destinations[0].engine
	}
	for _, d := range c.destinations {
		if d.receiver == id {
			return d.engine
		}
	}
	return nil
}

// join takes note of a receiver that asks for something.
func (c *control) join(now time.Duration, id wire.ReceiverID, from netip.Addr) {
	if e := c.of(id); e != nil {
		e.Join(now, id, from)
		c.reported = true
	}
}

// leave drops a receiver.
func (c *control) leave(id wire.ReceiverID) {
	if !c.unicast {
		c.destinations[0].engine.Leave(id)
		return
	}
	c.destinations = slices.DeleteFunc(c.destinations, func(d *destination) bool { return d.receiver == id })
}

// report takes a receiver's report.
func (c *control) report(now time.Duration, from netip.Addr, r wire.Report) {
	if e := c.of(r.Receiver); e != nil {
		e.HandleReport(now, from, congestion.FromWire(r))
		c.reported = true
	}
}

// rested takes note that there was nothing to send.
func (c *control) rested(now time.Duration) {
	for _, d := range c.destinations {
		d.engine.Rested(now)
	}
}

// composed counts what is handed to the transmitter.
func (c *control) composed(bits float64) {
	c.allowed -= bits
	c.credit -= bits
	c.unsent += bits
}

// sent takes note of what the transmitter has done with something composed.
func (c *control) sent(at time.Duration, sequence wire.Sequence, bits float64, taken bool) {
	c.unsent -= bits
	if !taken {
		return
	}
	for _, d := range c.destinations {
		d.engine.Sent(at, sequence, bits)
	}
}

// poll asks the controllers how to go on if that is due, and tells whether it did.
func (c *control) poll(now time.Duration) bool {
	if !c.reported && now-c.polledAt < pollInterval {
		return false
	}
	since := now - c.polledAt
	c.reported, c.polledAt = false, now
	for _, d := range c.destinations {
		d.decision = d.engine.Poll(now)
		late := d.decision.Reason.Cause == congestion.CauseLate
		if late && !d.late {
			d.lateAt = now
		}
		d.late = late
	}
	c.decision = c.slowest(func(d *destination) bool { return !d.silent(now) })
	if c.decision.Burst == 0 {
		c.decision = c.slowest(func(d *destination) bool { return true })
	}
	c.allowed = max(0, c.decision.Allowed-c.unsent)
	c.credit = min(c.credit+c.decision.Rate*since.Seconds(), c.decision.Rate*creditTime.Seconds()+c.cfg.PacketBits*float64(c.decision.Burst))
	return true
}

// slowest joins the decisions for the destinations that count; its Burst is 0 if there are
// none.
func (c *control) slowest(counts func(*destination) bool) (out congestion.Decision) {
	allowed := math.Inf(1)
	for _, d := range c.destinations {
		if !counts(d) {
			continue
		}
		if out.Burst == 0 || d.decision.Rate < out.Rate {
			out = d.decision
		}
		allowed = min(allowed, d.decision.Allowed)
	}
	if out.Burst > 0 {
		out.Allowed = allowed
	}
	return out
}

// burst is how many packets of the stream may be composed now.
func (c *control) burst(now time.Duration) int {
	switch {
	case c.decision.Burst == 0:
		return 0
	case c.decision.Rate > 0:
		if bits := float64(c.decision.Burst) * c.cfg.PacketBits; c.allowed < bits || c.credit < bits {
			return 0
		}
		return c.decision.Burst
	case now-c.trickleAt < trickleInterval:
		return 0
	}
	c.trickleAt = now
	return 1
}

// pace is the rate that the queue has to keep to beside the server's own, own; 0: none.
// Nobody waits twice for the same rate, nor for one that the interface does not reach: it
// sets the pace itself, and that costs a quarter less CPU.
func (c *control) pace(own uint64) uint64 {
	rate := uint64(c.decision.Rate)
	if c.decision.Reason.Cause == congestion.CauseOwn || own > 0 && rate >= own {
		return 0
	}
	return rate
}

// reporters are the receivers that shall report in time, and how often.
func (c *control) reporters(now time.Duration) (ids []wire.ReceiverID, interval time.Duration) {
	c.sample = c.sample[:0]
	for _, d := range c.destinations {
		var each time.Duration
		c.sample, each = d.engine.Sample(now, c.sample)
		if interval == 0 || each < interval {
			interval = each
		}
	}
	return c.sample, interval
}

// shown is the rate and its reason in words, if that is what holds back a stream of which
// so much is sent.
func (c *control) shown(bitsPerSec float64) (limit uint64, reason string) {
	d := &c.decision
	switch d.Reason.Cause {
	case congestion.CauseStart, congestion.CauseOwn:
		return 0, ""
	case congestion.CauseIdle:
		return 0, d.Reason.String()
	case congestion.CauseBudget, congestion.CauseLate:
	default:
		if bitsPerSec < heldBack*d.Rate {
			return 0, ""
		}
	}
	return uint64(d.Rate), d.Reason.String()
}
