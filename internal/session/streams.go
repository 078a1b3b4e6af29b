package session

import (
	"log/slog"
	"net/netip"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/congestion"
	"multiserver/internal/probe"
	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// stream is an engine and where its packets go.
type stream struct {
	engine   *sender.Engine
	unicast  bool              // each of to is one receiver
	raw      bool              // its blocks of the image are the twins of the others'
	to       []transmit.Sender // each of them gets all; replaced, never changed
	data     []transmit.Sender // of to, those that get symbols; replaced, never changed
	queue    *transmit.Queue
	control  control
	sequence wire.Sequence // the last one composed
	held     sender.Send   // what Next gave and the batch had no room for
	rested   bool          // since the last measure there was a moment with nothing to send
	sent     uint64        // packets, each counted once
	measured uint64        // of sent
	bits     float64       // a second, by the last measure; 0: that says nothing of the rate
	pace     float64       // the last bits that were not 0
}

// leastRate, in packets a second, is what the report interval follows: of a stream that hardly goes
// on, because those that are left do not answer, they would be missed only after minutes.
const leastRate = 100

// measure takes how many packets a second went out in the time since the last measure. It
// says nothing of the rate if there was little to send.
func (st *stream) measure(since time.Duration) {
	rate := float64(st.sent-st.measured) / since.Seconds()
	rested := st.rested
	st.measured, st.rested, st.bits = st.sent, false, 0
	if rested || rate == 0 || st.control.decision.Rate == 0 { // or it trickles
		return
	}
	if rate >= leastRate {
		st.engine.SetRate(rate)
	}
	st.bits = rate * st.control.cfg.PacketBits
	st.pace = st.bits
}

// poll lets the controllers decide how the stream goes on, if that is due.
func (st *stream) poll(now time.Duration) {
	if !st.control.poll(now) {
		return
	}
	rate := st.control.decision.Rate
	st.queue.SetPace(st.control.pace(st.queue.Rate()), st.control.decision.Burst)
	if st.pace > 0 {
		rate = min(rate, 2*st.pace)
	}
	st.queue.SetRate(rate, st.control.cfg.PacketSize)
	ids, interval := st.control.reporters(now)
	st.engine.SetSample(interval, ids)
}

// send sends one packet at once, past the batches.
func (st *stream) send(packet []byte, log *slog.Logger) {
	for _, to := range st.to {
		if err := to.Send(packet, len(packet)); err != nil {
			log.Debug("send a packet", "err", err)
		}
	}
}

// unicastPlace: while the group's stream has something to send, unicast gets one byte in
// twenty. It costs the others that, and gains little: all of the wire is unicast's when they
// are done.
var unicastPlace = transmit.Place{Rank: 1, OneIn: 20}

// streams are the group's stream and, as soon as one receiver wanted it, the one by
// unicast: the same symbols, with an engine of its own. In a session with other codecs than raw,
// there is a third for receivers that came without them when the stream had begun: to a group of
// its own, which the others do not hear.
type streams struct {
	cfg      *Config
	rates    congestion.Config // of both streams
	session  wire.SessionID
	geometry block.Geometry
	data     netip.AddrPort // the group's stream
	rawData  netip.AddrPort // the raw stream

	group   *stream
	raw     *stream   // nil until a receiver needs it
	unicast *stream   // nil until a receiver asks for it
	all     []*stream // that exist

	networks    routes.Networks
	networkWays map[int]transmit.Sender // by interface
	rawWays     map[int]transmit.Sender // of the raw stream
	lacking     lacking
	changed     func(interfaces []int) // called when the networks change
	peers       *routes.Unicast
	peerWays    map[wire.ReceiverID]transmit.Sender
	symbolSize  uint16 // 0: all blocks are raw
	interleave  int    // blocks that are sent side by side
	silent      int    // of the receivers by unicast: they get no symbols
}

func newStreams(cfg *Config, rates congestion.Config, f *facts, secret []byte, changed func([]int)) *streams {
	now, id, g := f.now(), f.id, f.geometry
	group := &stream{
		engine: sender.New(now, sender.Config{Session: id, Image: g}),
		queue:  cfg.Transmitter.NewQueue(transmit.FirstInFlight, transmit.Place{}),
	}
	rates.Ceiling = float64(group.queue.Rate())
	group.control = newControl(now, rates, false)
	return &streams{
		cfg: cfg, rates: rates, session: id, geometry: g, data: f.data, rawData: f.rawData,
		group: group, all: []*stream{group},
		networks:    routes.Networks{Fixed: cfg.Interface != 0},
		networkWays: map[int]transmit.Sender{},
		lacking:     lacking{},
		changed:     changed,
		peers:       routes.NewUnicast(cfg.Unicast, secret),
		peerWays:    map[wire.ReceiverID]transmit.Sender{},
	}
}

// setInterleave sets how many blocks each stream sends side by side.
func (s *streams) setInterleave(blocks int) {
	s.interleave = blocks
	for _, st := range s.all {
		st.engine.SetInterleave(blocks)
	}
}

// setCoded says that blocks of the image have other encodings than raw.
func (s *streams) setCoded(symbolSize uint16) {
	s.symbolSize = symbolSize
	for _, st := range s.all {
		st.engine.SetCoded(s.symbolSize)
	}
}

// of returns the stream of a receiver.
func (s *streams) of(id wire.ReceiverID) *stream {
	switch {
	case s.peers.Serves(id):
		return s.unicast
	case s.raw != nil && s.lacking.has(id):
		return s.raw
	}
	return s.group
}

// knows reports whether a receiver is unfinished and sent something lately.
func (s *streams) knows(id wire.ReceiverID) bool { return s.of(id).engine.Knows(id) }

// unfinished is the count of receivers that are not done.
func (s *streams) unfinished() (n int) {
	for _, st := range s.all {
		n += st.engine.Receivers()
	}
	return n
}

func (s *streams) receivers() probe.Receivers {
	return probe.Receivers{Unfinished: s.unfinished(), Multicast: s.group.engine.Receivers(), Knows: s.knows}
}

// ready, zero and complete tell all engines what the store has found.
func (s *streams) ready(r sender.Ref, k uint16) {
	for _, st := range s.all {
		if r.Object == wire.Manifest || (r.Object == wire.Twin) == st.raw {
			st.engine.Ready(sender.Ref{Object: objectOf(r), Block: r.Block}, k)
		}
	}
}

// objectOf is a block's object as an engine names it.
func objectOf(r sender.Ref) wire.Object {
	if r.Object == wire.Twin {
		return wire.Image
	}
	return r.Object
}

// stored is how the store names what is block r to the engine.
func (st *stream) stored(r sender.Ref) sender.Ref {
	if st.raw && r.Object == wire.Image {
		r.Object = wire.Twin
	}
	return r
}

func (s *streams) zero(id block.ID) {
	for _, st := range s.all {
		st.engine.Zero(id)
	}
}

func (s *streams) complete(now time.Duration, c wire.Completion) {
	for _, st := range s.all {
		st.engine.SetCompletion(now, c)
	}
}

// setGate stops or starts the streams. The group's also stays stopped while unreached.
func (s *streams) setGate(now time.Duration, closed, unreached bool) {
	for _, st := range s.all {
		st.engine.SetGateClosed(now, closed || unreached && st == s.group)
	}
}

// upcoming appends the blocks that the engines will want soon.
func (s *streams) upcoming(dst []sender.Ref, n int) []sender.Ref {
	for _, st := range s.all {
		own := len(dst)
		dst = st.engine.Upcoming(dst, n)
		for i := range dst[own:] {
			dst[own+i] = st.stored(dst[own+i])
		}
	}
	return dst
}

// needs takes note that a receiver asks for something.
func (s *streams) needs(now time.Duration, id wire.ReceiverID, from netip.Addr) {
	st := s.of(id)
	if !st.unicast || st.control.of(id) != nil {
		st.control.join(now, id, from)
		return
	}
	st.control.add(now, id, from, st.sequence) // it was done, and is no longer
	s.redirectUnicast(now)
}

// done takes note that a receiver needs nothing more.
func (s *streams) done(now time.Duration, id wire.ReceiverID) {
	st := s.of(id)
	st.control.leave(id)
	if st.unicast {
		s.redirectUnicast(now)
	}
}

// forget drops all that is known of a receiver: it was a stranger's.
func (s *streams) forget(now time.Duration, id wire.ReceiverID) {
	if s.peers.Serves(id) {
		s.peers.Drop(id)
		s.endUnicast(now, id)
	}
	for _, st := range s.all {
		st.engine.Forget(id)
		st.control.leave(id)
	}
}

// deadline is when an engine has something to send, whatever comes in.
func (s *streams) deadline() time.Duration {
	at := s.group.engine.Deadline()
	for _, st := range s.all {
		at = min(at, st.engine.Deadline())
	}
	return at
}

// shownRate is what holds the stream back, in words: the first one's that has receivers.
func (s *streams) shownRate() (limit uint64, reason string) {
	for _, st := range s.all {
		if st.engine.Receivers() > 0 {
			return st.control.shown(st.bits)
		}
	}
	return 0, ""
}

// poll lets the controllers of all streams decide. By unicast, receivers that are silent get
// no symbols.
func (s *streams) poll(now time.Duration) {
	for _, st := range s.all {
		st.poll(now)
	}
	if s.unicast == nil {
		return
	}
	silent := 0
	for _, d := range s.unicast.control.destinations {
		if d.silent(now) {
			silent++
		}
	}
	if silent != s.silent {
		s.redirectUnicast(now)
	}
}

// end tells all receivers once that the session is over.
func (s *streams) end(now time.Duration, state wire.SenderState) {
	for _, st := range s.all {
		st.engine.End(now, state)
		if packet, ok := st.engine.Poll(now, nil); ok {
			st.send(packet, s.cfg.Log)
		}
	}
}

// addNetwork adds an interface to the group's stream.
func (s *streams) addNetwork(now time.Duration, ifIndex int) error {
	way, err := s.cfg.Conn.NewSender(s.data, ifIndex, udp.MethodAuto)
	if err != nil {
		return err
	}
	if s.raw != nil {
		if s.rawWays[ifIndex], err = s.cfg.Conn.NewSender(s.rawData, ifIndex, udp.MethodAuto); err != nil {
			return err
		}
	}
	s.networkWays[ifIndex] = way
	s.networks.Add(now, ifIndex)
	s.redirectGroup()
	return nil
}

// moveNetwork sends on one interface in the place of all others.
func (s *streams) moveNetwork(now time.Duration, ifIndex int) {
	was := s.networks
	s.networks = routes.Networks{Fixed: was.Fixed}
	if err := s.addNetwork(now, ifIndex); err != nil {
		s.networks = was
		s.cfg.Log.Warn("cannot send on the interface as it is now", "interface", udp.InterfaceName(ifIndex), "err", err)
	}
}

// recordNetwork records the interface that a receiver's packet came in on: the stream has to go
// out there.
func (s *streams) recordNetwork(now time.Duration, ifIndex int) {
	if !s.networks.Record(now, ifIndex) {
		return
	}
	if err := s.addNetwork(now, ifIndex); err != nil {
		s.cfg.Log.Warn("cannot serve the network that a client asks from", "interface", udp.InterfaceName(ifIndex), "err", err)
	}
}

// lapse drops silent networks and silent receivers by unicast.
func (s *streams) lapse(now time.Duration) {
	if s.networks.Lapse(now, s.group.engine.Interval()) {
		s.redirectGroup()
	}
	for _, st := range s.all {
		if !st.unicast {
			st.control.destinations[0].engine.Retain(st.engine.Knows)
		}
	}
	if s.unicast == nil {
		return
	}
	for _, id := range s.peers.Lapse(nil, now, s.unicast.engine.Interval()) {
		s.endUnicast(now, id)
	}
}

// redirectGroup lets the multicast streams go out on the networks that there are.
func (s *streams) redirectGroup() {
	interfaces := s.networks.Indices(nil)
	s.networkWays = s.group.redirect(interfaces, s.networkWays)
	if s.raw != nil {
		s.rawWays = s.raw.redirect(interfaces, s.rawWays)
	}
	s.changed(interfaces)
}

// redirect lets the stream go out by those of the ways that lead to these interfaces, and returns
// them.
func (st *stream) redirect(interfaces []int, ways map[int]transmit.Sender) map[int]transmit.Sender {
	left := make(map[int]transmit.Sender, len(interfaces))
	st.to = nil
	for _, each := range interfaces {
		left[each] = ways[each]
		st.to = append(st.to, ways[each])
	}
	st.data = st.to
	return left
}

// admitUnicast begins to serve a receiver by unicast.
func (s *streams) admitUnicast(now time.Duration, id wire.ReceiverID, to udp.Arrival, closed bool, c wire.Completion) error {
	way, err := s.cfg.Conn.NewReplier(to, udp.MethodAuto)
	if err != nil {
		return err
	}
	if s.unicast == nil {
		s.unicast = &stream{
			unicast: true,
			engine:  sender.New(now, sender.Config{Session: s.session, Image: s.geometry, Unicast: true}),
			queue:   s.cfg.Transmitter.NewQueue(transmit.FirstInFlight, unicastPlace),
			control: newControl(now, s.rates, true),
		}
		s.unicast.engine.SetInterleave(s.interleave)
		if s.symbolSize != 0 {
			s.unicast.engine.SetCoded(s.symbolSize)
		}
		s.unicast.engine.Learn(s.group.engine)
		s.unicast.engine.SetCompletion(now, c)
		s.unicast.engine.SetGateClosed(now, closed)
		s.all = append(s.all, s.unicast)
	}
	s.peers.Admit(now, id, to.From)
	s.peerWays[id] = way
	s.group.engine.Leave(id)
	s.group.control.leave(id)
	s.unicast.engine.Join(now, id)
	s.unicast.control.add(now, id, to.From.Addr(), s.unicast.sequence)
	s.redirectUnicast(now)
	return nil
}

// endUnicast ends it for a receiver that is not on the list of peers any more.
func (s *streams) endUnicast(now time.Duration, id wire.ReceiverID) {
	if s.peerWays[id] == nil {
		return
	}
	delete(s.peerWays, id)
	s.unicast.engine.Leave(id)
	s.unicast.control.leave(id)
	s.redirectUnicast(now)
}

func (s *streams) redirectUnicast(now time.Duration) {
	s.unicast.to, s.unicast.data, s.silent = nil, nil, 0
	for _, way := range s.peerWays {
		s.unicast.to = append(s.unicast.to, way)
	}
	for _, d := range s.unicast.control.destinations {
		if d.silent(now) {
			s.silent++
		} else if way := s.peerWays[d.receiver]; way != nil {
			s.unicast.data = append(s.unicast.data, way)
		}
	}
	if s.unicast.data == nil {
		s.unicast.data = s.unicast.to
	}
}
