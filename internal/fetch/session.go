package fetch

import (
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/memory"
	"multiserver/internal/probe"
	"multiserver/internal/reach"
	"multiserver/internal/receiver"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// session is one reception. One goroutine owns it and everything in it, unless a part's comment
// says otherwise.
type session struct {
	cfg         Config
	origin      time.Time        // of the engines' times
	description wire.Description // of the session as it is now

	engine   *receiver.Engine
	reach    *reach.Engine
	observer *probe.Observer
	streams  *streams
	intake   intake
	blocks   *blocks
	room     *room
	trust    *trust // nil: nothing has to be signed

	// events come from all other goroutines. Nobody closes it, and the session never waits
	// for a sender.
	events chan event

	stepped time.Duration // when the last step began
	renamed time.Duration // when it last took a new number

	network   network
	reader    *discover.Reader
	twin      bool   // another machine has this one's address, and that was said
	receivers uint32 // that the server last told of, for the spread of questions

	packet  []byte        // scratch
	runs    []block.Range // scratch
	leaving bool          // the stream is no longer needed
	over    bool          // the server has ended the session
}

// receiver is this client's number, which it told its server alone.
func (s *session) receiver() wire.ReceiverID { return s.cfg.Offer.Session.Receiver }

func (s *session) now() time.Duration { return time.Since(s.origin) }

// loop runs until every block is written and the manifest agrees.
func (s *session) loop(ctx context.Context, answers <-chan discover.Offer) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.step(answers); err != nil {
			return err
		}
		if s.engine.Complete() && s.blocks.working == 0 {
			if ctx.Err() != nil { // the last write failed
				return context.Cause(ctx)
			}
			s.publish()
			return nil
		}
	}
}

// step waits for packets and events, and handles them.
func (s *session) step(answers <-chan discover.Offer) error {
	s.recordStop(s.now())
	s.fitMemory(s.now())
	if err := s.drain(answers); err != nil {
		return err
	}
	if err := s.takeAnswers(); err != nil {
		return err
	}
	if err := s.askSigned(s.now()); err != nil {
		return err
	}
	if s.isBusy() {
		s.reach.Busy(s.now())
	}
	if s.engine.InDoubt() {
		s.reach.Doubt(s.now(), s.receivers)
	}
	s.follow(s.reach.Next(s.now(), s.description.Token != 0, s.engine.Gone()))
	s.blocks.content.hand(s.blocks.disk.busy())
	s.sendFeedback()
	wait := tick
	if s.blocks.working > 0 || !s.blocks.ready || s.leaving || s.blocks.content.engine.UnderWay() > 0 {
		wait = busyTick
	}
	if s.reach.Asking() || s.engine.AwaitsProof() || s.trust.waits() {
		wait = busyTick
	}
	now := s.now()
	wait = min(wait, max(s.engine.Deadline()-now, 0), s.observer.Due(now))
	wait = max(wait, minWait) // what is due does not keep newer packets away
	if hold := s.intake.hold(now, s.engine.Crowded()); hold > 0 && s.streams.mayHold() {
		if err := s.awaitResult(min(wait, hold)); err != nil {
			return err
		}
	} else if err := s.receive(wait); err != nil {
		return err
	}
	s.recordDrops()
	s.publish()
	if outcome, reason, ok := s.engine.GaveUp(); ok {
		return s.gaveUp(outcome, reason)
	}
	if unserved := s.reach.Unserved(s.now()); s.cfg.SilenceLimit > 0 && unserved > s.cfg.SilenceLimit && !s.leaving {
		if lost := s.lostNetwork(); lost != "" {
			return failure.New(failure.ErrTimeLimit, "no block from %s for %s: %s", s.cfg.Offer.Server, s.cfg.SilenceLimit, lost)
		}
		why := reach.Silence{Kind: reach.Unserved, For: unserved}
		return failure.New(failure.ErrTimeLimit, "%s", silenceText(why, s.cfg.Offer.Server, s.description.Data, s.blocks.output))
	}
	return s.judgeSize()
}

// fitMemory adapts the window and the socket's buffer to the memory that there is now.
func (s *session) fitMemory(now time.Duration) {
	if !s.room.due(now) {
		return
	}
	if s.room.fit(memory.Available(), s.blocks.slots.held()) {
		s.engine.SetWindow(s.room.slots)
		s.cfg.Log.Debug(s.room.text())
	}
	if s.blocks.slots.release(s.engine.Unused()) && s.room.shrunk() {
		debug.FreeOSMemory()
	}
	if s.streams.group != nil {
		if err := s.streams.group.FitBuffer(); err != nil {
			s.cfg.Log.Debug("make the receive buffer smaller", "err", err)
		}
	}
}

// recordStop tells the engines if the session stood still since the last step began: the process
// was stopped, or its machine.
func (s *session) recordStop(now time.Duration) {
	if during := now - s.stepped; during > stopAfter {
		s.engine.Stopped(now, during)
		s.reach.Stopped(now, during)
		s.cfg.Log.Debug("this client did not run", "for", during.Round(time.Millisecond))
	}
	s.stepped = now
}

// isBusy reports whether the session would be quiet although the server serves it: it has something
// to do with the target, or waits for the manifest, or has all.
func (s *session) isBusy() bool {
	b := s.blocks
	return b.working > 0 || !b.ready || s.engine.Missing() == 0 || s.engine.Unverified() > 0 ||
		(b.content.engine.NeedsManifest() || s.trust != nil) && !b.proof.expected()
}

// receive waits for packets and handles them.
func (s *session) receive(wait time.Duration) error {
	packets, more, err := s.streams.receive(wait)
	if err != nil {
		return err
	}
	now := s.now()
	if s.streams.strangers > 0 { // or the server's, from another address
		s.reach.Elsewhere(true)
	}
	s.blocks.counts.Strangers += s.streams.strangers
	s.streams.strangers = 0
	s.intake.received(now, more)
	if len(packets) > 0 {
		s.reach.Elsewhere(false)
	}
	for _, packet := range packets {
		s.handlePacket(now, packet)
	}
	return nil
}

// awaitResult waits for what another goroutine has to tell, and handles that.
func (s *session) awaitResult(wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case e := <-s.events:
		return s.handleEvent(e)
	case <-timer.C:
		return nil
	}
}

// drain handles what the other goroutines have to tell.
func (s *session) drain(answers <-chan discover.Offer) error {
	for answered := 0; answered < maxAnswers; {
		select {
		case e := <-s.events:
			if err := s.handleEvent(e); err != nil {
				return err
			}
		case a := <-s.streams.acks:
			s.handleAck(s.now(), a)
		case o, ok := <-answers:
			if !ok {
				return errSocketClosed
			}
			answered++
			if !s.isServers(&o) {
				continue
			}
			if err := s.handleAnswer(&o); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// takeAnswers handles what the server has answered this client alone: proofs, and what is signed.
func (s *session) takeAnswers() error {
	for range cap(s.streams.answers) {
		select {
		case packet := <-s.streams.answers:
			if kind, _, _ := wire.Peek(packet); kind == wire.TypeSignature {
				a, err := wire.ParseSignature(packet)
				if err != nil || !s.isAnswer(a.Session, a.Private) {
					s.blocks.counts.Strangers++
				} else if err := s.handleSigned(s.now(), a); err != nil {
					return err
				}
				continue
			}
			p, err := wire.ParseBlockProof(packet)
			if err != nil || !s.isAnswer(p.Session, p.Private) {
				s.blocks.counts.Strangers++
			} else if !s.blocks.handleProof(s.now(), &p) {
				s.blocks.counts.BadPackets++
			}
		default:
			return nil
		}
	}
	return nil
}

// isAnswer reports whether the server alone can have sent a packet with these numbers.
func (s *session) isAnswer(id wire.SessionID, private wire.PrivateNumber) bool {
	return id == s.description.Session && private == s.description.Answer.Private
}

// handleEvent handles what another goroutine has to tell.
func (s *session) handleEvent(e event) error {
	if n, ok := e.(networkChanged); ok {
		s.handleNetwork(n)
		return nil
	}
	return s.blocks.handle(s.now(), e)
}

// follow carries out what reach's engine wants.
func (s *session) follow(a reach.Actions) {
	if a.AskSession {
		s.packet = s.appendQuestion(s.packet[:0])
		s.send(s.packet)
	}
	if s.reader.Seek(s.reach.Lost(s.now()) || s.network.lacks != ""); a.Seek {
		s.cfg.Search.Seek(s.cfg.Conn)
	}
	if a.JoinAgain {
		if err := s.streams.group.Rejoin(s.streams.iface); err != nil {
			s.cfg.Log.Debug("join the group again", "interface", s.streams.iface.Name, "err", err)
		} else {
			s.cfg.Log.Debug("nothing arrives; joined the group again", "interface", s.streams.iface.Name)
		}
	}
	if a.Over != 0 {
		s.end(a.Over)
	}
	if a.Switch {
		if s.reach.ByUnicast() {
			s.cfg.Log.Warn("nothing arrives from the multicast group; going on by unicast", "group", s.description.Data, "hint", s.hint())
		}
		s.streams.switchTo(s.reach.ByUnicast())
		s.engine.SwitchStream(s.now())
		s.blocks.content.engine.Forget()
	}
	if a.AskUnicast || a.EndUnicast {
		s.send(wire.UnicastRequest{
			Session: s.description.Session, Receiver: s.receiver(), Token: s.description.Token, Wanted: a.AskUnicast,
		}.AppendTo(nil))
	}
}

// end ends the session in the state that the server told, or was gone in.
func (s *session) end(state wire.SenderState) {
	s.over = true
	s.engine.End(s.now(), state)
}

// handleAnswer continues in the session that the server describes now. It came by unicast, in
// answer to this client's own number: only what it says completes the image, moves the stream, or
// ends the session.
func (s *session) handleAnswer(o *discover.Offer) error {
	d, old := o.Session, &s.description
	if d.Answer.Notice == wire.NumberTaken {
		s.takeNumber(o)
		return nil
	}
	if d.Session == old.Session && old.Answer.Private != 0 && !s.cfg.Offer.IsOfSameServer(o) {
		s.blocks.counts.Strangers++
		return nil
	}
	if d.Identity != old.Identity || d.Geometry != old.Geometry {
		s.over = true
		return failure.New(failure.ErrIntegrity, "%s now serves %s of %d bytes; this began with another image, %s of %d bytes",
			s.cfg.Offer.Server, d.FileName, d.Geometry.ImageSize, old.FileName, old.Geometry.ImageSize)
	}
	if o.Source() != s.streams.source {
		if err := s.streams.follow(o); err != nil {
			s.cfg.Log.Debug("join the group where the server's stream comes from", "err", err)
		}
	}
	now := s.now()
	s.reach.Answered(now)
	s.warnOfTwin(d)
	s.proveAddress(d)
	if d.Session == old.Session {
		return s.handleDescription(now, d)
	}
	if d.SymbolSize != old.SymbolSize || d.Data != old.Data {
		return fmt.Errorf("%s was started again with other settings of its network: start this client again", s.cfg.Offer.Server)
	}
	s.cfg.Log.Info("the server was started again; going on")
	completion := old.Completion
	*old = *d
	s.cfg.Offer.Session = old           // with its private number
	if d.Completion.ManifestSize == 0 { // it is the same image
		old.Completion = completion
	}
	s.engine.Restart(now, sessionOf(old))
	clear(s.blocks.gathered)
	s.blocks.content.engine.Forget()
	s.blocks.proof.expect(old.Completion)
	s.reach.Restarted(now)
	s.observer = &probe.Observer{} // the trains are numbered anew
	return s.blocks.checkManifest(now)
}

// handleDescription takes what the server tells of the session as it is now.
func (s *session) handleDescription(now time.Duration, d *wire.Description) error {
	old := &s.description
	old.Token = d.Token
	if old.Answer.Private == 0 { // of a new number
		old.Answer.Private, s.cfg.Offer.Session.Answer.Private = d.Answer.Private, d.Answer.Private
	}
	if old.Completion.ManifestSize == 0 && d.Completion.ManifestSize != 0 {
		old.Completion = d.Completion
		s.blocks.proof.expect(d.Completion)
		s.engine.Learn(now, d.Completion)
		if err := s.blocks.checkManifest(now); err != nil {
			return err
		}
	}
	if d.Answer.Given {
		s.engine.SenderAt(now, d.Answer.Sequence)
	}
	manifest := old.Completion.ManifestSize != 0
	if state := s.reach.Told(now, d.Answer.State, manifest, !s.engine.InDoubt()); state != 0 {
		s.end(state)
	}
	return nil
}

// sendFeedback sends the engines' packets that are due, maxFeedback at most.
func (s *session) sendFeedback() {
	for range maxFeedback {
		packet, ok := s.engine.Poll(s.now(), s.packet[:0])
		s.packet = packet
		if !ok {
			break
		}
		s.send(packet)
	}
	if r, due := s.observer.Report(s.now()); due {
		s.sendProbeReport(r)
	}
}

func (s *session) sendProbeReport(r wire.ProbeReport) {
	r.Session, r.Receiver = s.description.Session, s.receiver()
	s.send(r.AppendTo(nil))
}

// appendQuestion appends the offer by which the server tells the session as it is now.
func (s *session) appendQuestion(dst []byte) []byte {
	return s.cfg.Search.AppendPrivate(dst, packetMTU(&s.description, s.cfg.Search.Group), s.receiver(), s.description.Answer.Private, s.cfg.Offer.Server.Addr())
}

// send sends a packet to the server. A failure is not final: the engines repeat packets. After one
// the first that goes out is an offer: this client's address may be another, which the server
// answers before it counts anything from there.
func (s *session) send(packet []byte) {
	if s.network.unsent {
		if s.network.unsent = !s.write(s.appendQuestion(nil)); s.network.unsent {
			return
		}
	}
	s.network.unsent = !s.write(packet)
}

// write reports whether there was a network to send a packet to.
func (s *session) write(packet []byte) bool {
	err := s.cfg.Conn.WriteTo(packet, s.cfg.Offer.Server, s.cfg.Offer.AskFrom)
	if err != nil {
		s.cfg.Log.Debug("send to the server", "err", err)
	}
	return !udp.NetworkLost(err)
}

// handlePacket handles one packet of the stream.
func (s *session) handlePacket(now time.Duration, b []byte) {
	var y wire.Symbol
	if wire.ParseSymbol(b, &y) == nil {
		if y.Session != s.description.Session {
			s.handleForeign()
			return
		}
		if !wire.Intact(b) {
			s.blocks.counts.BadPackets++
			s.reach.Damaged(now)
			return
		}
		if s.reach.Packet(now); s.blocks.handleSymbol(now, &y) {
			s.reach.Symbol(now)
		}
		return
	}
	kind, session, err := wire.Peek(b)
	if err == nil && session != s.description.Session {
		s.handleForeign()
		return
	}
	switch kind {
	case wire.TypeZeroRun:
		var z wire.ZeroRun
		if z, err = wire.ParseZeroRun(b); err == nil && !s.blocks.proof.mayBeZeros(z) {
			err = wire.ErrBounds
		}
		if err == nil {
			s.runs = s.engine.HandleZeroRun(now, &z, s.runs[:0])
			s.blocks.writeZeros(s.runs)
		}
	case wire.TypeRepairAdv:
		var r wire.RepairAdv
		if r, err = wire.ParseRepairAdv(b); err == nil {
			s.engine.HandleRepairAdv(now, r)
		}
	case wire.TypeHeartbeat:
		var h wire.Heartbeat
		if h, err = wire.ParseHeartbeat(b); err == nil {
			s.handleHeartbeat(now, h)
		}
	case wire.TypeGoodbyeAck:
		var a wire.GoodbyeAck
		if a, err = wire.ParseGoodbyeAck(b); err == nil {
			s.handleAck(now, a)
		}
	case wire.TypeProbe:
		var p wire.Probe
		if p, err = wire.ParseProbe(b); err == nil {
			s.observer.HandleProbe(now, p)
		}
	case wire.TypeSubblockDigests:
		var d wire.SubblockDigests
		if d, err = wire.ParseSubblockDigests(b); err == nil {
			s.blocks.content.engine.HandleSubblocks(now, d)
		}
	case wire.TypeDescription:
		return // it announces this session
	default:
		err = wire.ErrType
	}
	if err != nil {
		s.blocks.counts.BadPackets++
		return
	}
	s.reach.Packet(now)
}

// handleForeign counts a packet of another session.
func (s *session) handleForeign() {
	s.blocks.counts.Strangers++
	s.reach.Foreign()
}

func (s *session) handleHeartbeat(now time.Duration, h wire.Heartbeat) {
	s.receivers = min(h.Receivers, maxClients)
	if h.Completion.ManifestSize != 0 && s.description.Completion.ManifestSize == 0 {
		s.reach.News(now, s.receivers)
		s.blocks.proof.makeRoom(h.Completion.ManifestSize)
	}
	s.engine.HandleHeartbeat(now, h)
	s.observer.HandleSequence(h.Sequence)
	s.reach.State(h.State)
	if h.State >= wire.SenderImageChanged && h.State <= wire.SenderStopped {
		s.reach.Ended(now, h.State, s.receivers)
	}
}

// recordDrops reports drops at this host's socket to the engines.
func (s *session) recordDrops() {
	times, packetsEach := s.streams.drops()
	more := times - s.blocks.counts.SocketDrops
	if more > 0 {
		s.blocks.counts.SocketDrops = times
		s.reach.Dropped(s.now())
	}
	s.engine.SocketDropped(more * packetsEach)
}

// publish makes the figures visible.
func (s *session) publish() {
	g := s.blocks.proof.image
	s.blocks.counts.BytesDone = min(uint64(s.engine.BlocksDone())*uint64(g.BlockSize), g.ImageSize)
	s.cfg.Account.Publish(s.blocks.counts, s.silence(), s.engine.Missing() == 0)
}

// judgeSize fails if small packets arrive but packets of the session's size do not. If the
// stream runs and nothing of it arrives, it requests a train of probes to find out.
func (s *session) judgeSize() error {
	if s.blocks.counts.PacketsReceived > 0 {
		return nil
	}
	now := s.now()
	mtu := packetMTU(&s.description, s.cfg.Search.Group)
	switch s.observer.Size(now, s.reach.ByUnicast(), s.reach.SinceSwitch(now)) {
	case probe.AskForTrain:
		s.sendProbeReport(wire.ProbeReport{})
	case probe.SizeTooLarge:
		return failure.New(failure.ErrPacketSize, "%v: packets of %d bytes from %s, while small ones do: a part of the network, or this host's %s, has a smaller MTU; start the server without ServerConfig.MTU, or raise that MTU",
			failure.ErrPacketSize, mtu, s.cfg.Offer.Server, udp.InterfaceName(s.cfg.Offer.IfIndex))
	case probe.UnicastTooLong:
		return failure.New(failure.ErrPacketSize, "%v: packets of %d bytes by unicast from %s, while small ones do: a part of the network has a smaller MTU; start the server without ServerConfig.MTU",
			failure.ErrPacketSize, mtu, s.cfg.Offer.Server)
	}
	return nil
}

// packetMTU is the MTU that a session's packets fill.
func packetMTU(d *wire.Description, group netip.Addr) int {
	return int(d.SymbolSize) + wire.SymbolHeaderSize + udp.HeaderBytes(group)
}
