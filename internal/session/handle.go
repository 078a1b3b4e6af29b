package session

import (
	"net/netip"
	"time"

	"multiserver/internal/guard"
	"multiserver/internal/roster"
	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// dispatch parses a packet of this session and hands it to its handler.
func (l *live) dispatch(kind wire.Type, in packet) error {
	switch kind {
	case wire.TypeReport:
		return parsed(in, wire.ParseReport, l.handleReport)
	case wire.TypeWanted:
		return parsed(in, wire.ParseWanted, func(in packet, p wire.Wanted) {
			l.handleNeed(in, p.Receiver, func(e *sender.Engine, now time.Duration) { e.HandleWanted(now, p) })
		})
	case wire.TypeWantedSymbols:
		return parsed(in, wire.ParseWantedSymbols, func(in packet, p wire.WantedSymbols) {
			l.handleNeed(in, p.Receiver, func(e *sender.Engine, now time.Duration) { e.HandleWantedSymbols(now, p) })
		})
	case wire.TypeWantedSubblocks:
		return parsed(in, wire.ParseWantedSubblocks, func(in packet, p wire.WantedSubblocks) {
			l.handleNeed(in, p.Receiver, func(e *sender.Engine, now time.Duration) { e.HandleWantedSubblocks(now, p) })
		})
	case wire.TypeWantedProof:
		return parsed(in, wire.ParseWantedProof, l.handleWantedProof)
	case wire.TypeWantedSignature:
		return parsed(in, wire.ParseWantedSignature, l.handleWantedSignature)
	case wire.TypeGoodbye:
		return parsed(in, wire.ParseGoodbye, l.handleGoodbye)
	case wire.TypeUnicastRequest:
		return parsed(in, wire.ParseUnicastRequest, l.handleUnicastRequest)
	case wire.TypeProbeReport:
		return parsed(in, wire.ParseProbeReport, l.handleProbeReport)
	case wire.TypeAddressProof:
		return parsed(in, wire.ParseAddressProof, l.handleAddressProof)
	}
	return wire.ErrType
}

// counts reports whether a packet of a receiver counts, which it does from one address only. joins
// says that it makes its sender a receiver. A receiver that hears that its packet did not asks.
func (l *live) counts(in packet, id wire.ReceiverID, joins bool) bool {
	if l.numbers.Packet(l.now(), id, in.From, joins) == guard.Counts {
		return true
	}
	l.refuse(in, id)
	return false
}

// refuse tells a receiver that its packet does not count, as if it had said goodbye.
func (l *live) refuse(in packet, id wire.ReceiverID) {
	l.board.countBad()
	ack := wire.GoodbyeAck{Session: l.id}
	ack.Receivers, ack.Refusal = ack.Receivers.Append(id), true
	if err := l.cfg.Conn.Reply(ack.AppendTo(nil), in.Arrival); err != nil {
		l.cfg.Log.Debug("no way to say that a packet does not count", "client", in.From, "err", err)
	}
}

// handleNeed handles what a receiver asks for.
func (l *live) handleNeed(in packet, id wire.ReceiverID, handle func(*sender.Engine, time.Duration)) {
	if !l.counts(in, id, true) {
		return
	}
	handle(l.streams.of(id).engine, l.now())
	l.streams.needs(l.now(), id, in.From.Addr())
	l.record(in, id, nil)
}

// handleAddressProof binds a number to the address that its receiver has proved.
func (l *live) handleAddressProof(in packet, p wire.AddressProof) {
	if p.Proof != l.streams.peers.Proof(p.Receiver, in.From) {
		l.board.countBad()
		return
	}
	switch l.numbers.Prove(l.now(), p.Receiver, in.From, l.knowsPrivate(p.Receiver, p.Digest)) {
	case guard.Refused:
		l.refuse(in, p.Receiver)
	case guard.Displaces:
		l.streams.forget(l.now(), p.Receiver)
		l.pace.prober.Forget(p.Receiver)
		l.board.displace(p.Receiver, in.From)
	case guard.Counts:
	}
}

// knowsPrivate reports whether a digest is that of a receiver's private number.
func (l *live) knowsPrivate(id wire.ReceiverID, digest wire.PrivateDigest) bool {
	return digest != 0 && digest == l.streams.peers.Private(id).Digest(id)
}

// parsed hands a packet to handle if it can be parsed.
func parsed[P any](in packet, parse func([]byte) (P, error), handle func(packet, P)) error {
	p, err := parse(in.bytes)
	if err == nil {
		handle(in, p)
	}
	return err
}

// handleOffer answers an offer with the session's description. The client becomes a receiver
// only with its first packet in the session: anybody can send offers in others' names.
func (l *live) handleOffer(in packet, offer wire.Offer) {
	now, from := l.now(), in.From.Addr()
	local := from.IsLoopback() || l.links.Local(from, in.IfIndex)
	answer := l.describe(offer.Receiver, in.From, in.IfIndex, offer.Private)
	if !from.IsLoopback() && !l.answers.May(now, from, local, in.Size, len(answer)) {
		return
	}
	l.emptyAt = time.Time{}
	again := l.board.offer(offer, in)
	l.streams.lacking.record(now, &offer, l.streams.knows)
	if l.streams.lacking.has(offer.Receiver) {
		if err := l.admitLacking(now); err != nil {
			l.cfg.Log.Warn("cannot serve a client of an earlier version: upgrade it", "client", in.From, "err", err)
		}
	}
	answer = l.describe(offer.Receiver, in.From, in.IfIndex, offer.Private)
	// The number in a question to all is for the search only, but for receivers of earlier versions,
	// which do not fill their offers.
	binds := offer.Private || len(answer) > in.Size
	if binds && !l.numbers.Offer(now, offer.Receiver, in.From, offer.Private, l.knowsPrivate(offer.Receiver, offer.Digest)) {
		answer = l.describeTaken(offer.Receiver, in)
	}
	if err := l.cfg.Conn.Reply(answer, in.Arrival); err != nil {
		l.cfg.Log.Debug("no way to answer", "client", in.From, "err", err)
	}
	if again && !offer.Private && from.Is4() && l.answers.MayBroadcast(now, local) {
		// If the ARP request for the client's hardware address is lost, the system repeats it
		// only after a second. A broadcast needs no such address.
		to := netip.AddrPortFrom(udp.LimitedBroadcast, in.From.Port())
		if err := l.cfg.Conn.WriteTo(answer, to, in.IfIndex); err != nil {
			l.cfg.Log.Debug("answer by broadcast", "client", in.From, "err", err)
		}
	}
}

func (l *live) handleReport(in packet, p wire.Report) {
	if !l.counts(in, p.Receiver, true) {
		return
	}
	now, st := l.now(), l.streams.of(p.Receiver)
	if st == l.streams.group && p.Counts.Received > 0 {
		l.pace.prober.Reached()
	}
	st.engine.HandleReport(now, p)
	st.control.report(now, in.From.Addr(), p)
	l.record(in, p.Receiver, func(t *roster.Table) { t.Report(p) })
}

// handleProbeReport handles a receiver's report of a train. A receiver that got nothing asks for
// a train; so does `check`, which is no receiver.
func (l *live) handleProbeReport(in packet, p wire.ProbeReport) {
	now, group := l.now(), l.streams.group
	counts := l.numbers.Packet(now, p.Receiver, in.From, false) == guard.Counts
	if p.Steps.Len() == 0 && !(counts && l.numbers.Proven(p.Receiver)) {
		if l.trainAt != 0 && now-l.trainAt < otherTrains || !l.links.Local(in.From.Addr(), in.IfIndex) {
			return
		}
	} else if !counts {
		l.refuse(in, p.Receiver)
		return
	}
	multicast, known := l.streams.of(p.Receiver) == group, l.streams.knows(p.Receiver)
	if l.pace.prober.HandleReport(now, p, multicast, known) {
		l.sendTrain(now)
		return
	}
	if rate, ok := l.pace.prober.Arrived(p); ok && l.pace.closed && multicast && known {
		group.control.of(p.Receiver).Probed(now, p.Receiver, rate, l.pace.prober.LastTaken())
		group.control.reported = true
	}
}

// handleGoodbye ends a receiver. One that is not in the session refuses, perhaps, or repeats itself:
// the acknowledgement goes to it by unicast too, since it need not hear the group.
func (l *live) handleGoodbye(in packet, p wire.Goodbye) {
	now, known := l.now(), false
	if l.numbers.Packet(now, p.Receiver, in.From, false) != guard.Counts {
		l.board.countBad() // an acknowledgement would end it
		return
	}
	owes := l.numbers.Owes(p.Receiver)
	l.numbers.Leave(p.Receiver)
	for _, st := range l.streams.all { // a late packet must not bring it back in either
		if owes { // its receiver might take an acknowledgement to all for its own
			known = st.engine.EndReceiver(p.Receiver) || known
		} else {
			known = st.engine.HandleGoodbye(now, p) || known
		}
	}
	l.streams.done(now, p.Receiver)
	l.pace.gate.Record(now, p.Receiver)
	l.streams.recordNetwork(now, in.IfIndex)
	l.board.goodbye(p, in.From)
	if known && !owes {
		return
	}
	ack := wire.GoodbyeAck{Session: l.id}
	ack.Receivers = ack.Receivers.Append(p.Receiver)
	if err := l.cfg.Conn.Reply(ack.AppendTo(nil), in.Arrival); err != nil {
		l.cfg.Log.Debug("no way to acknowledge a goodbye", "client", in.From, "err", err)
	}
}

// handleUnicastRequest starts, renews or ends unicast for a receiver.
func (l *live) handleUnicastRequest(in packet, p wire.UnicastRequest) {
	if !l.counts(in, p.Receiver, p.Wanted) {
		return
	}
	now := l.now()
	if p.Wanted && l.streams.of(p.Receiver).raw {
		l.cfg.Log.Warn("a client of an earlier version, which cannot decode zstd, hears nothing of its multicast group: upgrade it, or start it before the stream begins", "client", in.From)
		return
	}
	decision := l.streams.peers.Request(now, p, in.From)
	switch decision {
	case routes.Refused:
		l.board.countBad()
		return
	case routes.Ended:
		l.streams.endUnicast(now, p.Receiver)
		return
	case routes.Full:
		l.cfg.Log.Warn("too many clients hear nothing of the multicast group; this one is not served", "client", in.From)
		return
	case routes.Renewed:
		return
	}
	to := in.Arrival
	if l.cfg.Conn.ReplyBy(l.describe(p.Receiver, in.From, to.IfIndex, true), to) != nil {
		to.IfIndex = 0 // as Reply does
	}
	if err := l.streams.admitUnicast(now, p.Receiver, to, l.pace.closed, l.store.Completion()); err != nil {
		l.cfg.Log.Warn("cannot send by unicast", "client", in.From, "err", err)
		return
	}
	if decision == routes.New && l.cfg.Unicast == routes.Auto {
		l.cfg.Log.Info("a client hears nothing of the multicast group and is served by unicast", "client", in.From)
	}
}

// record records a receiver that has sent a packet in the session.
func (l *live) record(in packet, id wire.ReceiverID, change func(*roster.Table)) {
	now := l.now()
	l.pace.gate.Record(now, id)
	l.streams.recordNetwork(now, in.IfIndex)
	l.board.record(id, in.From, change)
}

// handleWantedSignature answers a receiver with what is signed of the image: the answer is larger
// than the question, and so goes to an address only that has its token.
func (l *live) handleWantedSignature(in packet, p wire.WantedSignature) {
	if p.Token != l.streams.peers.Token(p.Receiver, in.From) {
		l.board.countBad()
		return
	}
	if !l.counts(in, p.Receiver, true) {
		return
	}
	l.record(in, p.Receiver, nil)
	answer := wire.Signature{Session: l.id, Private: l.streams.peers.Private(p.Receiver), Signed: l.cfg.Signed}
	if err := l.cfg.Conn.Reply(answer.AppendTo(nil), in.Arrival); err != nil {
		l.cfg.Log.Debug("no way to answer", "client", in.From, "err", err)
	}
}
