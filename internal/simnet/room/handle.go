package room

import (
	"net/netip"
	"time"

	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// hear takes a message that has arrived at the sender.
func (r *Room) hear(t time.Duration, m message) {
	if n := m.offer; n != nil {
		r.Result.Offers++
		if !r.server.peers.Serves(n.id) {
			r.server.group.engine.Join(t, n.id)
		}
		r.server.board.table.Offer(n.id, n.machine.name)
		n.answer(t, r.server.description(n))
		return
	}
	second := int(t / time.Second)
	for len(r.Result.PerSecond) <= second {
		r.Result.PerSecond = append(r.Result.PerSecond, 0)
	}
	r.Result.PerSecond[second]++
	if r.cfg.Intruder > 0 {
		r.intrude(t)
	}
	if r.server.handle(t, m.packet, m.from) && r.cfg.Replays > 0 {
		r.replay(t, m.packet)
	}
}

// parsed hands a packet to f if it can be parsed.
func parsed[P any](s *server, b []byte, kind wire.Type, parse func([]byte) (P, error), f func(P)) {
	if p, err := parse(b); err == nil {
		s.room.Result.Feedback[kind]++
		f(p)
	}
}

// handle hands a packet to the engines, and tells whether it is one of this session.
func (s *server) handle(t time.Duration, b []byte, from origin) bool {
	kind, session, err := wire.Peek(b)
	if err != nil || session != s.id {
		return false
	}
	switch kind {
	case wire.TypeReport:
		parsed(s, b, kind, wire.ParseReport, func(p wire.Report) {
			if !s.counts(t, p.Receiver, from, true) {
				return
			}
			st := s.of(p.Receiver)
			if st == s.group && p.Counts.Received > 0 && s.start.prober != nil {
				s.start.prober.Reached()
			}
			st.engine.HandleReport(t, p)
			s.record(t, p.Receiver, from)
			s.board.table.Report(p)
		})
	case wire.TypeWanted:
		parsed(s, b, kind, wire.ParseWanted, func(p wire.Wanted) {
			if !s.counts(t, p.Receiver, from, true) {
				return
			}
			s.of(p.Receiver).engine.HandleWanted(t, p)
			s.record(t, p.Receiver, from)
		})
	case wire.TypeWantedSymbols:
		parsed(s, b, kind, wire.ParseWantedSymbols, func(p wire.WantedSymbols) {
			if !s.counts(t, p.Receiver, from, true) {
				return
			}
			s.of(p.Receiver).engine.HandleWantedSymbols(t, p)
			s.record(t, p.Receiver, from)
		})
	case wire.TypeWantedSubblocks:
		if s.room.cfg.NoSubblocks {
			break
		}
		parsed(s, b, kind, wire.ParseWantedSubblocks, func(p wire.WantedSubblocks) {
			if !s.counts(t, p.Receiver, from, true) {
				return
			}
			s.of(p.Receiver).engine.HandleWantedSubblocks(t, p)
			s.record(t, p.Receiver, from)
		})
	case wire.TypeGoodbye:
		parsed(s, b, kind, wire.ParseGoodbye, func(p wire.Goodbye) {
			if !s.counts(t, p.Receiver, from, false) {
				return
			}
			s.handleGoodbye(t, p, from)
			s.record(t, p.Receiver, from)
			s.board.table.Goodbye(time.Unix(0, 0).Add(t), p, from.addr)
		})
	case wire.TypeUnicastRequest:
		parsed(s, b, kind, wire.ParseUnicastRequest, func(p wire.UnicastRequest) {
			if s.counts(t, p.Receiver, from, p.Wanted) {
				s.handleUnicastRequest(t, p, from.addr)
			}
		})
	case wire.TypeAddressProof:
		parsed(s, b, kind, wire.ParseAddressProof, func(p wire.AddressProof) { s.handleAddressProof(t, p, from) })
	case wire.TypeProbeReport:
		parsed(s, b, kind, wire.ParseProbeReport, func(p wire.ProbeReport) {
			if !s.counts(t, p.Receiver, from, false) {
				return
			}
			multicast := s.of(p.Receiver) == s.group
			if s.start.prober != nil && s.start.prober.HandleReport(t, p, multicast, s.knows(p.Receiver)) {
				s.sendTrain(t)
			}
		})
	}
	return true
}

// record keeps account of a receiver that has spoken in the session.
func (s *server) record(t time.Duration, id wire.ReceiverID, from origin) {
	s.start.gate.Record(t, id)
	if s.networks.Record(t, from.network) {
		s.networks.Add(t, from.network)
		s.redirectGroup()
	}
	s.board.heard(t, id, from.addr)
}

// handleUnicastRequest takes in that a receiver wants unicast, or no longer.
func (s *server) handleUnicastRequest(t time.Duration, p wire.UnicastRequest, addr netip.AddrPort) {
	switch s.peers.Request(t, p, addr) {
	case routes.Ended:
		s.endUnicast(p.Receiver)
		return
	case routes.New:
	default:
		return
	}
	if s.unicast == nil {
		s.unicast = &stream{engine: sender.New(t, sender.Config{Session: s.id, Image: s.room.geometry, Unicast: true})}
		s.unicast.engine.Learn(s.group.engine)
		s.unicast.engine.SetCompletion(t, s.reader.completion)
		s.unicast.engine.SetGateClosed(t, s.start.closed)
	}
	s.peers.Admit(t, p.Receiver, addr)
	s.group.engine.Leave(p.Receiver)
	s.unicast.engine.Join(t, p.Receiver)
	to := &audience{}
	if s.unicast.to != nil {
		to.receivers = append(to.receivers, s.unicast.to.receivers...)
	}
	to.receivers = append(to.receivers, p.Receiver)
	s.unicast.to = to
}

// endUnicast ends it for a receiver that is not on the list of peers any more.
func (s *server) endUnicast(id wire.ReceiverID) {
	if s.unicast == nil || s.unicast.to == nil {
		return
	}
	to := &audience{}
	for _, other := range s.unicast.to.receivers {
		if other != id {
			to.receivers = append(to.receivers, other)
		}
	}
	if s.unicast.engine.Leave(id); to.receivers == nil {
		to = nil
	}
	s.unicast.to = to
}
