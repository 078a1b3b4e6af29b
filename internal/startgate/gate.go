// Package startgate decides when a stream that waits for its receivers may begin. Like
// the engines it has no clock: the time is an argument.
//
// A driver calls Record for each packet that a receiver sends in the session, and Open
// until it returns true.
package startgate

import (
	"time"

	"multiserver/internal/wire"
)

// Gate holds a stream back until MinReceivers have come and MinWait has passed since the
// first one came; MaxWait, if it is not 0, caps the wait. The zero Gate opens as soon as
// one receiver has come.
type Gate struct {
	MinReceivers     int
	MinWait, MaxWait time.Duration

	first  time.Duration // when the first receiver sent a packet in the session
	came   bool
	asked  bool // Start was called
	opened bool
	// present are the receivers that have the session's description. A client that has only
	// sent an offer would miss the beginning.
	present map[wire.ReceiverID]bool
}

// Record records a receiver that sent a packet in the session.
func (g *Gate) Record(now time.Duration, id wire.ReceiverID) {
	if g.opened {
		return
	}
	if !g.came {
		g.first, g.came = now, true
		g.present = map[wire.ReceiverID]bool{}
	}
	g.present[id] = true
}

// Open reports whether the stream may begin; once open, the gate stays open. knows reports
// whether a receiver is unfinished and sent something lately: one that has left does not count.
// refused is how many have come, and refused: nobody need wait for those.
func (g *Gate) Open(now time.Duration, knows func(wire.ReceiverID) bool, refused int) bool {
	if g.opened || !g.came {
		return g.opened
	}
	for id := range g.present {
		if !knows(id) {
			delete(g.present, id)
		}
	}
	waited := now - g.first
	g.opened = g.asked || len(g.present)+refused >= g.MinReceivers && waited >= g.MinWait || g.MaxWait > 0 && waited >= g.MaxWait
	if g.opened {
		g.present = nil
	}
	return g.opened
}

// Start lets the stream begin without those that have not come. At least one must have: before
// that, the first one to come begins it.
func (g *Gate) Start() { g.asked = true }

// Opened returns what Open returned last.
func (g *Gate) Opened() bool { return g.opened }
