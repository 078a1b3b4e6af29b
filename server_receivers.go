package multiserver

import (
	"errors"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// errAllDone ends a server that was to end when all are done, and all are.
var errAllDone = errors.New("all clients are done")

// hold keeps the stream from beginning while clients gather.
type hold struct {
	first    time.Duration // when the first client spoke in the session
	came     bool
	released bool
	// here are the clients that the session's description has reached: who only
	// offered would miss the beginning.
	here map[wire.ReceiverID]bool
}

// hear takes note of a client that spoke in the session.
func (h *hold) hear(now time.Duration, id wire.ReceiverID) {
	if h.released {
		return
	}
	if !h.came {
		h.first, h.came = now, true
	}
	if h.here == nil {
		h.here = map[wire.ReceiverID]bool{}
	}
	h.here[id] = true
}

// release decides whether the stream may begin.
func (h *hold) release(now time.Duration, c *ServerConfig, knows func(wire.ReceiverID) bool) {
	if !h.came {
		return
	}
	for id := range h.here {
		if !knows(id) { // it left
			delete(h.here, id)
		}
	}
	waited := now - h.first
	h.released = len(h.here) >= c.MinReceivers && waited >= c.MinWait || c.MaxWait > 0 && waited >= c.MaxWait
	if h.released {
		h.here = nil
	}
}

// report takes in what a client reports.
func (r *Receiver) report(p wire.Report, g block.Geometry) {
	r.counts(p.Counts, p.BlocksDone, g)
	r.Limit = [...]string{"", "wire", "socket", "cpu", "disk"}[min(p.Limit, wire.LimitDisk)]
}

func (r *Receiver) counts(c wire.PacketCounts, blocksDone uint32, g block.Geometry) {
	r.Received, r.LostOnWire, r.Dropped = c.Received, c.Lost, c.Dropped
	r.BytesDone = min(uint64(blocksDone)*uint64(g.BlockSize), g.ImageSize)
}

// goodbye takes in how a client ended.
func (r *Receiver) goodbye(p wire.Goodbye, g block.Geometry) {
	r.counts(p.Counts, p.BlocksDone, g)
	r.Reason = string(p.Reason)
	r.target = p.Outcome == wire.OutcomeTargetRefused || p.Outcome == wire.OutcomeTargetIO
	switch p.Outcome {
	case wire.OutcomeDone:
		r.Outcome = OutcomeDone
	case wire.OutcomeInterrupted:
		r.Outcome = OutcomeInterrupted
	default:
		r.Outcome = OutcomeFailed
	}
}

// ended takes note that r ended without the image, unless its machine has come again since
// and is judged by that. One that came while r was still heard is another client there,
// and a target that failed is no better for the next one.
func (s *symbolServer) ended(r *Receiver, o Outcome) {
	r.Outcome = o
	for _, other := range s.receivers {
		if other.isAgain(r) {
			r.Outcome = OutcomeRestarted
		}
	}
}

// isAgain tells whether r is what came of the machine of before, which had ended.
func (r *Receiver) isAgain(before *Receiver) bool {
	return !before.target && r.Name == before.Name && r.Addr.Addr() == before.Addr.Addr() && r.FirstSeen.After(before.LastSeen)
}

// cameAgain takes note of those that r is now.
func (s *symbolServer) cameAgain(r *Receiver) {
	for _, before := range s.receivers {
		switch before.Outcome {
		case OutcomeLost, OutcomeFailed, OutcomeInterrupted:
			if r.isAgain(before) {
				before.Outcome = OutcomeRestarted
			}
		}
	}
}
