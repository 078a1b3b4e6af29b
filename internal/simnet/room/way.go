package room

import (
	"math/rand/v2"
	"time"

	"multiserver/internal/probe"
	"multiserver/internal/reach"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// reachTick is how often a driver asks what to do about the stream.
const reachTick = 50 * time.Millisecond

// way is how the stream gets to a receiver, and what its driver does about that. Its zero
// value has no session.
type way struct {
	engine   *reach.Engine
	origin   time.Duration // of its times
	tickAt   time.Duration
	joined   time.Duration // the group, last
	token    wire.Token
	observer probe.Observer
	symbols  bool          // one came
	heardAt  time.Duration // when the last packet of the session did
}

func newWay(n *node, now time.Duration) way {
	mode := reach.Never
	if n.room.cfg.Unicast {
		mode = reach.Auto
	}
	return way{
		engine: reach.New(reach.Config{
			Unicast: mode, Multicast: true, Rand: rand.New(rand.NewPCG(n.room.cfg.Seed, uint64(n.number)+10+2<<32)),
		}),
		origin: now, tickAt: now, joined: now, heardAt: now,
	}
}

func (w *way) byUnicast() bool { return w.engine.ByUnicast() }

// passes tells whether a packet that the link lets through gets to the receiver.
func (w *way) passes(n *node, p *packet, at time.Duration) bool {
	path := &n.spec.Path
	switch {
	case p.to.unicast() != w.byUnicast(), path.MaxPacket > 0 && p.bytes() > path.MaxPacket:
		return false
	case p.to.unicast():
		return !within(path.NoUnicast, at)
	}
	for _, forgets := range path.Forgets {
		if w.joined < forgets && forgets <= at {
			return false
		}
	}
	return !within(path.NoGroup, at)
}

// What arrives.

func (w *way) packet(now time.Duration, kind wire.Type) {
	if kind != wire.TypeProbe { // the receiver's limit does not count those
		w.heardAt = now
	}
	w.engine.Packet(now - w.origin)
}

func (w *way) symbol(now time.Duration) {
	w.heardAt, w.symbols = now, true
	w.engine.Symbol(now - w.origin)
}

func (w *way) foreign() { w.engine.Foreign() }

func (w *way) heartbeat(n *node, now time.Duration, h wire.Heartbeat) {
	if h.Completion.ManifestSize != 0 && !n.engine.KnowsManifest() {
		w.engine.News(now-w.origin, h.Receivers)
	}
	w.engine.State(h.State)
	w.observer.HandleSequence(h.Sequence)
}

func (w *way) answered(n *node, now time.Duration) {
	w.engine.Answered(now - w.origin)
	w.engine.Told(now-w.origin, wire.SenderStreaming, n.engine.KnowsManifest(), !n.engine.InDoubt())
}

// restarted: the trains of the session before tell nothing of this one's.
func (w *way) restarted(now time.Duration) {
	w.engine.Restarted(now - w.origin)
	w.observer = probe.Observer{}
	w.heardAt = now
}

// wake is when act has something to do.
func (w *way) wake(n *node) time.Duration {
	if n.done != 0 {
		return simnet.Never
	}
	return min(w.tickAt, n.room.now+max(0, w.observer.Due(n.room.now)))
}

// act does what is due.
func (w *way) act(n *node, now time.Duration) {
	if n.done != 0 {
		return
	}
	if r, due := w.observer.Report(now); due {
		w.report(n, now, r)
	}
	if now < w.tickAt {
		return
	}
	w.tickAt = now + reachTick
	w.judgeSize(n, now)
	if n.engine.InDoubt() {
		w.engine.Doubt(now-w.origin, uint32(n.room.server.unfinished()))
	}
	if n.done == 0 {
		w.follow(n, now, w.engine.Next(now-w.origin, w.token != 0, false))
	}
	if l := n.spec.SilenceLimit; l > 0 && n.done == 0 && !n.spec.Frozen && now > w.heardAt+l+time.Second {
		n.room.fail("receiver %d still waits, %v after the last packet", n.number, now-w.heardAt)
	}
}

func (w *way) report(n *node, now time.Duration, r wire.ProbeReport) {
	r.Session, r.Receiver = n.engine.Session(), n.id
	n.tell(now, r.AppendTo(nil))
}

// follow does what reach's engine wants.
func (w *way) follow(n *node, now time.Duration, a reach.Actions) {
	if a.AskSession {
		n.offer(now)
	}
	if a.JoinAgain {
		w.joined = now
		n.end.Rejoins++
	}
	if a.Switch {
		n.end.Switches = append(n.end.Switches, now)
		n.engine.SwitchStream(now)
		n.content.forget()
		n.forger.begin()
	}
	if a.AskUnicast || a.EndUnicast {
		n.tell(now, wire.UnicastRequest{Session: n.engine.Session(), Receiver: n.id, Token: w.token, Wanted: a.AskUnicast}.AppendTo(nil))
	}
}

// judgeSize ends the receiver if packets of the session's size do not arrive.
func (w *way) judgeSize(n *node, now time.Duration) {
	if w.symbols {
		return
	}
	since := now - w.origin
	switch w.observer.Size(now, w.byUnicast(), w.engine.SinceSwitch(since)) {
	case probe.AskForTrain:
		w.report(n, now, wire.ProbeReport{})
	case probe.SizeTooLarge, probe.UnicastTooLong:
		n.leave(now, wire.OutcomePath, "packets of the session's size do not arrive")
	}
}
