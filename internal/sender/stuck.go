package sender

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

const (
	// stuckShare: a receiver that has not got on by one block in so many while a whole image was
	// sent asks in vain, or makes it up.
	stuckShare = 64
	// stuckTime and stuckIntervals are how long that has to last: a receiver tells of its blocks once a
	// report interval, and a slow machine prepares its target for seconds, while a small image is
	// sent many times to others.
	stuckTime, stuckIntervals = 20 * time.Second, 8
	// stuckPause is how often the list of such a receiver is heard, and Interleave blocks of it: more
	// than the target takes of one that really is so slow. Of as many blocks it may ask for repair.
	stuckPause = time.Second
)

// growth is how a receiver gets on.
type growth struct {
	done    uint32        // blocks of the image, when it last had got on
	at      wire.Sequence // the last packet then
	time    time.Duration // of that
	heardAt time.Duration // when its list last counted although it is stuck
	repair  int           // blocks that repair may still be asked for
	from    time.Duration // since when
}

// grew records how many blocks a receiver has, as it says.
func (e *Engine) grew(now time.Duration, p *peer, done uint32) {
	done = min(done, e.image)
	if done < p.growth.done+max(1, e.image/stuckShare) && (done < e.image || done == p.growth.done) {
		return
	}
	p.growth.done, p.growth.at, p.growth.time = done, e.sequence, now
}

// stuck reports whether a receiver has not got on while a whole image was sent.
func (e *Engine) stuck(now time.Duration, p *peer) bool {
	return now-p.growth.time > max(stuckTime, stuckIntervals*e.Interval()) && e.largestK > 0 && p.growth.done < e.image && e.sequence-p.growth.at > wire.Sequence(e.image)*wire.Sequence(e.largestK)+minSpent
}

// Stuck reports whether a receiver has not got on while a whole image was sent: its requests are
// not heard any more, but for a few blocks.
func (e *Engine) Stuck(now time.Duration, id wire.ReceiverID) bool {
	p := e.peers.find(id)
	return p != nil && e.stuck(now, p)
}

// mayRepair reports whether a receiver may ask for repair of one block more.
func (e *Engine) mayRepair(now time.Duration, p *peer) bool {
	if !e.stuck(now, p) {
		return true
	}
	if now-p.growth.from >= stuckPause {
		p.growth.from, p.growth.repair = now, Interleave
	}
	p.growth.repair--
	return p.growth.repair >= 0
}

// hear returns what counts of a receiver's list.
func (e *Engine) hear(now time.Duration, p *peer, want []block.Range) []block.Range {
	if !e.stuck(now, p) {
		return want
	}
	if now-p.growth.heardAt < stuckPause {
		return want[:0]
	}
	p.growth.heardAt = now
	for n, left := 0, uint64(Interleave); n < len(want); n++ {
		if want[n].Len() >= left {
			want[n].Hi = want[n].Lo + left
			return want[:n+1]
		}
		left -= want[n].Len()
	}
	return want
}
