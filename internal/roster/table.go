package roster

import (
	"cmp"
	"net/netip"
	"slices"
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
	Reason  string // of a failure or refusal, in its own words
	// Silent: it has no outcome, and has sent nothing for several report intervals. It is waited
	// for, until it counts as lost.
	Silent bool
	// SharesAddress: another machine has its address too.
	SharesAddress bool

	// targetFailed: its target failed. Another attempt would not help.
	targetFailed bool
	// again: it refused, and its program tries again of itself.
	again bool

	// inVain: it has got nothing for so long that nobody waits for it any more.
	inVain bool
	grown  time.Time // when it last had more of the image, or came

	id      wire.ReceiverID
	since   time.Time // when it was first heard at its address
	machine machine
	known   netip.Addr // where its machine is known
	twin    string     // the name of a machine that has its address too
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
	Refused                    // it ended of its own accord before anything was written
)

// Table is the table of MXB 2's clients. Make it by New.
type Table struct {
	geometry block.Geometry
	byID     map[wire.ReceiverID]*Row
	rows     []*Row                     // in the order in which they came
	names    map[wire.ReceiverID]string // from offers, until the first packet in the session
	changed  []*Row
	twins    twins
	grown    time.Time // when any receiver last had more, came or ended
}

// New returns an empty table for an image of that geometry.
func New(g block.Geometry) *Table {
	return &Table{geometry: g, byID: map[wire.ReceiverID]*Row{}, names: map[wire.ReceiverID]string{}, twins: newTwins()}
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

// makeRoom makes room for a row of an address, if necessary in the place of one that has ended. One
// address has maxRowsOfAddress at most, but for loopback.
func (t *Table) makeRoom(addr netip.Addr) bool {
	if len(t.rows) < min(maxRowsOfAddress, MaxRows) {
		return true
	}
	oldest, lost, ofAddress := -1, -1, 0
	for i, r := range t.rows {
		if r.Addr.Addr() == addr {
			ofAddress++
			if oldest < 0 && r.Outcome != Pending {
				oldest = i
			}
		}
		if lost < 0 && r.Outcome == Lost && r.BytesDone == 0 {
			lost = i
		}
	}
	switch {
	case ofAddress >= maxRowsOfAddress && !addr.IsLoopback():
		return t.drop(oldest)
	case len(t.rows) >= MaxRows:
		return t.drop(lost)
	}
	return true
}

// drop removes row i, if there is one.
func (t *Table) drop(i int) bool {
	if i < 0 {
		return false
	}
	r := t.rows[i]
	t.forgetMachine(r)
	for id, other := range t.byID { // an earlier number of the machine may have it too
		if other == r {
			delete(t.byID, id)
		}
	}
	t.rows = slices.Delete(t.rows, i, i+1)
	t.changed = slices.DeleteFunc(t.changed, func(other *Row) bool { return other == r })
	return true
}

// RecordPacket records that a receiver sent a packet in the session, from an address. Beyond
// MaxRows it makes no row.
func (t *Table) RecordPacket(now time.Time, id wire.ReceiverID, from netip.AddrPort) {
	r := t.byID[id]
	if r == nil {
		if !t.makeRoom(from.Addr()) {
			return
		}
		r = &Row{Name: t.names[id], Addr: from, FirstSeen: now, grown: now}
		t.grown = now
		delete(t.names, id)
		t.byID[id] = r
		t.rows = append(t.rows, r)
		t.change(r)
		t.cameAgain(r)
	}
	moved := r.since.IsZero() || r.Addr.Addr() != from.Addr()
	r.id, r.Addr, r.LastSeen, r.Silent = id, from, now, false
	if moved {
		t.move(now, id, r)
	}
	if r.Outcome == Lost || r.Outcome == Restarted {
		t.set(r, Pending)
	}
	t.findTwin(now, r)
}

// Displace gives a receiver's row to the one whose number it is. What it says so far is a stranger's.
func (t *Table) Displace(now time.Time, id wire.ReceiverID, to netip.AddrPort) {
	r := t.byID[id]
	if r == nil {
		return
	}
	t.forgetMachine(r)
	name := cmp.Or(t.names[id], r.Name)
	delete(t.names, id)
	*r = Row{Name: name, Addr: to, FirstSeen: now, LastSeen: now, grown: now, id: id}
	t.move(now, id, r)
	t.change(r)
}

// Report records a receiver's report of itself, if it has a row.
func (t *Table) Report(p wire.Report) {
	if r := t.byID[p.Receiver]; r != nil {
		had := r.BytesDone
		t.count(r, p.Counts, p.BlocksDone)
		if r.BytesDone > had {
			t.Progress(r.LastSeen)
			r.grown = r.LastSeen
		}
		r.Limit = [...]string{"", "wire", "socket", "cpu", "disk"}[min(p.Limit, wire.LimitDisk)]
	}
}

// Goodbye records how a receiver ended. One that refuses need not have sent anything before.
func (t *Table) Goodbye(now time.Time, p wire.Goodbye, from netip.AddrPort) {
	if t.byID[p.Receiver] != nil || !p.Outcome.Refuses() || !t.refusesAgain(now, p, from) {
		t.RecordPacket(now, p.Receiver, from)
	}
	r := t.byID[p.Receiver]
	if r == nil {
		return
	}
	t.count(r, p.Counts, p.BlocksDone)
	t.Progress(now)
	if reason := string(p.Reason); r.Reason != reason {
		r.Reason = reason
		if r.Outcome == Refused {
			t.change(r)
		}
	}
	r.again = p.Again && p.Outcome.Refuses()
	r.targetFailed = !r.again && (p.Outcome.Refuses() || p.Outcome == wire.OutcomeTargetIO)
	switch {
	case p.Outcome == wire.OutcomeDone:
		t.set(r, Done)
	case p.Outcome == wire.OutcomeInterrupted:
		t.end(r, Interrupted)
	case p.Outcome.Refuses():
		t.end(r, Refused)
	default:
		t.end(r, Failed)
	}
}

// EndSilent looks for receivers that have no outcome and that knows does not know: they are
// silent. Those that have been silent for that timeout are lost, and at once those whose machine
// has come again.
func (t *Table) EndSilent(now time.Time, timeout time.Duration, knows func(wire.ReceiverID) bool) {
	for id, r := range t.byID {
		switch {
		case r.Outcome != Pending:
		case knows(id):
			r.Silent = false
		case now.Sub(r.LastSeen) >= timeout || t.cameAgainSince(r, r.LastSeen):
			t.end(r, Lost)
		default:
			r.Silent = true
		}
	}
}

// Progress records that the session gets on, or that nobody can.
func (t *Table) Progress(now time.Time) { t.grown = now }

// GiveUp looks for receivers that nobody need wait for, since they may be made up: they lack some of
// the image, and have got nothing for that timeout, although it was sent, as stuck tells; or nobody
// at all has got on for ten times as long. It returns how many of them are not silent.
func (t *Table) GiveUp(now time.Time, timeout time.Duration, stuck func(wire.ReceiverID) bool) (n int) {
	idle := now.Sub(t.grown) >= idleTimeouts*timeout
	for id, r := range t.byID {
		r.inVain = r.Outcome == Pending && r.BytesDone < t.geometry.ImageSize && (idle || now.Sub(r.grown) >= timeout && stuck(id))
		if r.inVain && !r.Silent {
			n++
		}
	}
	return n
}

// Waits reports whether a session should go on for receivers that may still get the image: one
// without an outcome, or one that refused and tries again, for that timeout. A session in which
// nobody has come but some that refused waits as long for others, unless they are as many as it
// waits for: enough.
func (t *Table) Waits(now time.Time, timeout time.Duration, enough bool) bool {
	joined, last := false, time.Time{}
	for _, r := range t.rows {
		switch {
		case r.inVain && r.Outcome == Pending:
			joined = true
		case r.Outcome == Pending || r.Outcome == Refused && !r.isFinal(now, timeout):
			return true
		case r.Outcome == Refused:
			if r.LastSeen.After(last) {
				last = r.LastSeen
			}
		case r.Outcome != Restarted:
			joined = true
		}
	}
	return !joined && !enough && now.Sub(last) < timeout
}

// Refused counts the machines that have come and refused, and not come again since. One that tries
// again counts once the timeout has passed since it refused first.
func (t *Table) Refused(now time.Time, timeout time.Duration) (n int) {
	for _, r := range t.rows {
		if r.Outcome == Refused && r.isFinal(now, timeout) && !t.cameAgainSince(r, r.LastSeen.Add(besideTime)) {
			n++
		}
	}
	return n
}

// Verdict ends all rows without an outcome. It counts the clients, and the clients without the
// image. A machine that joined again counts once.
func (t *Table) Verdict() (failed, all int) {
	for _, r := range t.rows {
		if r.Outcome == Pending {
			if r.inVain {
				r.Reason = "it went on asking, and took none of what was sent"
			}
			t.end(r, Lost)
		}
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
	r.Silent = false
	if r.Outcome != o {
		r.Outcome = o
		t.change(r)
	}
}

// change records that r is to be told of, once.
func (t *Table) change(r *Row) {
	if !slices.Contains(t.changed, r) {
		t.changed = append(t.changed, r)
	}
}

// isAgain reports whether r is the same machine as before, which had ended and may be replaced.
func (r *Row) isAgain(before *Row) bool {
	return !before.targetFailed && r.isMachineOf(before) && r.FirstSeen.After(before.LastSeen)
}

// cameAgainSince reports whether r's machine has come again after that time.
func (t *Table) cameAgainSince(r *Row, since time.Time) bool {
	return slices.ContainsFunc(t.rows, func(other *Row) bool { return other.isMachineOf(r) && other.FirstSeen.After(since) })
}

func (r *Row) isMachineOf(other *Row) bool {
	return r.Name == other.Name && r.Addr.Addr() == other.Addr.Addr()
}

// isFinal reports whether a refusal stands: the program does not try again, or has for that long.
func (r *Row) isFinal(now time.Time, timeout time.Duration) bool {
	return !r.again || now.Sub(r.FirstSeen) >= timeout
}

// refusesAgain gives a receiver that refuses the row of an earlier one: of the same machine, for
// the same reason or because it tries again, or, when there are too many refusals, of the last one
// from its address. It reports whether nothing else is to be recorded.
func (t *Table) refusesAgain(now time.Time, p wire.Goodbye, from netip.AddrPort) bool {
	all, ofAddress := 0, 0
	var row *Row
	for _, r := range t.rows {
		if r.Outcome != Refused {
			continue
		}
		all++
		if r.Addr.Addr() != from.Addr() {
			continue
		}
		ofAddress++
		if r.Name == t.names[p.Receiver] && (r.again || r.Reason == string(p.Reason)) || ofAddress >= maxRefusalsOfAddress {
			row = r
		}
	}
	if row == nil {
		return all >= maxRefusals
	}
	for id, r := range t.byID {
		if r == row {
			delete(t.byID, id)
		}
	}
	delete(t.names, p.Receiver)
	t.byID[p.Receiver] = row
	row.Addr, row.LastSeen = from, now
	return true
}

// cameAgain marks the earlier rows of r's machine as restarted.
func (t *Table) cameAgain(r *Row) {
	for _, before := range t.rows {
		switch before.Outcome {
		case Lost, Failed, Interrupted, Refused:
			if r.isAgain(before) {
				t.set(before, Restarted)
			}
		}
	}
}
