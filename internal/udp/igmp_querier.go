package udp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// QueryInterval is how often a Querier need ask: a switch that snoops forgets what it
// is not told for 260 s (RFC 2236 §8.4), so that three questions or answers in a row
// may be lost.
const QueryInterval = time.Minute

// Querier is an IGMP querier of last resort. A switch that snoops passes a group's
// packets to those ports that report the group, and forgets what is not reported
// again; members report when asked, which a router or another switch does, if there
// is one. The Querier asks if nobody else does.
//
// The kernel of the host itself does not hear these questions: its own groups are not
// reported to the switch.
//
// Run is for one goroutine, the other methods for any.
type Querier struct {
	interfaceIndex int
	socket         *os.File
	query          []byte

	mu    sync.Mutex
	turns turns
	sent  uint64
}

// NewQuerier opens a socket on i that hears and sends IGMP; Run must follow, and
// closes it. With nobody else asking, queries will go out each every, the first after
// as long; QueryInterval is for switches with the usual times. The error is
// os.ErrPermission without the right to raw sockets (root or CAP_NET_RAW) and
// errors.ErrUnsupported on other systems than Linux.
func NewQuerier(i Interface, every time.Duration) (*Querier, error) {
	if every <= 0 {
		return nil, fmt.Errorf("query by %s each %v: not a positive time", i.Name, every)
	}
	socket, err := openIGMP(i.Index)
	if err != nil {
		return nil, fmt.Errorf("query by %s: %w", i.Name, err)
	}
	return &Querier{
		interfaceIndex: i.Index,
		socket:         socket,
		// Answered before the next one, however short the interval.
		query: appendQuery(nil, min(maxResponseTime, every/4)),
		turns: turns{every: every, last: time.Now()},
	}, nil
}

// Run asks when it is time to, until ctx ends, whose error it returns, or the
// interface is removed. While that is down it waits for it.
func (q *Querier) Run(ctx context.Context) error {
	defer q.socket.Close()
	defer context.AfterFunc(ctx, func() { q.socket.Close() })()
	packet := make([]byte, 2048)
	for {
		// It fails once the socket is closed, and Read tells.
		_ = q.socket.SetReadDeadline(q.due())
		n, err := q.socket.Read(packet)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			q.handleQuery(packet[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := q.ask(); err != nil {
				return fmt.Errorf("query by %s: %w", interfaceName(q.interfaceIndex), err)
			}
		case !errors.Is(err, syscall.ENETDOWN): // that is told once
			return fmt.Errorf("listen for queries on %s: %w", interfaceName(q.interfaceIndex), err)
		}
	}
}

// LastQuery returns who sent the last general query that a router or switch sent from an
// address of its own, and how long ago; not ok if none did.
func (q *Querier) LastQuery() (from netip.Addr, ago time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.turns.from.IsValid() {
		return from, 0, false
	}
	return q.turns.from, time.Since(q.turns.elected), true
}

// Sent is how many queries were sent. Only tests of other packages ask.
func (q *Querier) Sent() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent
}

func (q *Querier) due() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.turns.due()
}

func (q *Querier) handleQuery(packet []byte) {
	if source, ok := parseQuery(packet); ok {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.turns.recordQuery(source, time.Now())
	}
}

// ask sends a query. It returns an error if none will ever be sent again.
func (q *Querier) ask() error {
	err := sendIGMP(q.socket, q.interfaceIndex, q.query)
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO) {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turns.last = time.Now()
	if err == nil { // else the interface is down, or its queue is full
		q.sent++
	}
	return nil
}

// turns tells when it is our turn to ask.
type turns struct {
	every time.Duration
	last  time.Time // a query by whomsoever, or the start
	// An elected querier has an address; from is not valid if none was heard.
	elected time.Time
	from    netip.Addr
}

// due is when to ask if nothing is heard until then. An elected querier has two and a
// half intervals, 150 s: it asks each 125 s (RFC 2236 §8.2), and what switches remember
// of its last round lasts 260 s. One without an address, as a switch is whose cables
// changed, or another of our kind, only puts off the next of ours.
func (t *turns) due() time.Time {
	ours, theirs := t.last.Add(t.every), t.elected.Add(5*t.every/2)
	if theirs.After(ours) {
		return theirs
	}
	return ours
}

func (t *turns) recordQuery(source netip.Addr, now time.Time) {
	t.last = now
	if !source.IsUnspecified() {
		t.elected, t.from = now, source
	}
}
