package multiserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"multiserver/internal/sender"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Clients that hear nothing of the group get the same symbols by unicast: a stream of
// its own, with an engine of its own, of which each of them gets a copy.

const (
	// unicastShare: while multicast runs, unicast gets one byte in so many. It costs the
	// others that, and gains little: all of the wire is unicast's when they are done.
	unicastShare = 20
	// maxUnicastCredit bounds, in bytes, what unicast may send at once after a rest.
	maxUnicastCredit = 256 << 10
	// maxUnicast bounds the clients that are served by unicast.
	maxUnicast = 256
)

// unicastPeer is a client that asked for unicast.
type unicastPeer struct {
	addr    netip.AddrPort
	sender  *udp.Sender
	renewed time.Duration
}

// token proves to the server that a receiver hears what is sent to an address; 0 if that
// is of no use.
func (s *symbolServer) token(id wire.ReceiverID, addr netip.AddrPort) wire.Token {
	if s.cfg.Unicast == UnicastNever {
		return 0
	}
	h := hmac.New(sha256.New, s.secret[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(id)))
	h.Write([]byte(addr.String()))
	return wire.Token(binary.BigEndian.Uint64(h.Sum(nil)))
}

// hearUnicast takes in that a client wants unicast, or no longer.
func (s *symbolServer) hearUnicast(now time.Duration, f feedback, p wire.UnicastRequest) {
	if s.cfg.Unicast == UnicastNever || p.Token != s.token(p.Receiver, f.from) {
		s.countBad()
		return
	}
	peer := s.unicast[p.Receiver]
	switch {
	case !p.Wanted:
		s.endUnicast(p.Receiver)
		return
	case peer != nil && peer.addr == f.from:
		peer.renewed = now
		return
	case peer == nil && len(s.unicast) >= maxUnicast:
		s.cfg.Log.Warn("too many clients hear nothing of the multicast group; this one is not served", "client", f.from)
		return
	}
	ifIndex := f.ifIndex
	if s.conn.WriteTo(s.describe(p.Receiver, f.from), f.from, ifIndex) != nil {
		ifIndex = 0 // as answer does
	}
	to, err := s.conn.NewSender(f.from, ifIndex, udp.MethodAuto)
	if err != nil {
		s.cfg.Log.Warn("cannot send by unicast", "client", f.from, "err", err)
		return
	}
	if s.single == nil {
		s.single = &stream{unicast: true, engine: sender.New(now, sender.Config{Session: s.session, Image: s.geometry, Unicast: true})}
		s.single.engine.Learn(s.group.engine)
		if s.manifest != nil {
			s.single.engine.SetCompletion(now, s.completion())
		}
		s.single.engine.SetGateClosed(now, s.held)
		s.streams = append(s.streams, s.single)
	}
	if peer == nil && s.cfg.Unicast == UnicastAuto {
		s.cfg.Log.Info("a client hears nothing of the multicast group and is served by unicast", "client", f.from)
	}
	s.unicast[p.Receiver] = &unicastPeer{addr: f.from, sender: to, renewed: now}
	s.group.engine.Leave(p.Receiver)
	s.single.engine.Join(now, p.Receiver)
	s.redirect()
}

// endUnicast ends it for one.
func (s *symbolServer) endUnicast(id wire.ReceiverID) {
	if s.unicast[id] == nil {
		return
	}
	delete(s.unicast, id)
	s.single.engine.Leave(id)
	s.redirect()
}

// redirect makes the stream go to those who want it.
func (s *symbolServer) redirect() {
	s.single.to = nil
	for _, p := range s.unicast {
		s.single.to = append(s.single.to, p.sender)
	}
}

// lapseUnicast forgets those who have not asked again for as long as makes a receiver
// one that is gone.
func (s *symbolServer) lapseUnicast(now time.Duration) {
	if s.single == nil {
		return
	}
	limit := 4*s.single.engine.Interval() + 2*time.Second
	for id, p := range s.unicast {
		if now-p.renewed > limit {
			s.endUnicast(id)
		}
	}
}

// streamOf is the stream that a receiver takes.
func (s *symbolServer) streamOf(id wire.ReceiverID) *stream {
	if s.unicast[id] != nil {
		return s.single
	}
	return s.group
}

// composeNext fills b from the stream whose turn it is, and tells whether there is
// anything to send.
func (s *symbolServer) composeNext(b *batch) (filled bool, err error) {
	ahead := s.single != nil && s.unicastCredit >= 0
	for n := range s.streams {
		if ahead { // the other one first
			n = len(s.streams) - 1 - n
		}
		st := s.streams[n]
		if filled, err = s.compose(b, st); err != nil {
			return false, err
		}
		if !filled {
			st.rested = true
			continue
		}
		if st == s.group {
			s.unicastCredit = min(s.unicastCredit+b.wireBytes(s.cfg.Group)/(unicastShare-1), maxUnicastCredit)
		} else if cost := b.wireBytes(s.cfg.Group) * len(b.to); ahead && s.group.engine.Receivers() > 0 {
			s.unicastCredit = max(s.unicastCredit-cost, -cost)
		}
		return true, nil
	}
	return false, nil
}
