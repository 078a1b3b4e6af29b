package room

import (
	"fmt"
	"net/netip"
	"time"

	"multiserver/internal/reach"
	"multiserver/internal/roster"
	"multiserver/internal/wire"
)

// accident is how many blocks may fail their digest before a receiver gives up.
const accident = 16

// End is how it went with a receiver.
type End struct {
	Left    bool // it is done, or has given up
	Outcome wire.Outcome
	Reason  string
	Cause   reach.Cause // the likely one of a stream that stays away, then
	// Acknowledged is the session whose sender has taken its goodbye; 0 if none has.
	Acknowledged wire.SessionID

	Rejoins  int             // how often it joined the group again
	Switches []time.Duration // when it changed to unicast, and back
	Kept     uint64          // bytes of the image that were found on its target
	Read     uint64          // blocks that were read there
}

// board is a session's table of receivers.
type board struct {
	table *roster.Table
	ids   []wire.ReceiverID // of the table's rows
	seen  map[wire.ReceiverID]bool
	first time.Duration // when the first one was heard
}

func newBoard(r *Room) *board {
	return &board{table: roster.New(r.geometry), seen: map[wire.ReceiverID]bool{}}
}

// heard records a receiver that spoke in the session.
func (b *board) heard(t time.Duration, id wire.ReceiverID, from netip.AddrPort) {
	if !b.seen[id] && len(b.ids) < roster.MaxRows {
		if len(b.ids) == 0 {
			b.first = t
		}
		b.seen[id] = true
		b.ids = append(b.ids, id)
	}
	b.table.RecordPacket(time.Unix(0, 0).Add(t), id, from)
}

// leave ends a receiver.
func (n *node) leave(now time.Duration, o wire.Outcome, reason string) {
	n.done = max(now, 1)
	n.end.Left, n.end.Outcome, n.end.Reason = true, o, reason
	n.end.Cause = n.way.engine.Cause(now - n.way.origin)
	n.engine.Leave(now, o, reason)
}

// giveUp ends a receiver that cannot go on.
func (n *node) giveUp(now time.Duration) {
	outcome, reason, ok := n.engine.GaveUp()
	if !ok || n.done != 0 {
		return
	}
	switch outcome {
	case wire.OutcomeIntegrity:
		if n.spec.BadBlocks <= accident {
			n.room.fail("receiver %d gives up: %s", n.number, reason)
		}
	case wire.OutcomeTimeLimit:
		if l := n.spec.SilenceLimit; l == 0 || now < n.way.heardAt+l {
			n.room.fail("receiver %d gives up %v after the last packet: %s", n.number, now-n.way.heardAt, reason)
		}
	default:
		n.room.fail("receiver %d gives up: outcome %d, %s", n.number, outcome, reason)
	}
	n.leave(now, outcome, reason)
}

// mustHaveGivenUp tells whether so many blocks failed that they cannot be an accident.
// Of those that were filled from a target nobody knows better.
func (n *node) mustHaveGivenUp() bool {
	return n.spec.OldContent == nil && n.spec.BadBlocks-n.badBlocks > accident
}

// checkEnds: each receiver that lives has ended as it should, for the reason that is true.
func (r *Room) checkEnds() error {
	for i, n := range r.nodes {
		path := n.end.Outcome == wire.OutcomePath
		switch {
		case n.dead:
		case n.done == 0:
			return fmt.Errorf("receiver %d is not done", i)
		case n.mustHaveGivenUp() && n.end.Outcome != wire.OutcomeIntegrity:
			return fmt.Errorf("receiver %d goes on after %d blocks that failed", i, n.spec.BadBlocks-n.badBlocks)
		case path && (n.spec.Path.MaxPacket == 0 || n.spec.Path.MaxPacket >= fullBytes):
			return fmt.Errorf("receiver %d ends for a path that carries all packets", i)
		}
	}
	return nil
}

// checkVerdict holds what the sender's tables say against what became of each receiver.
func (r *Room) checkVerdict() error {
	if r.cfg.Intruder > 0 {
		return r.checkTrueRows()
	}
	failed, all := 0, 0
	for number, b := range r.sessions {
		session, last := wire.SessionID(number+1), number == len(r.sessions)-1
		if last {
			r.Result.Failed, r.Result.All = b.table.Verdict()
		}
		rows := b.table.Rows()
		for i, id := range b.ids {
			n, row := r.nodes[id-1], &rows[i]
			if named := len(r.nodes) <= roster.MaxRows; named && row.Name != n.machine.name || row.Addr != n.machine.addr {
				return fmt.Errorf("row %d of session %d is %q at %v, not receiver %d", i, session, row.Name, row.Addr, n.number)
			}
			if err := n.checkOutcome(session, last, row.Outcome); err != nil {
				return err
			}
			if last && row.Outcome != roster.Restarted {
				if all++; row.Outcome != roster.Done {
					failed++
				}
			}
		}
		for _, n := range r.nodes {
			if n.end.Acknowledged == session && !b.seen[n.id] && len(b.ids) < roster.MaxRows {
				return fmt.Errorf("receiver %d has said goodbye to session %d, which has no row of it", n.number, session)
			}
		}
	}
	if failed != r.Result.Failed || all != r.Result.All {
		return fmt.Errorf("the verdict is %d of %d failed, and the rows say %d of %d", r.Result.Failed, r.Result.All, failed, all)
	}
	return nil
}

// checkOutcome tells whether an outcome is true of n, in the table of a session; last: it is
// the last one, whose verdict was asked for.
func (n *node) checkOutcome(session wire.SessionID, last bool, o roster.Outcome) error {
	want := roster.Failed
	switch {
	case n.end.Outcome == wire.OutcomeDone:
		want = roster.Done
	case n.end.Outcome.Refuses():
		want = roster.Refused
	}
	// A machine that came again in the same session counts by that, unless it had the image.
	again := n.again != nil && n.room.sessions[session-1].seen[n.again.id] && o == roster.Restarted
	ok := false
	switch {
	case n.end.Acknowledged == session:
		ok = o == want || again && want != roster.Done
	case n.end.Left && o == want, again:
		ok = true // the sender heard it, and the receiver not that it did
	case last:
		// It went silent, or was killed. If it came again, and nobody repeats what it said
		// before, it must count as restarted.
		must := n.again != nil && n.room.sessions[session-1].seen[n.again.id] && n.room.cfg.Replays == 0
		ok = o == roster.Lost && !must
	default:
		ok = o == roster.Pending || o == roster.Lost // the sender died before
	}
	if !ok {
		return fmt.Errorf("session %d says that receiver %d is %v; it left: %v with outcome %d, killed: %v, came again: %v",
			session, n.number, o, n.end.Left, n.end.Outcome, n.dead, n.again != nil)
	}
	return nil
}
