package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/target"
	"multiserver/internal/wire"
)

var errSocketClosed = errors.New("the control socket was closed")

// goodbye reports the outcome to the server, until it is acknowledged or given up. While nothing
// can be sent because this machine's network is interrupted, it waits for that.
func (s *session) goodbye(err error, answers <-chan discover.Offer) {
	outcome, reason := outcomeOf(err)
	s.engine.Leave(s.now(), outcome, string(wire.Text(reason)))
	s.leaving = true
	begun := time.Now()
	asked := begun
	for limit := begun.Add(goodbyeTime); !s.engine.Gone() && time.Now().Before(limit) && !s.over; {
		s.sendFeedback()
		if time.Since(asked) > askAfterGoodbye { // perhaps its number counts from elsewhere
			asked = time.Now()
			s.send(s.appendQuestion(nil))
		}
		s.handleLate(answers)
		if s.network.unsent && time.Since(begun) < offlineTime {
			limit = time.Now().Add(goodbyeTime)
		}
		packets, _, err := s.streams.receive(min(busyTick, max(s.engine.Deadline()-s.now(), time.Microsecond)))
		if err != nil {
			return
		}
		for _, packet := range packets {
			if a, err := wire.ParseGoodbyeAck(packet); err == nil {
				s.handleAck(s.now(), a)
			}
		}
	}
}

// outcomeOf returns the goodbye's outcome and reason for an error.
func outcomeOf(err error) (wire.Outcome, string) {
	if err == nil {
		return wire.OutcomeDone, ""
	}
	if err == context.Canceled {
		return wire.OutcomeInterrupted, "ended by its user"
	}
	if errors.Is(err, context.Canceled) { // the cause of it
		return wire.OutcomeInterrupted, err.Error()
	}
	for _, kind := range []struct {
		kind    error
		outcome wire.Outcome
	}{
		{failure.ErrTimeLimit, wire.OutcomeTimeLimit},
		{failure.ErrIntegrity, wire.OutcomeIntegrity},
		{target.ErrRefused, wire.OutcomeTargetRefused},
		{target.ErrIO, wire.OutcomeTargetIO},
		{failure.ErrPacketSize, wire.OutcomePath},
	} {
		if errors.Is(err, kind.kind) {
			return kind.outcome, err.Error()
		}
	}
	return wire.OutcomeFailed, err.Error()
}

// gaveUp returns an error with the engine's reason.
func (s *session) gaveUp(o wire.Outcome, reason string) error {
	name, server := s.description.FileName, s.cfg.Offer.Server
	switch o {
	case wire.OutcomeTimeLimit:
		return failure.New(failure.ErrTimeLimit, "nothing from %s for %s: %s", server, s.cfg.SilenceLimit, s.hint())
	case wire.OutcomeIntegrity:
		return failure.New(failure.ErrIntegrity, "%s from %s: %s", name, server, reason)
	}
	return fmt.Errorf("%s from %s: %s", name, server, reason)
}
