package mxb1

import (
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
)

// Constants of the requests to an original server. The figures are of the simulation
// (TestOriginalRooms), with 1% and 5% loss and 1 to 8 clients.
const (
	// bridgeTime is how long the server may send what is not missing for the sake of
	// one request less. A further request costs a pause of 50 to 100 ms and, if it or
	// its last block is lost, a quiet time. At 100 Mbit/s with 10 ms
	// two to four clients take twice as long; without a limit the server sends up to a
	// half more.
	bridgeTime = 50 * time.Millisecond
	// minPause is the shortest silence that ends a walk, pauseShare its part of the quiet
	// time and pauseGaps its count of gaps between arrivals, for a server with a delay.
	// It has to be longer than a busy host lets a server wait between two requests.
	minPause   = 20 * time.Millisecond
	pauseShare = 20
	pauseGaps  = 8
	// spreadShare of the quiet time is what clients spread their requests over. The
	// first one's answer keeps the others silent: their requests would have the server
	// send the same once more, and it hangs if several wait.
	spreadShare = 0.25
)

// request is the latest block request to an original server, which hangs for good if
// several wait. There is never a second one before the first is answered: the walk
// stopped at the request's last block, and a pause followed. If others' requests wait,
// the server goes on at once. If the request or that block is lost, the quiet time has to pass.
type request struct {
	rng    *rand.Rand
	last   uint64
	sent   bool
	ended  bool    // the block that came last is the request's last one
	spread float64 // 0 to 1, drawn anew for each request

	// How fast the server sends.
	newest    uint64        // the block that came last
	together  uint64        // blocks that came in one moment with it
	begins    bool          // none has come since the request
	gap       time.Duration // between arrivals within a walk, smoothed
	blockTime time.Duration // the same for one block
}

func newRequest(seed uint64) request {
	rng := rand.New(rand.NewPCG(seed, 0))
	return request{rng: rng, spread: rng.Float64()}
}

// arrived records that block i came, gap after the one before.
func (q *request) arrived(gap time.Duration, i uint64) {
	if gap > 0 {
		if !q.begins && q.together > 0 && i == q.newest+1 { // neither a loss nor another walk
			q.gap += (gap - q.gap) / 8
			q.blockTime += (gap/time.Duration(q.together) - q.blockTime) / 8
		}
		q.together = 0
	}
	q.together++
	q.newest, q.begins = i, false
	q.ended = q.sent && i == q.last
}

// silence is how long nothing may come before the next request.
func (q *request) silence(quiet time.Duration) time.Duration {
	if q.ended {
		pause := min(max(minPause, quiet/pauseShare, pauseGaps*q.gap), quiet)
		return min(pause+time.Duration(q.spread*float64(pause)), quiet)
	}
	return quiet + time.Duration(q.spread*spreadShare*float64(quiet))
}

// next records that the next request is sent.
func (q *request) next(last uint64) {
	q.last, q.sent, q.ended, q.begins = last, true, false, true
	q.spread = q.rng.Float64()
}

// bridge is how many blocks that are not missing a request may cover in a row.
func (q *request) bridge() uint64 {
	return uint64(bridgeTime / max(q.blockTime, time.Microsecond))
}

// askOriginal appends the one request that an original server is sent: from the first
// missing block of the window to the last one that only gaps short enough part from it.
func (r *Receiver) askOriginal(now time.Time, dst []BlockRequest) []BlockRequest {
	r.askedAt = now
	run, ok := r.missing.Next(r.window.Lo)
	first := run.Lo
	end := min(r.window.Hi, first+r.limit)
	covered := block.Range{Lo: first, Hi: first}
	bridge := r.request.bridge()
	for ok && run.Lo < end && run.Lo-covered.Hi <= bridge {
		run.Hi = min(run.Hi, end)
		r.recordAsked(run)
		covered.Hi = run.Hi
		run, ok = r.missing.Next(run.Hi)
	}
	if covered.Len() == 0 {
		return dst[:0]
	}
	r.burst, r.posKnown = covered.Len(), false
	r.request.next(covered.Hi - 1)
	return append(dst[:0], BlockRequest{First: uint32(first), Last: uint32(covered.Hi - 1)})
}
