package congestion

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// vote is what a counting receiver has seen of the packets sent since the last change.
type vote struct {
	peer      *peer
	weight    float64
	ready     bool
	packets   float64       // sent to it
	loss      float64       // share of packets
	dropped   float64       // share of packets dropped at its own socket
	delivered float64       // bits a second received
	passed    float64       // bits a second that came through, or were lost behind the queue
	sent      float64       // bits a second
	queue     time.Duration // that stood all the time
	recent    time.Duration // that stands lately
	latest    time.Duration
	growth    time.Duration // in the round
	took      time.Duration
	drain     time.Duration // that the queue takes to empty, at passed
}

// round is what three quarters of the counting receivers have seen, or more.
type round struct {
	packets   float64
	loss      float64
	bursts    float64 // packets that are lost together, or more
	dropped   float64
	delivered float64
	passed    float64
	sent      float64
	queue     time.Duration
	recent    time.Duration
	latest    time.Duration
	growth    time.Duration // in the round
	took      time.Duration
	drain     time.Duration
	ready     float64 // share of the receivers
	length    time.Duration
}

// count lists the receivers that count: of each address one, heard lately, that receives. It
// is drawn from the sample; those drawn stand for those that are not in it.
func (e *Engine) count(now time.Duration) {
	e.voices = e.onePerAddress(now, e.voices[:0], e.members(), func(p *peer) bool {
		stuck := now-p.progress > goneTime && now-e.lastSent < goneTime && p.late(now)
		return p.reported && !p.finished && !p.gone(now) && !stuck
	})
	e.counting = e.counting[:0]
	for _, p := range e.voices {
		e.counting = append(e.counting, vote{peer: p, weight: e.weight(p)})
	}
}

// onePerAddress appends to dst those of peers that fit, of each address one, but for
// loopback: the one that came last, since it may have been started again, unless it is late.
func (e *Engine) onePerAddress(now time.Duration, dst, peers []*peer, fits func(*peer) bool) []*peer {
	clear(e.byAddr)
	for _, p := range peers {
		if !fits(p) {
			continue
		}
		if !p.addr.IsLoopback() && p.addr.IsValid() {
			if i, ok := e.byAddr[p.addr]; ok {
				late, other := p.late(now), dst[i].late(now)
				if other && !late || other == late && p.order > dst[i].order {
					dst[i] = p
				}
				continue
			}
			e.byAddr[p.addr] = len(dst)
		}
		dst = append(dst, p)
	}
	return dst
}

// evaluate fills in the votes.
func (e *Engine) evaluate() {
	for i := range e.counting {
		v := &e.counting[i]
		p := v.peer
		if p.epoch != e.epoch || !p.ready {
			continue
		}
		took := p.last.arrived - p.first.arrived
		packets := float64(p.last.newest - p.first.newest)
		if took <= 0 || packets < 1 {
			continue
		}
		got := float64(p.last.received - p.first.received)
		v.packets = packets
		v.loss = max(0, 1-got/packets)
		v.dropped = float64(p.last.dropped-p.first.dropped) / packets
		v.delivered = got * e.cfg.PacketBits / took.Seconds()
		v.passed = packets * e.cfg.PacketBits / took.Seconds()
		if span := p.last.sent - p.first.sent; span > 0 {
			v.sent = packets * e.cfg.PacketBits / span.Seconds()
		}
		v.queue, v.recent, v.latest, v.took = p.least, p.recent, p.queue, took
		v.growth = p.queue - p.firstQueue
		outstanding := float64(e.sent.last-p.last.newest) * e.cfg.PacketBits
		v.drain = max(0, time.Duration(outstanding/max(v.passed, 1)*float64(time.Second))-p.age-p.trip)
		least := minRound
		if e.mode == starting {
			least = startRound
		}
		enough := packets >= minRoundPackets && took >= least || took >= maxRound
		v.ready = enough
	}
}

// round sums the votes up; ok is false while too few are in.
func (e *Engine) round() (r round, ok bool) {
	all, in := 0.0, 0.0
	e.votes = e.votes[:0]
	for _, v := range e.counting {
		if v.peer.late(e.now) {
			continue // of too few to be a doubt, or they stop counting
		}
		all += v.weight
		if v.ready {
			in += v.weight
			e.votes = append(e.votes, v)
		}
	}
	if all == 0 || in < quorum*all {
		return r, false
	}
	r.ready = in / all
	r.packets = e.most(func(v *vote) float64 { return v.packets })
	r.loss = e.most(func(v *vote) float64 { return v.loss })
	r.bursts = e.bound(func(v *vote) float64 { return v.peer.bursts.factor() })
	r.dropped = e.most(func(v *vote) float64 { return v.dropped })
	r.queue = time.Duration(e.most(func(v *vote) float64 { return float64(v.queue) }))
	r.recent = time.Duration(e.most(func(v *vote) float64 { return float64(v.recent) }))
	r.latest = time.Duration(e.most(func(v *vote) float64 { return float64(v.latest) }))
	r.growth = time.Duration(e.bound(func(v *vote) float64 { return float64(v.growth) }))
	r.took = time.Duration(e.most(func(v *vote) float64 { return float64(v.took) }))
	r.drain = time.Duration(e.most(func(v *vote) float64 { return float64(v.drain) }))
	r.delivered = e.bound(func(v *vote) float64 { return v.delivered })
	r.passed = e.bound(func(v *vote) float64 { return v.passed })
	r.sent = e.bound(func(v *vote) float64 { return v.sent })
	return r, true
}

// most is the value that three quarters of the votes reach or exceed.
func (e *Engine) most(value func(*vote) float64) float64 {
	return e.quantile(func(v *vote) float64 { return -value(v) }, -1)
}

// bound is the value that three quarters of the votes do not exceed.
func (e *Engine) bound(value func(*vote) float64) float64 { return e.quantile(value, 1) }

func (e *Engine) quantile(value func(*vote) float64, sign float64) float64 {
	all := 0.0
	e.values = e.values[:0]
	for i := range e.votes {
		v := &e.votes[i]
		all += v.weight
		e.values = append(e.values, weighted{value(v), v.weight})
	}
	slices.SortFunc(e.values, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	sum := 0.0
	for _, w := range e.values {
		if sum += w.weight; sum >= quorum*all-1e-9 {
			return sign * w.value
		}
	}
	return 0
}

type weighted struct{ value, weight float64 }

// bursts estimates how much more the loss between two reports varies than it would if each
// packet were lost by itself: about the mean length of a burst.
type bursts struct {
	mean, spread float64
	known        bool
}

func (b *bursts) add(packets, lost float64) {
	if packets < 4 {
		return
	}
	loss := max(0, lost/packets)
	if !b.known {
		b.mean, b.spread, b.known = loss, 1, true
		return
	}
	d := loss - b.mean
	share := min(max(b.mean, 0.01), 0.5)
	b.spread += (min(d*d*packets/(share*(1-share)), 4*maxBursts) - b.spread) / burstReports
	b.mean += d / burstReports
}

// factor leaves out what chance alone adds over so few reports.
func (b *bursts) factor() float64 { return min(max(b.spread-1, 1), maxBursts) }

// tolerance is how far a share of loss over so many packets may be off.
func tolerance(share, packets float64) float64 {
	share = min(max(share, 0.01), 0.5)
	return lossMargin + lossSigmas*math.Sqrt(share*(1-share)/max(packets, 1))
}
