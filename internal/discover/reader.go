package discover

import (
	"errors"
	"net"
	"net/netip"
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
	divert  func(from netip.AddrPort, packet []byte) bool
}

// NewReader returns the reader of conn, for the server of that offer. If divert is not nil, it
// is called first, on Run's goroutine, with each packet. If it returns true, the packet is no
// answer. It may not keep the packet.
func NewReader(conn *udp.Conn, s *Search, offer Offer, divert func(from netip.AddrPort, packet []byte) bool) *Reader {
	return &Reader{conn: conn, search: s, offer: offer, began: time.Now(), answers: make(chan Offer, answersRoom), divert: divert}
}

// Answers returns the server's answers. Run closes it when it ends.
func (r *Reader) Answers() <-chan Offer { return r.answers }

// Run reads until conn is closed. It calls fail if no host was named and another server answers
// this client's own question late with another image.
func (r *Reader) Run(fail func(error)) {
	defer close(r.answers)
	buf := make([]byte, wire.MaxPacketSize)
	r.conn.SetReadDeadline(time.Time{})
	for {
		n, from, _, err := r.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || r.divert != nil && r.divert(from, buf[:n]) {
			continue
		}
		o, err := parse(buf[:n], r.search.Receiver)
		if err != nil {
			r.search.Account.BadAnswer()
			continue
		}
		o.Server = from
		if from != r.offer.Server || (o.Session == nil) != (r.offer.Session == nil) {
			r.search.Account.ForeignAnswer()
			if r.isRival(&o) {
				fail(r.offer.rivals(&o))
			}
			continue
		}
		select {
		case r.answers <- o:
		default:
		}
	}
}

// isRival reports whether o is another server's answer to the question that found ours.
func (r *Reader) isRival(o *Offer) bool {
	return o.Session != nil && r.offer.Session != nil && r.search.ControlHost == "" &&
		o.Server != r.offer.Server && !r.offer.Same(o) && time.Since(r.began) < lateGrace
}
