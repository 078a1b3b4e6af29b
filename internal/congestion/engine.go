package congestion

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"multiserver/internal/wire"
)

// Config is a stream.
type Config struct {
	PacketBits float64 // of a packet of the stream on the wire
	BlockBits  float64 // of the source symbols of a block on the wire
	PacketSize int     // payload of a packet, for bursts; 0: no bound by its size
	Ceiling    float64 // bits a second; 0: none
	Rand       *rand.Rand
}

// Decision is how a stream goes on.
type Decision struct {
	Rate    float64 // bits a second on the wire; 0: nothing is sent
	Burst   int     // packets
	Allowed float64 // bits until Poll is called again
	Reason  Reason
}

// mode is what the controller is about to find out.
type mode uint8

const (
	starting mode = iota // the rate doubles
	cruising
	draining // a queue empties
	proving  // half the rate, to compare the loss
	sharing  // with another flow
)

const (
	never     = time.Duration(1<<63 - 1)
	unbounded = 1e15
)

// Engine is the controller of one stream. Times are since an origin of the driver's
// choice.
type Engine struct {
	cfg   Config
	now   time.Duration // of the last call that decides
	peers []*peer       // in the order of joining
	byID  map[wire.ReceiverID]*peer
	order uint64

	sample   sample
	departed []*peer // of the sample, that left in the last budgetTime
	counting []vote
	votes    []vote
	voices   []*peer
	byAddr   map[netip.Addr]int // index
	inSample []*peer
	values   []weighted
	medians  []float64

	sent     transmissions
	origin   uint64
	begun    bool
	began    time.Duration
	lastSent time.Duration
	proven   float64

	mode      mode
	after     mode // proving or draining
	rate      float64
	reason    Reason
	epoch     uint32
	epochFrom uint64 // the first packet sent after the last change
	epochAt   time.Duration

	probes  map[wire.ReceiverID]float64
	probed  float64 // what three quarters of the probes showed at most; 0: nothing
	target  float64 // rate that the start heads for gently; 0: unknown
	prior   round   // at another rate
	priorOK bool
	random  random

	drainEnd time.Duration
	drains   int // in a row

	raised     bool
	before     float64 // rate before it was raised
	step       int
	growAt     time.Duration
	growthWait time.Duration

	neighbour neighbour

	doubtAt  time.Duration
	doubted  bool
	targets  float64 // limit for targets; 0: none
	targetAt time.Duration
	written  float64

	restedAt time.Duration // when last something else than the own interface held the stream up
	neededAt time.Duration
	idle     bool
}

// random is the loss that does not depend on the rate.
type random struct {
	share  float64
	proofs int
	at     time.Duration
}

// New returns the controller of a stream that begins behind sequence number origin.
func New(now time.Duration, cfg Config, origin wire.Sequence) *Engine {
	e := &Engine{
		cfg:        cfg,
		byID:       map[wire.ReceiverID]*peer{},
		byAddr:     map[netip.Addr]int{},
		probes:     map[wire.ReceiverID]float64{},
		origin:     uint64(origin),
		rate:       startRate,
		epoch:      1,
		epochFrom:  uint64(origin) + 1,
		growthWait: minGrowthWait,
		neededAt:   now,
	}
	e.sent.last = uint64(origin)
	return e
}

// SetCeiling takes a limit that the user set; 0 is none.
func (e *Engine) SetCeiling(bitsPerSec float64) { e.cfg.Ceiling = bitsPerSec }

// Join takes note of a receiver.
func (e *Engine) Join(now time.Duration, id wire.ReceiverID, from netip.Addr) {
	e.join(now, id, from)
	e.Needed(now)
}

func (e *Engine) join(now time.Duration, id wire.ReceiverID, from netip.Addr) *peer {
	p := e.byID[id]
	if p == nil {
		if len(e.peers) >= maxReceivers {
			return nil
		}
		e.order++
		p = &peer{id: id, order: e.order, came: now, progress: now, at: now}
		e.byID[id] = p
		e.peers = append(e.peers, p)
	}
	p.addr = from
	return p
}

// Leave drops a receiver.
func (e *Engine) Leave(id wire.ReceiverID) {
	if p := e.byID[id]; p != nil {
		delete(e.byID, id)
		delete(e.probes, id)
		if p.reported && len(e.departed) < sampleSize && slices.Contains(e.members(), p) {
			p.left, p.leftAt = true, e.now
			e.departed = append(e.departed, p)
		}
		e.peers = slices.DeleteFunc(e.peers, func(q *peer) bool { return q == p })
	}
}

// Retain drops the receivers that are no longer known.
func (e *Engine) Retain(known func(wire.ReceiverID) bool) {
	for i := len(e.peers) - 1; i >= 0; i-- {
		if id := e.peers[i].id; !known(id) {
			e.Leave(id)
		}
	}
}

// Probed takes the rate at which a receiver got a probe train (0: at once) and that at
// which the own interface took the train (0: unknown). A train that arrives as it was
// taken shows no bottleneck on the path.
func (e *Engine) Probed(now time.Duration, id wire.ReceiverID, arrived, taken float64) {
	if arrived <= 0 || taken > 0 && arrived > 0.8*taken {
		arrived = unbounded
	}
	if old, ok := e.probes[id]; ok && old < unbounded {
		arrived = min(arrived, old) // the first packets of a train may be let through at once
	}
	if len(e.probes) < maxReceivers {
		e.probes[id] = arrived
	}
	e.votes = e.votes[:0]
	for _, rate := range e.probes {
		e.votes = append(e.votes, vote{weight: 1, passed: rate})
	}
	e.probed = e.bound(func(v *vote) float64 { return v.passed })
	if e.begun && e.mode != starting {
		return
	}
	rate := min(cruise*e.probed, maxStartRate)
	if !e.begun || rate > e.rate {
		e.rate = max(rate, minRate)
		e.reason = Reason{Cause: CauseProbes, Bits: e.probed}
		if e.probed >= unbounded {
			e.reason = Reason{}
		}
	}
	e.target = 0
	if e.probed < unbounded {
		e.target = cruise * e.probed
	}
}

// Sent takes note that the socket took packets of the stream up to sequence, and bits on
// the wire in all. A sequence of 0 is for what has no number.
func (e *Engine) Sent(now time.Duration, sequence wire.Sequence, bits float64) {
	if !e.begun && uint64(sequence) > e.origin {
		e.begun, e.began, e.epochAt, e.doubtAt = true, now, now, now
	}
	if uint64(sequence) > e.sent.last {
		e.lastSent = now
	}
	e.sent.add(now, uint64(sequence), bits)
}

// Rested takes note that there was nothing to send.
func (e *Engine) Rested(now time.Duration) { e.restedAt = now }

// Needed takes note that a receiver asks for something.
func (e *Engine) Needed(now time.Duration) {
	e.neededAt = now
	if e.idle {
		e.idle = false
		e.slow(now, e.rate/2)
	}
}

// Poll decides how the stream goes on.
func (e *Engine) Poll(now time.Duration) Decision {
	e.judge(now)
	d := Decision{Rate: e.rate, Reason: e.reason}
	if e.begun && now-e.neededAt >= idleAfter {
		e.idle = true
		return Decision{Burst: 1, Reason: Reason{Cause: CauseIdle}}
	}
	if e.targets > 0 && e.targets < d.Rate {
		d.Rate, d.Reason = e.targets, Reason{Cause: CauseTargets, Bits: e.written}
	}
	if c := e.cfg.Ceiling; c > 0 && c < d.Rate {
		d.Rate, d.Reason = c, Reason{Cause: CauseCeiling, Bits: c}
	}
	d.Burst = e.burst(d.Rate)
	d.Allowed = e.budget(now)
	if d.Allowed = max(d.Allowed, 0); d.Allowed < d.Rate*tick.Seconds() && e.begun {
		e.restedAt = now
		d.Reason = Reason{Cause: CauseBudget, Bits: e.proven}
	}
	return d
}

// burst is how many packets go out together at a rate.
func (e *Engine) burst(rate float64) int {
	in := func(d time.Duration) float64 { return rate * d.Seconds() / e.cfg.PacketBits }
	n := int(min(max(in(burstTime), min(burstFloor, in(floorTime))), maxBurst))
	if e.cfg.PacketSize > 0 {
		n = min(n, 65507/e.cfg.PacketSize)
	}
	return max(n, 1)
}

// set changes the rate: a new round begins with the next packet.
func (e *Engine) set(now time.Duration, rate float64, m mode) {
	e.rate, e.mode = max(rate, minRate), m
	e.epoch++
	e.epochFrom = e.sent.last + 1
	e.epochAt = now
}

// slow lowers the rate because it is not known to be right, and finds it again as at
// the start.
func (e *Engine) slow(now time.Duration, rate float64) {
	if e.target == 0 || e.mode != starting {
		e.target = e.rate
	}
	e.priorOK, e.raised = false, false
	e.set(now, rate, starting)
}

// again begins another round at the same rate.
func (e *Engine) again() {
	e.epoch++ // the receivers begin with their next reports
}

// judge decides once enough is known.
func (e *Engine) judge(now time.Duration) {
	e.now = now
	e.count(now)
	e.judgeTargets(now)
	if !e.begun {
		return
	}
	if e.mode == draining && now >= e.drainEnd {
		e.set(now, e.target, cruising)
		e.growAt = now + e.settled(e.growthWait)
	}
	if e.isDoubtful(now) {
		return
	}
	if e.mode == draining {
		return
	}
	e.evaluate()
	r, ok := e.round()
	if !ok {
		return
	}
	r.length = now - e.epochAt
	if e.neighbour.sounding {
		if r.took < soundTime {
			return
		}
	} else if r.recent < queueAlarm {
		// How much is lost needs a while to be known, and so does a queue that grows by
		// what is a little too much.
		if e.raised && r.took < time.Duration(float64(e.standing())*1.3/(e.rate/e.before-1)) {
			return
		}
		if r.packets < minRoundPackets+lossPackets*r.loss*r.bursts && r.length < maxRound*2 {
			return
		}
	}
	e.decide(now, r)
}

// isDoubtful halves the rate while more than a quarter of the receivers are late (rule:
// when in doubt, slow down).
func (e *Engine) isDoubtful(now time.Duration) bool {
	if now-e.lastSent > lateTime {
		e.doubtAt = now
		return false // nothing to report on
	}
	if now-e.doubtAt < lateTime {
		return e.doubted
	}
	all, late, voices := 0.0, 0.0, 0
	for _, v := range e.counting {
		all += v.weight
		if v.peer.late(now) {
			late += v.weight
			voices++
		}
	}
	// One that died is no doubt.
	e.doubted = all == 0 || late > (1-quorum)*all && (voices > 1 || len(e.counting) == 1)
	if !e.doubted {
		return false
	}
	e.doubtAt = now
	share := 1.0
	if all > 0 {
		share = late / all
	}
	e.slow(now, e.rate/2)
	e.reason = Reason{Cause: CauseLate, Share: share}
	return true
}

// decide acts on a round.
func (e *Engine) decide(now time.Duration, r round) {
	excess := e.exceeds(r)
	stands := r.queue >= e.standing() || e.raised && r.recent >= e.standing()
	if r.passed < growing*r.sent {
		// A receiver that did not run for a moment looks like that once.
		stands = stands || e.mode == starting && r.recent >= e.standing() ||
			e.raised && e.rate >= proofRatio*e.before && r.latest >= e.standing()
	}
	if stands {
		e.neighbour.carry(now, e.through(r))
	}
	switch {
	case e.mode == sharing:
		e.decideShare(now, r)
	case stands && e.mode != proving:
		e.congested(now, r, excess)
	case e.mode == starting:
		e.decideStart(now, r, excess)
	case e.mode == proving:
		e.decideProof(now, r)
	default:
		e.drains = 0
		e.decideCruise(now, r, excess)
	}
}

// standing is the delay from which on a queue stands.
func (e *Engine) standing() time.Duration {
	return max(queueLimit, time.Duration(queuePackets*e.cfg.PacketBits/e.rate*float64(time.Second)))
}

// exceeds tells whether more is lost than what is proven to be random.
func (e *Engine) exceeds(r round) bool {
	return r.loss > e.random.share+tolerance(e.random.share, r.packets/r.bursts)
}

// capacity is what the path carries, by what was delivered.
func (e *Engine) capacity(r round, excess bool) float64 {
	if excess {
		return min(r.passed, r.delivered/(1-e.random.share))
	}
	return r.passed
}

// congested empties the queue that stands, and goes on at what the path has delivered.
func (e *Engine) congested(now time.Duration, r round, excess bool) {
	capacity := e.capacity(r, excess)
	// What is left of a queue of its own shrinks.
	wasCruising := e.mode == cruising && !e.raised
	own := !wasCruising || r.growth <= 0
	if e.neighbour.squeezed(now, own) && r.queue < sharedQueue {
		e.share(now)
		return
	}
	switch {
	case e.raised:
		e.growthWait = min(2*e.growthWait, maxGrowthWait)
	case e.mode == starting:
		e.growthWait = firstGrowthWait // its rounds are short, and what passed is not known well
	default:
		e.growthWait = minGrowthWait
	}
	e.raised, e.step, e.priorOK = false, 0, false
	e.reason = Reason{Cause: CauseQueue, Bits: capacity, Delay: max(r.queue, r.recent)}
	e.target = max(cruise*capacity, minRate)
	if own && !excess && wasCruising {
		e.target = e.rate // at which the queue does not grow
	}
	if e.drains >= manyDrains {
		// What so many drains did not empty is no queue of this stream: the way is longer.
		for _, p := range e.peers {
			p.base.known = false
		}
		e.drains = 0
	}
	e.set(now, drainGain*capacity, draining)
	e.drainEnd = now + time.Duration(float64(r.drain)/(1-drainGain))
	e.drains++
}

// decideStart doubles the rate while nothing speaks against it. Each doubling compares
// two rates, and so proves what is lost at random.
func (e *Engine) decideStart(now time.Duration, r round, excess bool) {
	if excess {
		switch {
		case e.priorOK && r.sent >= proofRatio*e.prior.sent:
			if !same(e.prior, r) {
				e.lossy(now, r, r.delivered/(1-min(e.prior.loss, e.provable())))
				return
			}
			e.prove(now, r, e.prior)
			if e.exceeds(r) {
				e.halve(now, r)
				return
			}
		case r.loss > onceProven:
			e.halve(now, r)
			return
		}
	}
	e.grow(now, r)
}

// grow is the next step of the start.
func (e *Engine) grow(now time.Duration, r round) {
	factor := 2.0
	if e.target == 0 && e.probed >= unbounded {
		factor = 4
	}
	if limit := factor * r.sent; r.sent < ownShare*e.rate && e.target == 0 && limit >= growLeast*e.rate {
		// A busy machine does not send as fast as it may. It still grows from what it sent.
		e.prior, e.priorOK = r, true
		e.set(now, limit, starting)
		return
	}
	if r.sent < ownShare*e.rate && e.restedAt >= e.epochAt {
		e.again()
		return
	}
	if r.sent < ownShare*e.rate && e.epoch > 1 {
		e.cruiseAt(now, e.rate, Reason{Cause: CauseOwn, Bits: r.sent})
		return
	}
	e.prior, e.priorOK = r, true
	next := factor * e.rate
	switch {
	case e.target > 0 && e.rate < 0.99*e.target && next > e.target:
		next = e.target
	case e.target > 0 && e.rate >= 0.99*e.target:
		// What was known is reached: go on from there step by step.
		e.cruiseAt(now, e.rate, e.reason)
		e.growAt = now + e.settled(0)
		return
	}
	e.set(now, next, starting)
}

// cruiseAt holds a rate.
func (e *Engine) cruiseAt(now time.Duration, rate float64, reason Reason) {
	e.reason = reason
	e.raised, e.step = false, 0
	e.growAt = now + e.settled(e.growthWait)
	e.set(now, rate, cruising)
}

// settled is how long a rate is held before the next step: that wait, or longer where
// reports are slow. What is too much then goes on for as long.
func (e *Engine) settled(wait time.Duration) time.Duration {
	if trip := time.Duration(e.medianOf(func(p *peer) float64 { return float64(p.trip) })); trip > slowReports {
		return max(wait, slowWait*trip)
	}
	return wait
}

// lossy goes on at a capacity that loss has shown.
func (e *Engine) lossy(now time.Duration, r round, capacity float64) {
	reason := Reason{Cause: CauseLoss, Bits: capacity, Share: r.loss}
	if r.dropped > r.loss/2 {
		reason.Cause = CauseMachines
	}
	e.priorOK = false
	e.cruiseAt(now, cruise*capacity, reason)
}
