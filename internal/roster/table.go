package roster

import (
	"net/netip"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// Row is a client of MXB 2, as it last reported.
type Row struct {
	Name       string // its host's
	Addr       netip.AddrPort
	FirstSeen  time.Time
	LastSeen   time.Time
	BytesDone  uint64 // of the image, verified and written
	Received   uint64 // packets of the stream
	LostOnWire uint64
	// Dropped are packets that its own socket had no room for.
	Dropped uint64
	// Limit is what slows it down: "", "wire", "socket", "cpu" or "disk".
	Limit   string
	Outcome Outcome
	Reason  string // of a failure, in its own words

	// targetFailed: its target failed. Another attempt would not help.
	targetFailed bool
}

// Outcome is how a client ended.
type Outcome int

// The outcomes.
const (
	Pending     Outcome = iota // not yet known
	Done                       // every byte is verified, written and synced
	Failed                     // it reported a failure
	Interrupted                // ended by its user
	Lost                       // it went silent
	Restarted                  // it ended without the image, and its machine joined again
)

// Table is the table of MXB 2's clients. Make it by New.
type Table struct {
	geometry block.Geometry
	byID     map[wire.ReceiverID]*Row
	rows     []*Row                     // in the order in which they came
	names    map[wire.ReceiverID]string // from offers, until the first packet in the session
	changed  []*Row
}

// New returns an empty table for an image of that geometry.
func New(g block.Geometry) *Table {
	return &Table{geometry: g, byID: map[wire.ReceiverID]*Row{}, names: map[wire.ReceiverID]string{}}
}

// Offer keeps the name in an offer, and reports whether that receiver has sent one before. Only
// a packet in the session makes a row: anybody can send offers in others' names. When there are
// MaxRows names, all are dropped.
func (t *Table) Offer(id wire.ReceiverID, name string) (again bool) {
	_, again = t.names[id]
	if !again && len(t.names) >= MaxRows {
		clear(t.names)
	}
	t.names[id] = name
	return again
}

// RecordPacket records that a receiver sent a packet in the session, from an address. Beyond
// MaxRows it makes no row.
func (t *Table) RecordPacket(now time.Time, id wire.ReceiverID, from netip.AddrPort) {
	r := t.byID[id]
	if r == nil {
		if len(t.rows) >= MaxRows {
			return
		}
		r = &Row{Name: t.names[id], Addr: from, FirstSeen: now}
		delete(t.names, id)
		t.byID[id] = r
		t.rows = append(t.rows, r)
		t.changed = append(t.changed, r)
		t.cameAgain(r)
	}
	r.Addr, r.LastSeen = from, now
	if r.Outcome == Lost || r.Outcome == Restarted {
		t.set(r, Pending)
	}
}

// Report records a receiver's report of itself, if it has a row.
func (t *Table) Report(p wire.Report) {
	if r := t.byID[p.Receiver]; r != nil {
		t.count(r, p.Counts, p.BlocksDone)
		r.Limit = [...]string{"", "wire", "socket", "cpu", "disk"}[min(p.Limit, wire.LimitDisk)]
	}
}

// Goodbye records how a receiver ended, if it has a row.
func (t *Table) Goodbye(p wire.Goodbye) {
	r := t.byID[p.Receiver]
	if r == nil {
		return
	}
	t.count(r, p.Counts, p.BlocksDone)
	r.Reason = string(p.Reason)
	r.targetFailed = p.Outcome == wire.OutcomeTargetRefused || p.Outcome == wire.OutcomeTargetIO
	switch p.Outcome {
	case wire.OutcomeDone:
		t.set(r, Done)
	case wire.OutcomeInterrupted:
		t.end(r, Interrupted)
	default:
		t.end(r, Failed)
	}
}

// EndSilent marks receivers as lost that have no outcome and that knows does not know.
func (t *Table) EndSilent(knows func(wire.ReceiverID) bool) {
	for id, r := range t.byID {
		if r.Outcome == Pending && !knows(id) {
			t.end(r, Lost)
		}
	}
}

// Verdict ends all rows without an outcome. It counts the clients, and the clients without the
// image. A machine that joined again counts once.
func (t *Table) Verdict() (failed, all int) {
	t.EndSilent(func(wire.ReceiverID) bool { return false })
	for _, r := range t.rows {
		switch r.Outcome {
		case Restarted:
			continue
		case Done:
		default:
			failed++
		}
		all++
	}
	return failed, all
}

// Len is the count of rows.
func (t *Table) Len() int { return len(t.rows) }

// Rows returns a copy of all rows, in the order in which they came.
func (t *Table) Rows() []Row {
	rows := make([]Row, len(t.rows))
	for i, r := range t.rows {
		rows[i] = *r
	}
	return rows
}

// Changes appends to dst the rows that are new or have another outcome since the last
// call.
func (t *Table) Changes(dst []Row) []Row {
	for _, r := range t.changed {
		dst = append(dst, *r)
	}
	t.changed = t.changed[:0]
	return dst
}

func (t *Table) count(r *Row, c wire.PacketCounts, blocksDone uint32) {
	r.Received, r.LostOnWire, r.Dropped = c.Received, c.Lost, c.Dropped
	r.BytesDone = min(uint64(blocksDone)*uint64(t.geometry.BlockSize), t.geometry.ImageSize)
}

// end records that r ended without the image. If its machine has joined again since, only the
// last attempt counts. That does not apply to a row that came while r was still sending, which
// is another client on the same machine, nor to a target that failed.
func (t *Table) end(r *Row, o Outcome) {
	for _, other := range t.rows {
		if other.isAgain(r) {
			o = Restarted
		}
	}
	t.set(r, o)
}

func (t *Table) set(r *Row, o Outcome) {
	if r.Outcome != o {
		r.Outcome = o
		t.changed = append(t.changed, r)
	}
}

// isAgain reports whether r is the same machine as before, which had ended.
func (r *Row) isAgain(before *Row) bool {
	return !before.targetFailed && r.Name == before.Name && r.Addr.Addr() == before.Addr.Addr() && r.FirstSeen.After(before.LastSeen)
}

// cameAgain marks the earlier rows of r's machine as restarted.
func (t *Table) cameAgain(r *Row) {
	for _, before := range t.rows {
		switch before.Outcome {
		case Lost, Failed, Interrupted:
			if r.isAgain(before) {
				t.set(before, Restarted)
			}
		}
	}
}
