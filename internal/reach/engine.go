package reach

import (
	"math/rand/v2"
	"time"

	"multiserver/internal/wire"
)

const (
	// askAfter is the silence after which the server is asked for its session, and how
	// long it has to answer before it is asked again.
	askAfter = time.Second
	// unicastAfter is the silence of the group after which the client changes to unicast.
	// It has joined the group again before that.
	unicastAfter = 2 * time.Second
	// answerFirst: after an answer, the group gets this much more time: the server may have
	// been stopped for a while.
	answerFirst = 300 * time.Millisecond
	// movedAfter is how often the server is told of a new address, until it answers.
	movedAfter = 250 * time.Millisecond
	// seekAfter is how long nothing may come from the server's address before it is looked for
	// at others.
	seekAfter = 2 * time.Second
	// renewAfter is how often the request for unicast is renewed. It lapses otherwise.
	renewAfter = 250 * time.Millisecond
	// backAfter is the silence of the unicast stream after which the client tries the group
	// again.
	backAfter = 5 * time.Second
	// silentAfter is the silence after which the user is told.
	silentAfter = 3 * time.Second
	// unservedAfter is the same for blocks from a server that lives: it may serve others first.
	unservedAfter = 10 * time.Second

	// never is a time before all others.
	never = time.Duration(-1 << 60)
)

// Unicast says when the stream may come by unicast.
type Unicast int

// The modes.
const (
	Auto   Unicast = iota // where the group does not arrive
	Always                // from the beginning
	Never
)

// Config says which streams there are.
type Config struct {
	Unicast Unicast
	// Multicast: the session sends to a group.
	Multicast bool
	// Rand spreads questions in time. Each client needs one of its own.
	Rand *rand.Rand
}

// Engine follows one session.
type Engine struct {
	cfg     Config
	unicast bool // the stream comes by unicast
	rejoin  Rejoin

	lastPacket time.Duration // the last packet of the session
	streamed   time.Duration // the last symbol
	symbols    bool          // there was one
	answered   time.Duration // when the server last said that the session is on
	dropped    time.Duration // when this host's socket last dropped packets
	damaged    time.Duration // when the last damaged packet came
	busy       time.Duration // when the client last did not miss the stream
	heard      time.Duration // when the last packet came from the server's address
	elsewhere  bool          // packets that come now do not
	moved      bool          // this client has another address, and the server has not answered since
	foreign    bool          // a packet of another session came since the last call of Next
	state      wire.SenderState

	question question

	asked    time.Duration // when the session was last asked for
	renewed  time.Duration // when unicast was last asked for
	switched time.Duration // between the group and unicast
}

// New returns the engine of a session whose description has just arrived, at time 0.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, question: question{rand: cfg.Rand}, dropped: never, damaged: never, asked: never, renewed: never, switched: never}
	if cfg.Unicast == Always || !cfg.Multicast {
		e.unicast, e.switched = true, 0
	}
	return e
}

// ByUnicast reports whether to receive the stream by unicast now.
func (e *Engine) ByUnicast() bool { return e.unicast }

// Elsewhere says whether the packets that are recorded from now on come from another address than
// the server's.
func (e *Engine) Elsewhere(on bool) { e.elsewhere = on }

// Moved records that this client has another address, or that its network is there again: the
// server is to know at once, and the stream has its time to arrive.
func (e *Engine) Moved(now time.Duration) { e.moved, e.lastPacket, e.heard = true, now, now }

// Lost reports whether nothing has come from the server's address for so long that it may have
// another. If its packets come from elsewhere, one question without an answer is enough.
func (e *Engine) Lost(now time.Duration) bool {
	return now-e.heard > seekAfter || e.elsewhere && e.asked > e.heard && now-e.asked >= movedAfter
}

// Packet records a packet of the session.
func (e *Engine) Packet(now time.Duration) {
	e.lastPacket = now
	if !e.elsewhere {
		e.heard = now
	}
}

// Symbol records a packet of the session that carries data.
func (e *Engine) Symbol(now time.Duration) {
	e.Packet(now)
	e.streamed, e.symbols = now, true
}

// State records the server's state.
func (e *Engine) State(s wire.SenderState) { e.state = s }

// Foreign records a packet of another session. If ours is silent, it may be the next session.
func (e *Engine) Foreign() { e.foreign = true }

// Answered records a description of the session. It came to the control socket, so it says
// nothing about the stream.
func (e *Engine) Answered(now time.Duration) {
	e.answered, e.heard, e.moved = now, now, false
	e.question.again = false
}

// Restarted records that the server was started again and its session goes on.
func (e *Engine) Restarted(now time.Duration) {
	e.answered, e.lastPacket, e.heard = now, now, now
	e.question = question{rand: e.question.rand}
}

// Dropped records that this host's socket has dropped packets.
func (e *Engine) Dropped(now time.Duration) { e.dropped = now }

// Damaged records a packet that is not what was sent.
func (e *Engine) Damaged(now time.Duration) { e.damaged = now }

// Busy records that the client does not miss the stream now: its target has work, or what it
// wants is not known yet.
func (e *Engine) Busy(now time.Duration) { e.busy = now }

// Stopped records that the client did not run for so long until now. That was no silence of the
// server.
func (e *Engine) Stopped(now, during time.Duration) {
	for _, at := range []*time.Duration{&e.lastPacket, &e.streamed, &e.busy, &e.answered, &e.heard} {
		*at = min(now, *at+during)
	}
}

// Actions are what Next wants done, in this order.
type Actions struct {
	// AskSession: send the server an offer, which it answers with its session.
	AskSession bool
	// Seek: ask for it everywhere else too, since the server's address may be another now.
	Seek bool
	// JoinAgain: join the group again.
	JoinAgain bool
	// Switch: the stream goes on by unicast, or by multicast, as ByUnicast says.
	Switch bool
	// AskUnicast: send the server a request for unicast. EndUnicast: send it the end of that
	// request.
	AskUnicast, EndUnicast bool
	// Over is the state in which the session has ended, if the server does not answer any more;
	// else 0.
	Over wire.SenderState
}

// Next returns what to do now. token says that the server's last description has the token that
// a request for unicast needs, and leaving that the client no longer needs the stream.
func (e *Engine) Next(now time.Duration, token, leaving bool) (a Actions) {
	if e.state == wire.SenderWaiting || e.state == wire.SenderStalled {
		e.busy = now // it says why nothing comes
	}
	after := askAfter
	if e.foreign || e.elsewhere && now-e.answered > seekAfter {
		after, e.foreign = askAfter/4, false
	}
	silent := now - min(e.lastPacket, e.heard)
	soon := e.moved || silent > after && e.Lost(now) && e.elsewhere
	if silent > after && now-e.asked > after || soon && now-e.asked > movedAfter {
		a.AskSession, a.Seek = true, e.Lost(now)
		e.asked = now
	}
	if a.Over = e.question.gone(now); a.Over == 0 && e.question.due(now) {
		e.asked, a.AskSession = now, true
	}
	if !e.unicast {
		a.JoinAgain = e.rejoin.Due(now, e.lastPacket)
	}
	silent = now - e.lastPacket
	switch {
	case e.unicast && e.cfg.Unicast != Always && e.cfg.Multicast && silent > backAfter && now-e.switched > backAfter:
		e.unicast, e.switched = false, now
		a.Switch, a.EndUnicast = true, true
	case e.unicast:
		if now-e.renewed >= renewAfter && !leaving {
			e.renewed, a.AskUnicast = now, true
		}
	case e.cfg.Unicast == Auto && token && silent > unicastAfter && now-e.switched > unicastAfter &&
		e.serverAnswers() && now-e.answered > answerFirst:
		// The server has answered since the group fell silent: the fault is in the group.
		e.unicast, e.switched, e.renewed = true, now, now
		a.Switch, a.AskUnicast = true, true
	}
	return a
}

// SinceSwitch is the time since the last change between multicast and unicast.
func (e *Engine) SinceSwitch(now time.Duration) time.Duration { return now - e.switched }

// serverAnswers reports whether the server has answered while the stream was silent.
func (e *Engine) serverAnswers() bool { return e.answered-e.lastPacket > askAfter }
