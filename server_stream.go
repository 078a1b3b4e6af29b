package multiserver

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"multiserver/internal/sender"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// stream is an engine and where its packets go. The goroutine of run owns it, but for
// sent.
type stream struct {
	engine  *sender.Engine
	unicast bool          // each of to is one receiver
	to      []*udp.Sender // each of them gets all; replaced, never changed
	held    sender.Send   // what Next gave and the batch had no room for
	rested  bool          // since the last measure there was a moment with nothing to send

	sent     atomic.Uint64 // packets, each counted once, by send
	measured uint64        // of sent
}

// measure is how many packets a second went out in the time since the last measure; 0
// if that says nothing of the rate, because there was little to send.
func (st *stream) measure(since time.Duration) float64 {
	sent := st.sent.Load()
	rate := float64(sent-st.measured) / since.Seconds()
	rested := st.rested
	st.measured, st.rested = sent, false
	if rested || rate == 0 {
		return 0
	}
	st.engine.SetRate(rate)
	return rate
}

// say sends one packet at once, past the batches.
func (st *stream) say(packet []byte, log *slog.Logger) {
	for _, to := range st.to {
		if err := to.Send(packet, len(packet)); err != nil {
			log.Debug("send a packet", "err", err)
		}
	}
}

// path is a network that the group's stream goes out on.
type path struct {
	ifIndex int
	sender  *udp.Sender
	since   time.Time // when a receiver was last heard there
}

// pathMemory is how long a network without a receiver gets the stream, and four report
// intervals, but no longer than maxPathMemory besides.
const pathMemory, maxPathMemory = 3 * time.Second, 10 * time.Second

// sendOn lets the group's stream go out on an interface too.
func (s *symbolServer) sendOn(ifIndex int) error {
	sender, err := s.conn.NewSender(s.data, ifIndex, udp.MethodAuto)
	if err != nil {
		return err
	}
	s.paths = append(s.paths, path{ifIndex, sender, time.Now()})
	s.repath()
	return nil
}

// heardOn takes note of the interface that a receiver speaks on: that is where the
// stream has to go. With an interface named it goes nowhere else.
func (s *symbolServer) heardOn(ifIndex int) {
	at := slices.IndexFunc(s.paths, func(p path) bool { return p.ifIndex == ifIndex })
	if at >= 0 {
		s.paths[at].since = time.Now()
		return
	}
	if s.cfg.Interface != "" {
		return
	}
	if err := s.sendOn(ifIndex); err != nil {
		s.cfg.Log.Warn("cannot serve the network that a client asks from", "interface", interfaceName(ifIndex), "err", err)
	}
}

// leaveEmpty ends the stream on networks that nobody was heard on lately, but for the
// last one.
func (s *symbolServer) leaveEmpty() {
	oldest := time.Now().Add(-pathMemory - min(4*s.group.engine.Interval(), maxPathMemory))
	for i := 0; i < len(s.paths) && len(s.paths) > 1; {
		if s.paths[i].since.Before(oldest) {
			s.paths = slices.Delete(s.paths, i, i+1)
			s.repath()
			continue
		}
		i++
	}
}

func (s *symbolServer) repath() {
	s.group.to = nil
	var names string
	for i, p := range s.paths {
		s.group.to = append(s.group.to, p.sender)
		if i > 0 {
			names += ", "
		}
		names += interfaceName(p.ifIndex)
	}
	s.mu.Lock()
	s.stats.Interface = names
	s.mu.Unlock()
}

// names are those that offers bring, until the receiver speaks in the session: as many
// as there is room for.
type names map[wire.ReceiverID]string

func (n *names) keep(id wire.ReceiverID, name string) {
	if *n == nil || len(*n) >= maxServedClients {
		*n = names{}
	}
	(*n)[id] = name
}

func (n names) take(id wire.ReceiverID) string {
	name := n[id]
	delete(n, id)
	return name
}
