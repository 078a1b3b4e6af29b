package discover

import (
	"cmp"
	"net/netip"
	"time"

	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// finding is what a search knows so far.
type finding struct {
	search *Search
	conn   *udp.Conn
	host   netip.Addr // the only one to ask; not valid if any will do
	start  time.Time

	// found is the server that answered first over MXB 2, and is asked alone; nil before.
	found *Offer
	askAt time.Time // when it is asked again
	asked int

	// older is what answered first over MXB 1, while MXB 2 may still be answered; nil before.
	older   *Offer
	olderAt time.Time
}

// due asks the server that was found, and returns an offer that needs no other answer.
func (f *finding) due(now time.Time) *Offer {
	if f.found != nil && !now.Before(f.askAt) {
		f.ask(now)
	}
	if f.found == nil && f.older != nil && now.Sub(f.olderAt) >= preferTime {
		return f.older
	}
	return nil
}

// ask asks the server that was found with a new number each time: an older server answers a number
// that it knows by broadcast too.
func (f *finding) ask(now time.Time) {
	if f.asked == confirmTries {
		f.search.Account.ForeignAnswer()
		f.found, f.asked, f.askAt = nil, 0, time.Time{}
		return
	}
	s := f.search
	f.askAt = now.Add(confirmFirst << f.asked)
	f.asked++
	s.private = wire.NewReceiverID()
	mtu := s.Interfaces[0].MTU
	for _, each := range s.Interfaces {
		mtu = min(mtu, each.MTU)
	}
	if err := f.conn.WriteTo(s.AppendPrivate(nil, mtu, s.private, 0, f.found.Server.Addr()), f.found.Server, f.found.AskFrom); err != nil {
		s.Log.Debug("ask the server that was found", "server", f.found.Server, "err", err)
	}
}

// handle takes in an answer. It returns the offer that the search ends with, if there is one, and
// an error if two servers offer different images.
func (f *finding) handle(o *Offer) (*Offer, error) {
	now, s := time.Now(), f.search
	if !f.host.IsValid() {
		o.AskFrom = o.IfIndex
	} else if !f.mayAnswer(now, o) {
		s.elsewhere = o.Server
		s.Account.ForeignAnswer()
		return nil, nil
	}
	for _, first := range []*Offer{f.found, f.older} {
		if first != nil && !f.host.IsValid() && !first.Same(o) {
			return nil, first.rivals(o)
		}
	}
	grace := now.Add(cmp.Or(s.Grace, grace))
	if f.found != nil {
		grace = f.found.standsAt
	}
	if !f.host.IsValid() {
		o.standsAt = grace
	}
	switch {
	case o.Session == nil && s.MXB1 == MXB1Only:
		return o, nil
	case o.Session == nil:
		if f.older == nil {
			f.older, f.olderAt = o, now
		}
	case o.Private && (f.host.IsValid() || f.found != nil && o.Server == f.found.Server):
		return o, nil
	case o.Session != nil && !f.host.IsValid() && f.found == nil:
		f.found = o
		f.ask(now)
	}
	return nil, nil
}

// mayAnswer reports whether an answer may come of the host that was named. A server of an earlier
// version may have several addresses and answer from another one. If only that answers, the number
// that it repeats shows that it was asked.
func (f *finding) mayAnswer(now time.Time, o *Offer) bool {
	from := o.Server.Addr()
	switch {
	case from.WithZone("") == f.host.WithZone(""):
		return f.host.Zone() == "" || from.Zone() == f.host.Zone()
	case f.isOwn(from) && f.isOwn(f.host):
		return true
	}
	return o.Private && now.Sub(f.start) >= preferTime
}

// isOwn reports whether addr is this host's.
func (f *finding) isOwn(addr netip.Addr) bool {
	for _, each := range f.search.Interfaces {
		if each.Owns(addr) {
			return true
		}
	}
	return addr.IsLoopback()
}
