package reach

import (
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
	foreign    bool          // a packet of another session came since the last call of Next
	state      wire.SenderState

	asked    time.Duration // when the session was last asked for
	renewed  time.Duration // when unicast was last asked for
	switched time.Duration // between the group and unicast
}

// New returns the engine of a session whose description has just arrived, at time 0.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, dropped: never, damaged: never, asked: never, renewed: never, switched: never}
	if cfg.Unicast == Always || !cfg.Multicast {
		e.unicast, e.switched = true, 0
	}
	return e
}

// ByUnicast reports whether to receive the stream by unicast now.
func (e *Engine) ByUnicast() bool { return e.unicast }

// Packet records a packet of the session.
func (e *Engine) Packet(now time.Duration) { e.lastPacket = now }

// Symbol records a packet of the session that carries data.
func (e *Engine) Symbol(now time.Duration) { e.lastPacket, e.streamed, e.symbols = now, now, true }

// State records the server's state.
func (e *Engine) State(s wire.SenderState) { e.state = s }

// Foreign records a packet of another session. If ours is silent, it may be the next session.
func (e *Engine) Foreign() { e.foreign = true }

// Answered records a description of the session. It came to the control socket, so it says
// nothing about the stream.
func (e *Engine) Answered(now time.Duration) { e.answered = now }

// Restarted records that the server was started again and its session goes on.
func (e *Engine) Restarted(now time.Duration) { e.answered, e.lastPacket = now, now }

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
	for _, at := range []*time.Duration{&e.lastPacket, &e.streamed, &e.busy, &e.answered} {
		*at = min(now, *at+during)
	}
}

// Actions are what Next wants done, in this order.
type Actions struct {
	// AskSession: send the server an offer, which it answers with its session.
	AskSession bool
	// JoinAgain: join the group again.
	JoinAgain bool
	// Switch: the stream goes on by unicast, or by multicast, as ByUnicast says.
	Switch bool
	// AskUnicast: send the server a request for unicast. EndUnicast: send it the end of that
	// request.
	AskUnicast, EndUnicast bool
}

// Next returns what to do now. token says that the server's last description has the token that
// a request for unicast needs, and leaving that the client no longer needs the stream.
func (e *Engine) Next(now time.Duration, token, leaving bool) (a Actions) {
	if e.state == wire.SenderWaiting || e.state == wire.SenderStalled {
		e.busy = now // it says why nothing comes
	}
	after := askAfter
	if e.foreign {
		after, e.foreign = askAfter/4, false
	}
	if now-e.lastPacket > after && now-e.asked > after {
		e.asked, a.AskSession = now, true
	}
	if !e.unicast {
		a.JoinAgain = e.rejoin.Due(now, e.lastPacket)
	}
	silent := now - e.lastPacket
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
