package congestion

import (
	"slices"
	"time"
)

// history is what a receiver had received at its last reports: a ring.
type history struct {
	ring  [historyKept]received
	start int
	count int
}

type received struct {
	at      time.Duration
	packets uint64
}

func (h *history) at(i int) *received { return &h.ring[(h.start+i)%historyKept] }

func (h *history) add(at time.Duration, packets uint64) {
	if h.count > 0 && packets < h.at(h.count-1).packets {
		h.count = 0 // it began anew
	}
	if h.count == historyKept {
		h.start = (h.start + 1) % historyKept
		h.count--
	}
	h.count++
	*h.at(h.count - 1) = received{at, packets}
}

// since is how many packets were reported after a time as received. Of what a report
// brought that came later than the one before it, the part counts that is of the time
// after.
func (h *history) since(at time.Duration) float64 {
	if h.count == 0 {
		return 0
	}
	last := float64(h.at(h.count - 1).packets)
	for i := h.count - 1; i > 0; i-- {
		before, after := h.at(i-1), h.at(i)
		if before.at > at {
			continue
		}
		if after.at <= at {
			return last - float64(after.packets)
		}
		share := float64(at-before.at) / float64(after.at-before.at)
		return last - float64(before.packets) - share*float64(after.packets-before.packets)
	}
	if h.at(0).at > at && h.count < historyKept {
		return last // all that it has is new
	}
	return last - float64(h.at(0).packets)
}

// fastest is the highest rate, in packets a second, at which packets were reported
// after a time, over span or more.
func (h *history) fastest(after, span time.Duration) (rate float64) {
	from := 0
	for i := 1; i < h.count; i++ {
		for from+1 < i && h.at(i).at-h.at(from+1).at >= span {
			from++
		}
		if d := h.at(i).at - h.at(from).at; d >= span && h.at(from).at >= after {
			rate = max(rate, float64(h.at(i).packets-h.at(from).packets)/d.Seconds())
		}
	}
	return rate
}

// budget is how many bits may be sent now, whatever the rate is.
func (e *Engine) budget(now time.Duration) float64 {
	// What was sent to those that have all by now was not too much.
	e.departed = slices.DeleteFunc(e.departed, func(p *peer) bool { return now-p.leftAt > budgetTime })
	from, span, least := now-budgetTime, budgetSpan, budgetBits
	if !e.begun || now < e.began+budgetAfter {
		from, span, least = 0, minRound, startBits
	}
	e.proven = e.medianOf(func(p *peer) float64 { return p.history.fastest(from, span) }) * e.cfg.PacketBits
	if len(e.counting) == 0 && len(e.departed) == 0 {
		return least - e.sent.since(from)
	}
	return max(least, e.proven) + e.medianOf(func(p *peer) float64 {
		// What was sent before it came, or after it left, it cannot have received; and what
		// it received of another stream is none of this one.
		sent := e.sent.since(max(from, p.came))
		if p.left && len(e.counting) > 0 {
			sent -= e.sent.since(max(from, p.at))
		}
		return budgetFactor*min(p.history.since(from)*e.cfg.PacketBits, sent) - sent
	}, e.departed...)
}

// medianOf is that of the counting receivers, but for those whose reports are late, unless
// all are: they may have died.
func (e *Engine) medianOf(value func(*peer) float64, others ...*peer) float64 {
	e.medians = e.medians[:0]
	for _, lates := range []bool{false, true} {
		if len(e.medians) > 0 {
			break
		}
		for _, v := range e.counting {
			if v.peer.late(e.now) == lates {
				e.medians = append(e.medians, value(v.peer))
			}
		}
	}
	for _, p := range others {
		e.medians = append(e.medians, value(p))
	}
	return median(e.medians)
}

// median is that of values, which it sorts; of two it is the lower one.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
