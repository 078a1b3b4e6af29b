package congestion

import "time"

// halve goes to half the rate, to see whether the share lost stays the same.
func (e *Engine) halve(now time.Duration, r round) {
	e.after = e.mode
	e.prior, e.priorOK = r, true
	e.before = e.rate
	e.set(now, min(e.rate, r.sent)/2, proving)
}

// decideProof compares what is lost at half the rate.
func (e *Engine) decideProof(now time.Duration, r round) {
	high := e.prior
	if same(r, high) {
		e.prove(now, r, high)
		e.prior, e.priorOK = r, true
		rate := min(e.before, high.delivered/(1-e.random.share))
		if !e.exceeds(high) {
			rate = e.before
		}
		e.set(now, rate, e.after)
		e.raised = false
		return
	}
	e.random.share = min(e.random.share, r.loss)
	e.lossy(now, high, high.delivered/(1-min(r.loss, e.provable())))
}

// provable is the most that may be taken for random loss.
func (e *Engine) provable() float64 {
	if e.random.proofs >= manyProofs {
		return wellProven
	}
	return onceProven
}

// same tells whether no more is lost, in share, at the higher of two rates.
func same(low, high round) bool {
	packets := low.packets * high.packets / (low.packets + high.packets) / max(low.bursts, high.bursts)
	return high.loss <= low.loss+tolerance((low.loss+high.loss)/2, packets)
}

// prove takes note that two rates lose the same share.
func (e *Engine) prove(now time.Duration, a, b round) {
	if now > e.random.at+proofAge {
		e.random.proofs = 0
	}
	e.random.proofs++
	share := (a.loss*a.packets + b.loss*b.packets) / (a.packets + b.packets)
	e.random.share = min(share, e.provable())
	e.random.at = now
}
