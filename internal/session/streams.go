package session

import (
	"log/slog"
	"net/netip"
	"time"

	"multiserver/internal/block"
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
	to       []transmit.Sender // each of them gets all; replaced, never changed
	putBack  sender.Send       // from Next, but the batch had no room for it
	rested   bool              // there was a moment with nothing to send since the last measure
	sent     uint64            // packets, each counted once
	measured uint64            // of sent
}

// measure returns how many packets a second went out since the last measure. It returns 0 if
// there was too little to send to show the rate.
func (st *stream) measure(since time.Duration) float64 {
	rate := float64(st.sent-st.measured) / since.Seconds()
	rested := st.rested
	st.measured, st.rested = st.sent, false
	if rested || rate == 0 {
		return 0
	}
	st.engine.SetRate(rate)
	return rate
}

// send sends one packet at once, past the batches.
func (st *stream) send(packet []byte, log *slog.Logger) {
	for _, to := range st.to {
		if err := to.Send(packet, len(packet)); err != nil {
			log.Debug("send a packet", "err", err)
		}
	}
}

// streams are the group's stream and, once a receiver has asked for it, the unicast stream. Both
// carry the same symbols; each has an engine of its own.
type streams struct {
	cfg      *Config
	session  wire.SessionID
	geometry block.Geometry
	data     netip.AddrPort // the group's stream

	group   *stream
	unicast *stream   // nil until a receiver asks for it
	all     []*stream // that exist

	networks    routes.Networks
	networkWays map[int]transmit.Sender // by interface
	changed     func(interfaces []int)  // called when the networks change
	peers       *routes.Unicast
	peerWays    map[wire.ReceiverID]transmit.Sender
}

func newStreams(cfg *Config, id wire.SessionID, g block.Geometry, data netip.AddrPort, secret []byte, now time.Duration, changed func([]int)) *streams {
	group := &stream{engine: sender.New(now, sender.Config{Session: id, Image: g})}
	return &streams{
		cfg: cfg, session: id, geometry: g, data: data,
		group: group, all: []*stream{group},
		networks:    routes.Networks{Fixed: cfg.Interface != 0},
		networkWays: map[int]transmit.Sender{},
		changed:     changed,
		peers:       routes.NewUnicast(cfg.Unicast, secret),
		peerWays:    map[wire.ReceiverID]transmit.Sender{},
	}
}

// of returns the stream of a receiver.
func (s *streams) of(id wire.ReceiverID) *stream {
	if s.peers.Serves(id) {
		return s.unicast
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
		st.engine.Ready(r, k)
	}
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
	s.group.engine.SetGateClosed(now, closed || unreached)
	if s.unicast != nil {
		s.unicast.engine.SetGateClosed(now, closed)
	}
}

// upcoming appends the blocks that the engines will want soon.
func (s *streams) upcoming(dst []sender.Ref, n int) []sender.Ref {
	for _, st := range s.all {
		dst = st.engine.Upcoming(dst, n)
	}
	return dst
}

// deadline is when an engine has something to send, whatever comes in.
func (s *streams) deadline() time.Duration {
	at := s.group.engine.Deadline()
	if s.unicast != nil {
		at = min(at, s.unicast.engine.Deadline())
	}
	return at
}

// measure returns how many packets a second went out: the group's if it has receivers. It
// returns 0 if they do not show the rate.
func (s *streams) measure(since time.Duration) (packetsPerSec float64) {
	group := s.group.measure(since)
	if s.unicast != nil {
		packetsPerSec = s.unicast.measure(since)
	}
	if s.group.engine.Receivers() > 0 {
		packetsPerSec = group
	}
	return packetsPerSec
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
	s.networkWays[ifIndex] = way
	s.networks.Add(now, ifIndex)
	s.redirectGroup()
	return nil
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
	if s.unicast == nil {
		return
	}
	for _, id := range s.peers.Lapse(nil, now, s.unicast.engine.Interval()) {
		s.endUnicast(id)
	}
}

func (s *streams) redirectGroup() {
	interfaces := s.networks.Indices(nil)
	ways := make(map[int]transmit.Sender, len(interfaces))
	s.group.to = nil
	for _, each := range interfaces {
		ways[each] = s.networkWays[each]
		s.group.to = append(s.group.to, ways[each])
	}
	s.networkWays = ways
	s.changed(interfaces)
}

// admitUnicast begins to serve a receiver by unicast.
func (s *streams) admitUnicast(now time.Duration, id wire.ReceiverID, addr netip.AddrPort, ifIndex int, closed bool, c wire.Completion) error {
	way, err := s.cfg.Conn.NewSender(addr, ifIndex, udp.MethodAuto)
	if err != nil {
		return err
	}
	if s.unicast == nil {
		s.unicast = &stream{unicast: true, engine: sender.New(now, sender.Config{Session: s.session, Image: s.geometry, Unicast: true})}
		s.unicast.engine.Learn(s.group.engine)
		s.unicast.engine.SetCompletion(now, c)
		s.unicast.engine.SetGateClosed(now, closed)
		s.all = append(s.all, s.unicast)
	}
	s.peers.Admit(now, id, addr)
	s.peerWays[id] = way
	s.group.engine.Leave(id)
	s.unicast.engine.Join(now, id)
	s.redirectUnicast()
	return nil
}

// endUnicast ends unicast for a receiver that has left the list of peers.
func (s *streams) endUnicast(id wire.ReceiverID) {
	if s.peerWays[id] == nil {
		return
	}
	delete(s.peerWays, id)
	s.unicast.engine.Leave(id)
	s.redirectUnicast()
}

func (s *streams) redirectUnicast() {
	s.unicast.to = nil
	for _, way := range s.peerWays {
		s.unicast.to = append(s.unicast.to, way)
	}
}
