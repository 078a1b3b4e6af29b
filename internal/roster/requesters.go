package roster

import (
	"net/netip"
	"slices"
	"time"
)

// requesterMemory is how long a requester that is silent stays in a full table.
const requesterMemory = 10 * time.Minute

// Requester is a client of MXB 1. The server knows only what the client has asked for.
type Requester struct {
	Addr      netip.AddrPort
	FirstSeen time.Time
	LastSeen  time.Time
	Requests  uint64 // for blocks
	// AskedBytes counts the image's bytes that it has asked for, each time that it has.
	AskedBytes uint64
}

// Requesters is the table of MXB 1's clients. The zero value is empty.
type Requesters struct {
	rows map[netip.AddrPort]*Requester
}

// Asked counts a request for bytes of the image. In a full table, clients that have been silent
// for ten minutes make room; if there is none, the request is not counted.
func (t *Requesters) Asked(now time.Time, from netip.AddrPort, bytes uint64) {
	r := t.rows[from]
	if r == nil {
		if len(t.rows) >= MaxRows {
			t.forget(now)
		}
		if len(t.rows) >= MaxRows {
			return
		}
		if t.rows == nil {
			t.rows = map[netip.AddrPort]*Requester{}
		}
		r = &Requester{Addr: from, FirstSeen: now}
		t.rows[from] = r
	}
	r.LastSeen = now
	r.Requests++
	r.AskedBytes += bytes
}

func (t *Requesters) forget(now time.Time) {
	for addr, r := range t.rows {
		if now.Sub(r.LastSeen) > requesterMemory {
			delete(t.rows, addr)
		}
	}
}

// Rows returns a copy of all rows, by first request.
func (t *Requesters) Rows() []Requester {
	rows := make([]Requester, 0, len(t.rows))
	for _, r := range t.rows {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b Requester) int {
		if d := a.FirstSeen.Compare(b.FirstSeen); d != 0 {
			return d
		}
		return a.Addr.Compare(b.Addr)
	})
	return rows
}
