package discover

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// answersRoom is how many answers may wait for the session. More are dropped, as any packet may
// be.
const answersRoom = 8

// Reader reads the control socket of a client that has found its server.
type Reader struct {
	conn    *udp.Conn
	search  *Search
	offer   Offer
	began   time.Time
	answers chan Offer
	settled chan struct{} // Run closes it once the offer stands
	divert  func(from netip.AddrPort, packet []byte) bool

	mu      sync.Mutex // guards server and seeking
	server  netip.AddrPort
	seeking bool            // answers of other addresses that offer the same image pass too
	number  wire.ReceiverID // of the session, which its server alone knows; 0 over MXB 1
}

// NewReader returns the reader of conn, for the server of that offer. If divert is not nil, it
// is called first, on Run's goroutine, with each packet. If it returns true, the packet is no
// answer. It may not keep the packet.
func NewReader(conn *udp.Conn, s *Search, offer Offer, divert func(from netip.AddrPort, packet []byte) bool) *Reader {
	number := wire.ReceiverID(0)
	if offer.Session != nil {
		number = offer.Session.Receiver
	}
	return &Reader{number: number, conn: conn, search: s, offer: offer, server: offer.Server, began: time.Now(), answers: make(chan Offer, answersRoom), settled: make(chan struct{}), divert: divert}
}

// Settled is closed by Run once the offer stands: other servers have had their time to answer
// too, and none has another image.
func (r *Reader) Settled() <-chan struct{} { return r.settled }

// Seek lets answers from other addresses than the server's pass too, if they offer the same image
// over the same protocol: the server may have another address.
func (r *Reader) Seek(on bool) {
	r.mu.Lock()
	r.seeking = on
	r.mu.Unlock()
}

// Follow records that the server has another address.
func (r *Reader) Follow(server netip.AddrPort) {
	r.mu.Lock()
	r.server, r.seeking = server, false
	r.mu.Unlock()
}

// TakeNumber records that the session has another number.
func (r *Reader) TakeNumber(id wire.ReceiverID) {
	r.mu.Lock()
	r.number = id
	r.mu.Unlock()
}

func (r *Reader) state() (server netip.AddrPort, seeking bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server, r.seeking
}

// Answers has what the server answers, until Run ends, which closes it.
func (r *Reader) Answers() <-chan Offer { return r.answers }

// Run reads until conn is closed. fail gets an error if another server answers with another image
// before the offer stands, or, to this client's own question and if no host was named, late.
func (r *Reader) Run(fail func(error)) {
	defer close(r.answers)
	buf := make([]byte, wire.MaxPacketSize)
	waits, drained := !r.offer.Stands(), false
	r.conn.SetReadDeadline(r.offer.standsAt)
	if !waits {
		close(r.settled)
	}
	for {
		n, from, ifIndex, err := r.conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded) && !drained:
			drained = true
			r.conn.SetReadDeadline(time.Now().Add(drainTime))
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.conn.SetReadDeadline(time.Time{})
			if waits {
				waits = false
				close(r.settled)
			}
			continue
		}
		if err != nil || r.divert != nil && r.divert(from, buf[:n]) {
			continue
		}
		r.mu.Lock()
		number := r.number
		r.mu.Unlock()
		o, err := r.search.parse(buf[:n], number)
		if err != nil {
			r.search.Account.BadAnswer()
			continue
		}
		o.Server, o.IfIndex = from, ifIndex
		server, seeking := r.state()
		foreign := from != server || (o.Session == nil) != (r.offer.Session == nil)
		if foreign && seeking && o.Session != nil && r.offer.Same(&o) {
			foreign = false // the session decides
		}
		if foreign {
			r.search.Account.ForeignAnswer()
		}
		if waits && !r.offer.Same(&o) || foreign && r.isRival(&o) {
			waits = false // for good: the offer never stands
			fail(r.offer.rivals(&o))
			continue
		}
		// The search's question may be answered late.
		if foreign || o.Session != nil && !o.Private && from == server {
			continue
		}
		select {
		case r.answers <- o:
		default:
		}
	}
}

// isRival reports whether o is another server's late answer to the question that found ours.
func (r *Reader) isRival(o *Offer) bool {
	return o.Session != nil && r.offer.Session != nil && r.search.ControlHost == "" &&
		o.Server != r.offer.Server && !r.offer.Same(o) && time.Since(r.began) < lateGrace
}
