package multiserver

import (
	"time"

	"multiserver/internal/wire"
)

// A client that hears nothing of the group, though the server answers it, asks for the
// stream by unicast.

const (
	// unicastAfter is the silence of the group after which unicast is asked for. The
	// group is joined anew before that.
	unicastAfter = 2 * time.Second
	// answerFirst: after an answer the group may still speak, if the server was stopped
	// for a while.
	answerFirst = 300 * time.Millisecond
	// unicastRenewal is how often it is asked for again, else it lapses.
	unicastRenewal = 250 * time.Millisecond
	// unicastPatience is how long nothing may come by unicast before the group has
	// another chance.
	unicastPatience = 5 * time.Second
	// directQueueLen holds what comes by unicast while the loop is busy.
	directQueueLen = 4096
)

// keepUnicast asks for unicast if it is needed, and for more of it, and ends it if it
// is of no use.
func (s *symbolClient) keepUnicast() {
	silent := time.Since(s.heard)
	switch {
	case s.byUnicast && s.stream != nil && silent > unicastPatience && time.Since(s.switched) > unicastPatience:
		s.byUnicast = false
		s.wantsDirect.Store(false)
		s.switched = time.Now()
		s.engine.SwitchStream(s.now())
		s.dropPieces()
		s.tell(s.unicastRequest(false))
	case s.byUnicast:
		if time.Since(s.renewed) >= unicastRenewal && !s.engine.Gone() {
			s.askUnicast()
		}
	case s.cfg.Unicast == UnicastAuto && s.session.Token != 0 && silent > unicastAfter && time.Since(s.switched) > unicastAfter &&
		s.answered.Sub(s.heard) > rejoinAfter && time.Since(s.answered) > answerFirst:
		// The server was heard of since the group fell silent: it is the group.
		s.cfg.Log.Warn("nothing arrives from the multicast group; going on by unicast", "group", s.session.Data, "hint", s.silenceHint())
		s.goUnicast()
	}
}

// goUnicast takes the stream by unicast from now on.
func (s *symbolClient) goUnicast() {
	s.byUnicast = true
	s.wantsDirect.Store(true)
	s.switched = time.Now()
	s.engine.SwitchStream(s.now())
	s.dropPieces()
	s.askUnicast()
}

func (s *symbolClient) askUnicast() {
	s.renewed = time.Now()
	s.tell(s.unicastRequest(true))
}

func (s *symbolClient) unicastRequest(wanted bool) []byte {
	return wire.UnicastRequest{Session: s.session.Session, Receiver: s.id, Token: s.session.Token, Wanted: wanted}.AppendTo(nil)
}

// receiveDirect waits for what comes by unicast, and puts it into inbox.
func (s *symbolClient) receiveDirect(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case packet := <-s.direct:
		s.inbox = append(s.inbox, packet)
	case <-timer.C:
		return
	}
	for len(s.inbox) < cap(s.direct) {
		select {
		case packet := <-s.direct:
			s.inbox = append(s.inbox, packet)
		default:
			return
		}
	}
}
