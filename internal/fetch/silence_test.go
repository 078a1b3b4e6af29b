package fetch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"multiserver/internal/failure"
	"multiserver/internal/reach"
	"multiserver/internal/wire"
)

// quiet is a session of the peer that has been ready for a while and of which nothing runs.
func (p *peer) quiet(limit time.Duration) *session {
	s := p.checked()
	s.cfg.SilenceLimit = limit
	s.blocks.ready = true
	return s
}

// later lets time pass in the session, in which it runs.
func (s *session) later(d time.Duration) {
	s.origin = s.origin.Add(-d)
	s.stepped += d
}

// TestStandStill: a client that was stopped for longer than its limit goes on, and one that ran
// all the time ends.
func TestStandStill(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		p := newPeer(t, 3)
		s := p.quiet(20 * time.Second)
		if err := s.step(nil); err != nil {
			t.Fatal(err)
		}
		if stopped {
			s.origin = s.origin.Add(-time.Minute)
		} else {
			s.later(time.Minute)
		}
		if err := s.step(nil); stopped == errors.Is(err, failure.ErrTimeLimit) || stopped && err != nil {
			t.Errorf("stopped: %v; it ends with %v", stopped, err)
		}
		if said := s.silence(); stopped && said != "" {
			t.Errorf("stopped, and it says %q", said)
		}
	}
}

// TestUnserved: a client to which a server that lives sends nothing of use ends by its limit, and
// says so before.
func TestUnserved(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  wire.SenderState
		change func(s *session)
		ends   bool
	}{
		{"heartbeats alone", wire.SenderStreaming, func(*session) {}, true},
		{"the server waits for clients", wire.SenderWaiting, func(*session) {}, false},
		{"the server's disk stalls", wire.SenderStalled, func(*session) {}, false},
		{"the target is not prepared", wire.SenderStreaming, func(s *session) { s.blocks.ready = false }, false},
		{"the target has work", wire.SenderStreaming, func(s *session) { s.blocks.working++ }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 3)
			s := p.quiet(20 * time.Second)
			c.change(s)
			var err error
			said := ""
			for seconds := 0; seconds < 40 && err == nil; seconds++ {
				s.later(time.Second)
				s.handlePacket(s.now(), wire.Heartbeat{
					Session: p.session, State: c.state, Pass: 1, Receivers: 1, ReportInterval: time.Second, Completion: p.completion(),
				}.AppendTo(nil))
				s.streams.unicast <- nil // so that no step waits; it is no packet of any kind
				err = s.step(nil)
				said = s.silence()
			}
			if c.ends != errors.Is(err, failure.ErrTimeLimit) || c.ends != strings.Contains(said, "does not reach it") {
				t.Errorf("it says %q, and ends with %v", said, err)
			}
		})
	}
}

// TestDamaged: a client to which only damaged packets come says so.
func TestDamaged(t *testing.T) {
	p := newPeer(t, 3)
	s := p.quiet(20 * time.Second)
	s.later(10 * time.Second)
	packet := p.symbols(wire.Image, 0, p.plain(0))[0]
	packet[len(packet)-1] ^= 1
	s.handlePacket(s.now(), packet)
	if s.reach.Cause(s.now()) != reach.Damaged || !strings.Contains(s.silence(), "damages packets") {
		t.Errorf("it says %q", s.silence())
	}
}

// TestPreparing: a target that takes long to prepare is named as what the client waits for.
func TestPreparing(t *testing.T) {
	p := newPeer(t, 3)
	s := p.quiet(0)
	s.blocks.ready = false
	if err := s.blocks.handle(time.Second, offerStands{}); err != nil {
		t.Fatal(err)
	}
	s.later(5 * time.Second)
	if said := s.silence(); !strings.Contains(said, "memory is prepared") {
		t.Errorf("it says %q", said)
	}
	if err := s.blocks.handle(s.now(), targetPrepared{}); err != nil {
		t.Fatal(err)
	}
	if said := s.silence(); strings.Contains(said, "prepared") {
		t.Errorf("it says %q", said)
	}
}
