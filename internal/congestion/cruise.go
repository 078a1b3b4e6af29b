package congestion

import "time"

// decideCruise holds the rate, tries a little more now and then, and yields to loss.
func (e *Engine) decideCruise(now time.Duration, r round, excess bool) {
	switch {
	case excess && e.raised:
		e.growthWait = min(2*e.growthWait, maxGrowthWait)
		e.lossy(now, r, min(e.before/cruise, r.delivered/(1-e.random.share)))
	case excess:
		e.halve(now, r)
	case e.random.share > 2*lossMargin && now > e.random.at+proofAge:
		e.halve(now, r)
	default:
		e.refine(r)
		e.rise(now, r)
	}
}

// refine lets a proven share of random loss follow what is lost while nothing is
// congested.
func (e *Engine) refine(r round) {
	if e.random.proofs > 0 && !e.raised {
		e.random.share += (min(r.loss, e.provable()) - e.random.share) * min(1, r.packets/refinePackets)
	}
}

// rise tries the next step.
func (e *Engine) rise(now time.Duration, r round) {
	if e.raised {
		e.raised = false
		e.step = min(e.step+1, len(growthSteps)-1)
		e.growAt = now
		e.growthWait = minGrowthWait
	}
	if next := growthSteps[e.step] * e.rate; r.sent < ownShare*e.rate && next > riseMost*r.sent {
		if now > e.restedAt+budgetTime && r.loss < lossMargin {
			e.reason = Reason{Cause: CauseOwn, Bits: r.sent}
		}
		e.step = 0
		e.again()
		return
	}
	if now < e.growAt {
		if r.length > maxRound {
			e.epochAt = now
			e.again()
		}
		return
	}
	e.raised, e.before = true, e.rate
	e.set(now, growthSteps[e.step]*e.rate, cruising)
}
