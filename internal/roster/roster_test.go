package roster

import (
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

var (
	start    = time.Unix(1000, 0)
	geometry = block.Geometry{ImageSize: 5<<20 + 1, BlockSize: 1 << 20}
)

func nobody(wire.ReceiverID) bool { return false }

func seconds(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

// TestRestartedMachine: a machine that comes again is judged by what becomes of it then; a
// client beside another one on its host is not that other one, nor is one after a target
// that failed.
func TestRestartedMachine(t *testing.T) {
	type client struct {
		name, addr  string
		first, last int // seconds
		outcome     wire.Outcome
		silent      bool // in place of an outcome
	}
	done := client{name: "pc1", addr: "10.0.0.1", first: 10, last: 20, outcome: wire.OutcomeDone}
	for _, c := range []struct {
		name  string
		first client
		want  Outcome
	}{
		{"killed", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, silent: true}, Restarted},
		{"out of time", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeTimeLimit}, Restarted},
		{"interrupted", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeInterrupted}, Restarted},
		{"a bad disk", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeTargetIO}, Failed},
		{"beside it", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 15, silent: true}, Lost},
		{"another address", client{name: "pc1", addr: "10.0.0.2", first: 1, last: 5, silent: true}, Lost},
		{"another name", client{name: "pc2", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeFailed}, Failed},
	} {
		for _, goodbyeFirst := range []bool{true, false} {
			table := New(geometry)
			add := func(id wire.ReceiverID, c client) {
				from := netip.AddrPortFrom(netip.MustParseAddr(c.addr), 4000+uint16(id))
				table.Offer(id, c.name)
				table.RecordPacket(seconds(c.first), id, from)
				table.RecordPacket(seconds(c.last), id, from)
			}
			end := func(id wire.ReceiverID, c client) {
				if c.silent {
					table.EndSilent(seconds(99), 0, func(other wire.ReceiverID) bool { return other != id })
				} else {
					table.Goodbye(seconds(c.last), wire.Goodbye{Receiver: id, Outcome: c.outcome}, netip.AddrPortFrom(netip.MustParseAddr(c.addr), 4000+uint16(id)))
				}
			}
			add(1, c.first)
			if goodbyeFirst {
				end(1, c.first)
			}
			add(2, done)
			end(2, done)
			if !goodbyeFirst {
				end(1, c.first)
			}
			if got := table.Rows()[0].Outcome; got != c.want {
				t.Errorf("%s, goodbye first %v: %v, want %v", c.name, goodbyeFirst, got, c.want)
			}
			failed, all := table.Verdict()
			if wantFailed := c.want != Restarted; (failed == 1) != wantFailed || all != 1+failed {
				t.Errorf("%s: %d of %d failed", c.name, failed, all)
			}
		}
	}
}

// TestRow: a row holds what the client said last, and changes tell of joins and outcomes
// only.
func TestRow(t *testing.T) {
	table := New(geometry)
	from := netip.MustParseAddrPort("10.0.0.1:5000")
	if table.Offer(7, "pc7") {
		t.Error("the first offer was made before")
	}
	if !table.Offer(7, "pc7") {
		t.Error("the second offer was not made before")
	}
	if table.Len() != 0 {
		t.Error("an offer alone makes a row")
	}
	table.RecordPacket(seconds(1), 7, from)
	table.Report(wire.Report{Receiver: 7, BlocksDone: 6, Counts: wire.PacketCounts{Received: 3, Lost: 2, Dropped: 1}, Limit: 200})
	if got := table.Changes(nil); len(got) != 1 || got[0].Name != "pc7" || got[0].Outcome != Pending {
		t.Errorf("changes after it joined: %+v", got)
	}
	want := Row{
		Name: "pc7", Addr: from, FirstSeen: seconds(1), LastSeen: seconds(1),
		BytesDone: geometry.ImageSize, Received: 3, LostOnWire: 2, Dropped: 1, Limit: "disk", grown: seconds(1), id: 7, since: seconds(1),
	}
	if got := table.Rows()[0]; got != want {
		t.Errorf("the row is %+v, want %+v", got, want)
	}
	table.Report(wire.Report{Receiver: 7, BlocksDone: 1})
	if got := table.Changes(nil); len(got) != 0 {
		t.Errorf("a report is a change: %+v", got)
	}
	table.EndSilent(seconds(8), 7*time.Second, nobody)
	if got := table.Changes(nil); len(got) != 1 || got[0].Outcome != Lost {
		t.Errorf("changes after it went silent: %+v", got)
	}
	table.RecordPacket(seconds(9), 7, from)
	table.Goodbye(seconds(9), wire.Goodbye{Receiver: 7, Outcome: wire.OutcomeIntegrity, Reason: []byte("a reason")}, from)
	if got := table.Rows()[0]; got.Outcome != Failed || got.Reason != "a reason" {
		t.Errorf("after its goodbye: %+v", got)
	}
	table.Report(wire.Report{Receiver: 99})
	if table.Len() != 1 {
		t.Error("a receiver that was not heard has a row")
	}
}

// join lets a receiver come, and end.
func (t *Table) join(id wire.ReceiverID, from netip.AddrPort, o wire.Outcome) *Row {
	t.RecordPacket(start, id, from)
	t.Goodbye(start, wire.Goodbye{Receiver: id, Outcome: o}, from)
	return t.byID[id]
}

// TestDisplace: a row that was a stranger's is its receiver's, with nothing that the stranger said.
func TestDisplace(t *testing.T) {
	table, stranger, us := New(geometry), netip.MustParseAddrPort("10.0.0.9:5000"), netip.MustParseAddrPort("10.0.0.1:5000")
	table.Offer(7, "evil")
	table.RecordPacket(start, 7, stranger)
	table.Report(wire.Report{Receiver: 7, BlocksDone: 6, Counts: wire.PacketCounts{Received: 3, Lost: 2, Dropped: 1}, Limit: 200})
	table.Goodbye(start, wire.Goodbye{Receiver: 7, Outcome: wire.OutcomeFailed, Reason: []byte("evil")}, stranger)
	table.Offer(7, "pc7")
	table.Displace(seconds(1), 7, us)
	if got, want := table.Rows(), (Row{Name: "pc7", Addr: us, FirstSeen: seconds(1), LastSeen: seconds(1), grown: seconds(1), id: 7, since: seconds(1)}); len(got) != 1 || got[0] != want {
		t.Errorf("the rows are %+v, want %+v", got, want)
	}
	table.Displace(seconds(1), 8, us)
	if table.Len() != 1 {
		t.Error("one that has no row gets one")
	}
}

// TestGiveUp: who gets nothing of what is sent is not waited for; nor who asks for nothing, once
// nobody gets on for long. Who has all of it is.
func TestGiveUp(t *testing.T) {
	from := func(id wire.ReceiverID) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(id))
	}
	for _, c := range []struct {
		name   string
		stuck  bool
		blocks uint32
		grows  int // seconds, when it last does
		at     int
		want   bool
	}{
		{"stuck, at first", true, 0, 0, 59, false},
		{"stuck", true, 0, 0, 60, true},
		{"stuck, and it has got on", true, 2, 30, 89, false},
		{"not stuck", false, 0, 0, 599, false},
		{"nobody gets on", false, 2, 0, 600, true},
		{"it has all", false, 6, 0, 6000, false},
		{"it has all, and says that it is stuck", true, 6, 0, 6000, false},
	} {
		table := New(geometry)
		table.RecordPacket(seconds(0), 7, from(7))
		table.RecordPacket(seconds(c.grows), 7, from(7))
		table.Report(wire.Report{Receiver: 7, BlocksDone: c.blocks})
		n := table.GiveUp(seconds(c.at), minute, func(wire.ReceiverID) bool { return c.stuck })
		if waits := table.Waits(seconds(c.at), minute, true); (n == 1) != c.want || waits == c.want {
			t.Errorf("%s: %d are given up, and the session waits: %v", c.name, n, waits)
		}
		if failed, all := table.Verdict(); failed != 1 || all != 1 || (table.Rows()[0].Reason != "") != c.want {
			t.Errorf("%s: %d of %d failed: %q", c.name, failed, all, table.Rows()[0].Reason)
		}
	}
}

// TestBounds: neither table, nor the names from offers, grow with who claims to be there.
func TestBounds(t *testing.T) {
	table := New(geometry)
	from := func(id wire.ReceiverID) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(id >> 8), byte(id)}), 5000)
	}
	for id := wire.ReceiverID(1); id <= MaxRows+10; id++ {
		table.Offer(id, "pc")
		if len(table.names) > MaxRows {
			t.Fatalf("%d names are kept", len(table.names))
		}
	}
	for id := wire.ReceiverID(1); id <= MaxRows+10; id++ {
		table.RecordPacket(start, id, from(id))
	}
	if table.Len() != MaxRows || len(table.byID) != MaxRows {
		t.Errorf("%d rows, %d by ID, want %d", table.Len(), len(table.byID), MaxRows)
	}

	// One address has fewer, and its ended ones make room; so do those that are lost and had nothing.
	table = New(geometry)
	done := table.join(1, from(1), wire.OutcomeDone)
	for id := wire.ReceiverID(2); id <= 3*maxRowsOfAddress; id++ {
		table.join(id, from(2), wire.OutcomeFailed)
	}
	if table.Len() != maxRowsOfAddress+1 || len(table.byID) != table.Len() || table.byID[1] != done {
		t.Errorf("an address has %d rows, %d by ID, want %d", table.Len()-1, len(table.byID)-1, maxRowsOfAddress)
	}
	for id := wire.ReceiverID(1000); id < 1000+MaxRows; id++ {
		table.RecordPacket(start, id, from(id))
	}
	if table.RecordPacket(start, 1, from(1)); table.Len() != MaxRows {
		t.Errorf("%d rows, want %d", table.Len(), MaxRows)
	}
	table.EndSilent(seconds(100), time.Minute, nobody)
	if table.RecordPacket(seconds(100), 9000, from(9000)); table.byID[9000] == nil || table.byID[1] != done || table.Len() != MaxRows {
		t.Error("those that are lost and had nothing make no room")
	}

	var requesters Requesters
	at := func(n int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 5000)
	}
	for n := range MaxRows + 10 {
		requesters.Asked(start.Add(time.Duration(n)*time.Millisecond), at(n), 1024)
	}
	if got := len(requesters.Rows()); got != MaxRows {
		t.Errorf("%d requesters, want %d", got, MaxRows)
	}
	// The first half is silent for long enough, and makes room.
	requesters.Asked(start.Add(requesterMemory+MaxRows/2*time.Millisecond), at(MaxRows+10), 1024)
	if got := len(requesters.Rows()); got != MaxRows/2+1 {
		t.Errorf("%d requesters after ten minutes, want %d", got, MaxRows/2+1)
	}
}

func TestRequesters(t *testing.T) {
	var requesters Requesters
	a, b := netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:5000")
	requesters.Asked(seconds(1), b, 1024)
	requesters.Asked(seconds(2), a, 2048)
	requesters.Asked(seconds(3), b, 1024)
	want := []Requester{{b, seconds(1), seconds(3), 2, 2048}, {a, seconds(2), seconds(2), 1, 2048}}
	if got := requesters.Rows(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v, want %+v", got, want)
	}
}
