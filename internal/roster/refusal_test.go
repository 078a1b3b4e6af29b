package roster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/wire"
)

const minute = time.Minute

// visit is what a receiver does to a table.
type visit struct {
	at      int // seconds
	id      wire.ReceiverID
	name    string
	host    byte
	outcome wire.Outcome // joins: it is heard
	again   bool
	reason  string
}

// joins is no outcome.
const joins wire.Outcome = 255

func (v visit) do(table *Table) {
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, v.host}), 4000+uint16(v.id))
	table.Offer(v.id, v.name)
	if v.outcome == joins {
		table.RecordPacket(seconds(v.at), v.id, from)
		return
	}
	table.Goodbye(seconds(v.at), wire.Goodbye{Receiver: v.id, Outcome: v.outcome, Again: v.again, Reason: []byte(v.reason)}, from)
}

// TestRefused: one that refuses before it joins has a row of its own state, counts as come once for
// each machine, and keeps the session only as long as it may come back.
func TestRefused(t *testing.T) {
	refuses := func(at int, id wire.ReceiverID, host byte) visit {
		return visit{at: at, id: id, name: "pc", host: host, outcome: wire.OutcomeTargetRefused, reason: "/dev/sda is mounted on /mnt"}
	}
	triesAgain := func(at int, id wire.ReceiverID, host byte) visit {
		v := refuses(at, id, host)
		v.again = true
		return v
	}
	is := func(at int, id wire.ReceiverID, host byte, o wire.Outcome) visit {
		return visit{at: at, id: id, name: "pc", host: host, outcome: o}
	}
	for _, c := range []struct {
		name    string
		visits  []visit
		at      int // seconds, when it is asked
		enough  bool
		came    int  // refused, that nobody need wait for
		waits   bool // the session goes on
		rows    []Outcome
		failed  int
		verdict int
	}{
		{"one of two", []visit{refuses(1, 1, 1), is(2, 2, 2, wire.OutcomeDone)}, 3, false, 1, false, []Outcome{Refused, Done}, 1, 2},
		{"while the other receives", []visit{refuses(1, 1, 1), is(2, 2, 2, joins)}, 3, true, 1, true, []Outcome{Refused, Lost}, 2, 2},
		{"all that were waited for", []visit{refuses(1, 1, 1), refuses(2, 2, 2)}, 3, true, 2, false, []Outcome{Refused, Refused}, 2, 2},
		{"the first of a room", []visit{refuses(1, 1, 1)}, 60, false, 1, true, []Outcome{Refused}, 1, 1},
		{"nobody else for a minute", []visit{refuses(1, 1, 1)}, 61, false, 1, false, []Outcome{Refused}, 1, 1},
		{"the same machine twice", []visit{refuses(1, 1, 1), refuses(9, 2, 1)}, 10, true, 1, false, []Outcome{Refused}, 1, 1},
		{"two at once on one machine", []visit{refuses(1, 1, 1), is(2, 2, 1, joins)}, 3, true, 1, true, []Outcome{Refused, Lost}, 2, 2},
		{"the same machine joins later", []visit{refuses(1, 1, 1), is(9, 2, 1, joins)}, 10, true, 0, true, []Outcome{Refused, Lost}, 2, 2},
		{"it tries again", []visit{triesAgain(1, 1, 1)}, 60, true, 0, true, []Outcome{Refused}, 1, 1},
		{"it has tried for a minute", []visit{triesAgain(1, 1, 1), triesAgain(58, 2, 1)}, 61, true, 1, false, []Outcome{Refused}, 1, 1},
		{"it has tried often enough", []visit{triesAgain(1, 1, 1), refuses(6, 2, 1)}, 7, true, 1, false, []Outcome{Refused}, 1, 1},
		{"its disk came late", []visit{triesAgain(1, 1, 1), triesAgain(6, 2, 1), is(16, 3, 1, wire.OutcomeDone)}, 17, true, 0, false, []Outcome{Restarted, Done}, 0, 1},
		{"for its path", []visit{is(1, 1, 1, joins), is(2, 1, 1, wire.OutcomePath)}, 3, true, 1, false, []Outcome{Refused}, 1, 1},
		{"for another reason", []visit{is(2, 1, 1, wire.OutcomeRefused)}, 3, true, 1, false, []Outcome{Refused}, 1, 1},
	} {
		table := New(geometry)
		for _, v := range c.visits {
			v.do(table)
		}
		if got := table.Refused(seconds(c.at), minute); got != c.came {
			t.Errorf("%s: %d have come and refused, want %d", c.name, got, c.came)
		}
		if got := table.Waits(seconds(c.at), minute, c.enough); got != c.waits {
			t.Errorf("%s: the session goes on: %v, want %v", c.name, got, c.waits)
		}
		failed, all := table.Verdict()
		if failed != c.failed || all != c.verdict {
			t.Errorf("%s: %d of %d, want %d of %d", c.name, failed, all, c.failed, c.verdict)
		}
		rows := table.Rows()
		if len(rows) != len(c.rows) {
			t.Fatalf("%s: %d rows, want %d", c.name, len(rows), len(c.rows))
		}
		for i, r := range rows {
			if r.Outcome != c.rows[i] || r.Outcome == Refused && r.Reason != c.visits[0].reason {
				t.Errorf("%s: row %d is %v for %q, want %v", c.name, i, r.Outcome, r.Reason, c.rows[i])
			}
		}
	}
}

// TestRefusalChanges: each refusal is told of once, and a try that refuses for the same reason is
// no news.
func TestRefusalChanges(t *testing.T) {
	table := New(geometry)
	for n, c := range []struct {
		reason string
		want   int
	}{{"no disk", 1}, {"no disk", 0}, {"no medium", 1}} {
		visit{at: 1 + n, id: wire.ReceiverID(1 + n), name: "pc", host: 1, outcome: wire.OutcomeTargetRefused, again: true, reason: c.reason}.do(table)
		got := table.Changes(nil)
		if len(got) != c.want || c.want == 1 && (got[0].Outcome != Refused || got[0].Reason != c.reason) {
			t.Errorf("try %d, %s: %+v", n, c.reason, got)
		}
	}
}

// TestRefusalBounds: refusals leave room for others, whoever makes them.
func TestRefusalBounds(t *testing.T) {
	table := New(geometry)
	id := wire.ReceiverID(0)
	refuse := func(addr netip.Addr) {
		id++
		table.Goodbye(seconds(1), wire.Goodbye{Receiver: id, Outcome: wire.OutcomeTargetRefused, Reason: fmt.Append(nil, id)}, netip.AddrPortFrom(addr, 4000))
	}
	one := netip.MustParseAddr("10.1.0.1")
	for range 3 * maxRefusalsOfAddress {
		refuse(one)
	}
	if table.Len() != maxRefusalsOfAddress || len(table.byID) != maxRefusalsOfAddress {
		t.Errorf("one address has %d rows and %d numbers, want %d", table.Len(), len(table.byID), maxRefusalsOfAddress)
	}
	for n := range 2 * maxRefusals {
		refuse(netip.AddrFrom4([4]byte{10, 2, byte(n >> 8), byte(n)}))
	}
	if table.Len() != maxRefusals || len(table.byID) != maxRefusals {
		t.Errorf("%d rows and %d numbers, want %d", table.Len(), len(table.byID), maxRefusals)
	}
	visit{at: 2, id: 1 << 40, host: 9, outcome: joins}.do(table)
	if table.Len() != maxRefusals+1 {
		t.Error("one that joins has no row")
	}
}

// TestSilent: one that is silent is waited for, goes on when it comes back, also after it was
// lost, and is not waited for once its machine has come again.
func TestSilent(t *testing.T) {
	join := func(table *Table, at int, id wire.ReceiverID) {
		visit{at: at, id: id, name: "pc", host: 1, outcome: joins}.do(table)
	}
	table := New(geometry)
	join(table, 1, 1)
	table.Changes(nil)
	for _, c := range []struct {
		at    int
		knows bool
		back  bool // it sends something before
		want  Outcome
	}{
		{at: 3, knows: true},
		{at: 5},
		{at: 60},
		{at: 60, back: true, knows: true},
		{at: 119},
		{at: 120, want: Lost},
		{at: 300, want: Lost},
		{at: 301, back: true, knows: true},
		{at: 360},
		{at: 361, want: Lost},
	} {
		if c.back {
			join(table, c.at, 1)
		}
		table.EndSilent(seconds(c.at), minute, func(wire.ReceiverID) bool { return c.knows })
		r := table.Rows()[0]
		if silent := c.want == Pending && !c.knows; r.Outcome != c.want || r.Silent != silent {
			t.Errorf("after %d s: %v, silent: %v; want %v, %v", c.at, r.Outcome, r.Silent, c.want, silent)
		}
		if waits := table.Waits(seconds(c.at), minute, true); waits != (c.want == Pending) {
			t.Errorf("after %d s the session waits: %v", c.at, waits)
		}
	}
	join(table, 400, 1)
	join(table, 410, 2)
	table.EndSilent(seconds(411), minute, func(id wire.ReceiverID) bool { return id == 2 })
	if got := table.Rows()[0].Outcome; got != Restarted {
		t.Errorf("it is %v although its machine has come again", got)
	}
	join(table, 412, 1) // another client on the same machine, then
	if got := table.Rows()[0].Outcome; got != Pending {
		t.Errorf("it is %v although it has come back", got)
	}
}
