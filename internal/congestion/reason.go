package congestion

import (
	"fmt"
	"time"
)

// Cause is what sets the rate.
type Cause uint8

// The causes.
const (
	CauseStart     Cause = iota // it is not known yet
	CauseProbes                 // what probes showed
	CauseOwn                    // nothing but the own interface
	CauseQueue                  // a queue on the path
	CauseLoss                   // loss on the path
	CauseMachines               // packets dropped at the clients' own sockets
	CauseTargets                // the clients' targets
	CauseLate                   // reports that are late or missing
	CauseBudget                 // what the receivers reported as received
	CauseCeiling                // what the user set
	CauseNeighbour              // another flow on the same path
	CauseIdle                   // nobody needs anything
)

// Reason is what sets the rate, and the figure that it rests on.
type Reason struct {
	Cause Cause
	Bits  float64       // bits a second
	Share float64       // of packets, or of receivers
	Delay time.Duration // of the queue
}

// String says it in words for a person.
func (r Reason) String() string {
	mbit := r.Bits / 1e6
	switch r.Cause {
	case CauseStart:
		return "the start: no client has reported yet"
	case CauseProbes:
		return fmt.Sprintf("the probes, which arrived at %.3g Mbit/s", mbit)
	case CauseOwn:
		return fmt.Sprintf("the server's own interface, which takes %.3g Mbit/s", mbit)
	case CauseQueue:
		return fmt.Sprintf("the paths to the clients, which deliver %.3g Mbit/s (a queue of %d ms)", mbit, r.Delay.Milliseconds())
	case CauseLoss:
		return fmt.Sprintf("the paths to the clients, which deliver %.3g Mbit/s (%.1f%% lost)", mbit, 100*r.Share)
	case CauseMachines:
		return fmt.Sprintf("the clients' machines, which take %.3g Mbit/s (%.1f%% dropped at their sockets)", mbit, 100*r.Share)
	case CauseTargets:
		return fmt.Sprintf("the clients' targets, which write %.3g Mbit/s", mbit)
	case CauseLate:
		return fmt.Sprintf("reports that are late or missing from %.0f%% of the clients", 100*r.Share)
	case CauseBudget:
		return fmt.Sprintf("the budget: clients received %.3g Mbit/s", mbit)
	case CauseCeiling:
		return fmt.Sprintf("the limit that was set, %.3g Mbit/s", mbit)
	case CauseNeighbour:
		return fmt.Sprintf("another flow on the paths, which carry %.3g Mbit/s", mbit)
	case CauseIdle:
		return "no client needs anything"
	}
	return "unknown"
}
