package congestion

import "time"

// target is how fast a receiver writes.
type target struct {
	done     uint32
	doneAt   time.Duration // when written was last taken
	begun    bool
	doneThen uint32
	written  float64 // blocks a second
	known    bool
	filled   float64 // share of the window that waits for it
}

func (t *target) report(now time.Duration, r Report) {
	t.done = r.Done
	t.filled = 0
	if all := r.Backlog + r.Room; r.Bound && all > 0 {
		t.filled = float64(r.Backlog) / float64(all)
	}
	if !t.begun || r.Done < t.doneThen {
		t.begun, t.doneThen, t.doneAt = true, r.Done, now
		return
	}
	if d := now - t.doneAt; d >= writtenSpan || !t.known && d >= firstSpan {
		t.written, t.known = float64(r.Done-t.doneThen)/d.Seconds(), true
		t.doneThen, t.doneAt = r.Done, now
	}
}

// judgeTargets sets the limit that targets need. Memory takes what comes too fast until
// it is nearly full, and only that counts: the rate then is what they write, more while
// the windows empty and less while they fill. It cannot ratchet down: it aims at a share
// of the window, not at a share of itself.
func (e *Engine) judgeTargets(now time.Duration) {
	if now < e.targetAt {
		return
	}
	e.targetAt = now + targetPause
	e.votes = e.votes[:0]
	for _, v := range e.counting {
		if v.peer.target.known {
			e.votes = append(e.votes, v)
		}
	}
	if len(e.votes) == 0 || 4*len(e.votes) < 3*len(e.counting) {
		return
	}
	filled := e.most(func(v *vote) float64 { return v.peer.target.filled })
	written := e.bound(func(v *vote) float64 { return v.peer.target.written }) * e.cfg.BlockBits
	if written > e.written/8 {
		e.written = written // less is a target that stalls, and does not remain so
	}
	switch {
	case filled >= targetFull:
		if limit := max(minRate, written*(1+targetAim-filled)); e.targets == 0 || limit < e.targets {
			e.targets = limit
		}
	case e.targets == 0:
	case filled >= targetFree:
		e.targets = max(e.targets, min(max(written, e.written/2)*(1+targetAim-filled), e.targetStep()))
	default:
		if e.targets = max(targetRise*e.targets, min(max(written, e.written/2), e.targetStep())); e.targets > 2*e.rate {
			e.targets = 0
		}
	}
}

// targetStep is how far the limit for targets may rise at once: to half of what they have
// written before a stall, and to twice itself.
func (e *Engine) targetStep() float64 { return max(2*e.targets, e.written/2) }
