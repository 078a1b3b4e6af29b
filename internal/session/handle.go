package session

import (
	"net/netip"
	"time"

	"multiserver/internal/roster"
	"multiserver/internal/routes"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// handle takes in a packet. The error ends the session.
func (s *Session) handle(in packet) error {
	if offer, err := wire.ParseOffer(in.bytes); err == nil {
		return s.handleOffer(in, offer)
	}
	kind, session, err := wire.Peek(in.bytes)
	// A packet counts only in its session.
	if err != nil || s.streams == nil || session != s.id || s.dispatch(kind, in) != nil {
		s.countBad()
	}
	return nil
}

// dispatch parses a packet of this session and hands it to its handler.
func (s *Session) dispatch(kind wire.Type, in packet) error {
	switch kind {
	case wire.TypeReport:
		return parsed(in, wire.ParseReport, s.handleReport)
	case wire.TypeWanted:
		return parsed(in, wire.ParseWanted, func(in packet, p wire.Wanted) {
			s.streams.of(p.Receiver).engine.HandleWanted(s.now(), p)
			s.record(in, p.Receiver, nil)
		})
	case wire.TypeWantedSymbols:
		return parsed(in, wire.ParseWantedSymbols, func(in packet, p wire.WantedSymbols) {
			s.streams.of(p.Receiver).engine.HandleWantedSymbols(s.now(), p)
			s.record(in, p.Receiver, nil)
		})
	case wire.TypeWantedSubblocks:
		return parsed(in, wire.ParseWantedSubblocks, func(in packet, p wire.WantedSubblocks) {
			s.streams.of(p.Receiver).engine.HandleWantedSubblocks(s.now(), p)
			s.record(in, p.Receiver, nil)
		})
	case wire.TypeGoodbye:
		return parsed(in, wire.ParseGoodbye, func(in packet, p wire.Goodbye) {
			s.streams.of(p.Receiver).engine.HandleGoodbye(s.now(), p)
			s.record(in, p.Receiver, func(t *roster.Table) { t.Goodbye(p) })
		})
	case wire.TypeUnicastRequest:
		return parsed(in, wire.ParseUnicastRequest, s.handleUnicastRequest)
	case wire.TypeProbeReport:
		return parsed(in, wire.ParseProbeReport, s.handleProbeReport)
	}
	return wire.ErrType
}

// parsed hands a packet to handle if it can be parsed.
func parsed[P any](in packet, parse func([]byte) (P, error), handle func(packet, P)) error {
	p, err := parse(in.bytes)
	if err == nil {
		handle(in, p)
	}
	return err
}

// handleOffer answers an offer with the session's description. Only a packet in the session
// makes a receiver of whoever offered: anybody can send offers in others' names.
func (s *Session) handleOffer(in packet, offer wire.Offer) error {
	if s.streams == nil {
		ifIndex := in.ifIndex
		if s.cfg.Interface != 0 {
			ifIndex = s.cfg.Interface
		}
		if err := s.begin(ifIndex); err != nil {
			return err
		}
	}
	s.emptyAt = time.Time{}
	s.mu.Lock()
	again := s.table.Offer(offer.Receiver, string(offer.HostName))
	s.mu.Unlock()
	answer := s.describe(offer.Receiver, in.from)
	if err := s.cfg.Conn.Reply(answer, in.from, in.ifIndex); err != nil {
		s.cfg.Log.Debug("no way to answer", "client", in.from, "err", err)
	}
	if again && in.from.Addr().Is4() {
		// Where the question for the client's hardware address is lost, the system asks
		// again only after a second. A broadcast needs no such address.
		to := netip.AddrPortFrom(udp.LimitedBroadcast, in.from.Port())
		if err := s.cfg.Conn.WriteTo(answer, to, in.ifIndex); err != nil {
			s.cfg.Log.Debug("answer by broadcast", "client", in.from, "err", err)
		}
	}
	return nil
}

func (s *Session) handleReport(in packet, p wire.Report) {
	now, st := s.now(), s.streams.of(p.Receiver)
	if st == s.streams.group && p.Counts.Received > 0 {
		s.pace.prober.Heard()
	}
	st.engine.HandleReport(now, p)
	if st == s.streams.group || s.streams.group.engine.Receivers() == 0 {
		s.pace.rate.Report(now, p)
	}
	s.record(in, p.Receiver, func(t *roster.Table) { t.Report(p) })
}

// handleProbeReport takes in what a receiver heard of a train. One that heard nothing asks
// for a train; so does `check`, which is no receiver.
func (s *Session) handleProbeReport(_ packet, p wire.ProbeReport) {
	now, multicast := s.now(), s.streams.of(p.Receiver) == s.streams.group
	if s.pace.prober.HandleReport(now, p, multicast, s.streams.knows(p.Receiver)) {
		s.sendTrain(now)
	}
}

// handleUnicastRequest takes in that a receiver wants unicast, or no longer.
func (s *Session) handleUnicastRequest(in packet, p wire.UnicastRequest) {
	now := s.now()
	decision := s.streams.peers.Request(now, p, in.from)
	switch decision {
	case routes.Refused:
		s.countBad()
		return
	case routes.Ended:
		s.streams.endUnicast(p.Receiver)
		return
	case routes.Full:
		s.cfg.Log.Warn("too many clients hear nothing of the multicast group; this one is not served", "client", in.from)
		return
	case routes.Renewed:
		return
	}
	ifIndex := in.ifIndex
	if s.cfg.Conn.WriteTo(s.describe(p.Receiver, in.from), in.from, ifIndex) != nil {
		ifIndex = 0 // as Reply does
	}
	if err := s.streams.admitUnicast(now, p.Receiver, in.from, ifIndex, s.pace.closed, s.store.Completion()); err != nil {
		s.cfg.Log.Warn("cannot send by unicast", "client", in.from, "err", err)
		return
	}
	if decision == routes.New && s.cfg.Unicast == routes.Auto {
		s.cfg.Log.Info("a client hears nothing of the multicast group and is served by unicast", "client", in.from)
	}
}
