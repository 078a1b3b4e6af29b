package reach

import (
	"math/rand/v2"
	"time"

	"multiserver/internal/wire"
)

// What comes with the stream may be anybody's. What it says of the session itself counts only once
// the server has said so by unicast: the client asks.
const (
	// questionSpread is the time for each client over which the first questions are spread, and
	// maxQuestionSpread their sum: five a millisecond, as with lists.
	questionSpread    = 200 * time.Microsecond
	maxQuestionSpread = 2 * time.Second
	// questionRetry is the pause before the question is repeated. It doubles up to
	// maxQuestionRetry.
	questionRetry    = 100 * time.Millisecond
	maxQuestionRetry = time.Second
	// endTries is how often a server is asked that has ended its session, as a heartbeat says.
	// One that does not answer has ended too.
	endTries = 4
	// aliveTries: after so many questions an answer was not sent before the end.
	aliveTries = 2
)

// question is what the server is asked for.
type question struct {
	news  bool             // whether it has read the image
	doubt bool             // how far its stream is
	again bool             // whether it knows this client
	ended wire.SenderState // whether it has ended the session; 0 if nobody says so
	at    time.Duration    // when to ask next
	tries int
	rand  *rand.Rand
}

func (q *question) open() bool { return q.news || q.doubt || q.again || q.ended != 0 }

// begin has the question asked soon, after a random part of what all clients together take.
func (q *question) begin(now time.Duration, clients uint32) {
	if q.open() {
		return
	}
	spread := min(time.Duration(clients)*questionSpread, maxQuestionSpread)
	q.at, q.tries = now+time.Duration(q.rand.Int64N(int64(spread)+1)), 0
}

// due reports whether to ask now.
func (q *question) due(now time.Duration) bool {
	if !q.open() || now < q.at {
		return false
	}
	q.at = now + min(questionRetry<<min(q.tries, 10), maxQuestionRetry)
	q.tries++
	return true
}

// Asking reports whether an answer is awaited.
func (e *Engine) Asking() bool { return e.question.open() }

// News records that the server seems to have read the image. clients is how many it has.
func (e *Engine) News(now time.Duration, clients uint32) {
	e.question.begin(now, clients)
	e.question.news = true
}

// Doubt records that the stream seems to be where it cannot be.
func (e *Engine) Doubt(now time.Duration, clients uint32) {
	e.question.begin(now, clients)
	e.question.doubt = true
}

// Unknown records that the server does not take this client's packets.
func (e *Engine) Unknown(now time.Duration) {
	e.question.begin(now, 0)
	e.question.again = true
}

// Ended records that the session seems to be over.
func (e *Engine) Ended(now time.Duration, s wire.SenderState, clients uint32) {
	if e.question.ended != 0 {
		return
	}
	e.question.begin(now, clients)
	e.question.ended, e.question.tries = s, 0
}

// Told records what the server has answered by unicast: that the session is in state s, whether
// the manifest's size is known, and whether it told its sequence. It returns the state that ends
// the session, if that is so.
func (e *Engine) Told(now time.Duration, s wire.SenderState, manifest, sequence bool) (ended wire.SenderState) {
	q := &e.question
	if s >= wire.SenderImageChanged && s <= wire.SenderStopped {
		return s
	}
	if q.ended != 0 && q.tries >= aliveTries {
		q.ended = 0
	}
	q.news = q.news && !manifest
	q.doubt = q.doubt && !sequence
	return 0
}

// gone returns the state of a session that a heartbeat called over, if the server does not answer
// any more.
func (q *question) gone(now time.Duration) wire.SenderState {
	if q.ended != 0 && q.tries >= endTries && now >= q.at {
		return q.ended
	}
	return 0
}
