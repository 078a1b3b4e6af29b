package session

import (
	"context"
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/transmit"
	"multiserver/internal/wire"
)

// maxTaken is how many events are taken in before the session sends again: a flood of packets does
// not keep it from that.
const maxTaken = 256

// loop serves until ctx or the session ends.
func (s *Session) loop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for n := 0; n < maxTaken && s.pending() && ctx.Err() == nil; n++ {
			if err := s.receive(ctx, nil); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := time.Hour // until the first offer
		if limit := s.cfg.MaxTime; limit > 0 {
			if wait = min(wait, limit-s.facts.now()); wait <= 0 {
				return s.board.outOfTime(limit)
			}
		}
		if s.live != nil {
			due, err := s.live.step()
			if err != nil {
				return err
			}
			wait = min(wait, due)
		}
		if wait > 0 {
			timer.Reset(wait)
			if err := s.receive(ctx, timer.C); err != nil {
				return err
			}
		}
	}
}

// pending reports whether receive would not wait.
func (s *Session) pending() bool {
	n := len(s.inbox)
	if s.live != nil {
		n += len(s.loaded()) + s.live.comeBack()
	}
	return n > 0
}

// loaded is where blocks come from; nil before there is a store.
func (s *Session) loaded() <-chan *blockstore.Load {
	if s.live == nil {
		return nil
	}
	return s.live.store.Loaded()
}

// sent is where batches of the streams come back.
func (s *Session) sent() (group, unicast, raw <-chan *transmit.Batch) {
	if s.live == nil {
		return nil, nil, nil
	}
	if s.live.streams.unicast != nil {
		unicast = s.live.streams.unicast.queue.Sent()
	}
	if s.live.streams.raw != nil {
		raw = s.live.streams.raw.queue.Sent()
	}
	return s.live.streams.group.queue.Sent(), unicast, raw
}

// receive waits for one event until ctx ends or the timer fires, and takes it in.
func (s *Session) receive(ctx context.Context, timer <-chan time.Time) error {
	group, unicast, raw := s.sent()
	select {
	case <-ctx.Done():
	case <-timer:
	case <-s.start:
		s.cfg.Gate.Start()
		if s.live != nil {
			s.live.pace.gate.Start()
		}
	case ifIndex := <-s.moved:
		s.cfg.Interface = ifIndex
		if s.live != nil {
			s.live.streams.moveNetwork(s.live.now(), ifIndex)
		}
	case p := <-s.inbox:
		return s.handle(p)
	case l := <-s.loaded():
		return s.live.store.HandleLoaded(l)
	case b := <-group:
		s.live.recycle(s.live.streams.group, b)
	case b := <-unicast:
		s.live.recycle(s.live.streams.unicast, b)
	case b := <-raw:
		s.live.recycle(s.live.streams.raw, b)
	}
	return nil
}

// handle takes in a packet. The error ends the session.
func (s *Session) handle(in packet) error {
	if offer, err := wire.ParseOffer(in.bytes); err == nil {
		// watch asks only once a second. Nobody joins an image that is not what it was.
		if err := s.cfg.Source.Changed(); err != nil {
			return err
		}
		if s.live == nil {
			if s.live, err = newLive(&s.cfg, s.facts, s.board, &s.busy, in.IfIndex); err != nil {
				return err
			}
			s.begun <- s.live.store
		}
		s.live.handleOffer(in, offer)
		return nil
	}
	if s.live != nil {
		s.live.recycleAll()
	}
	kind, session, err := wire.Peek(in.bytes)
	// A packet counts only in its session.
	if err != nil || s.live == nil || session != s.facts.id || s.live.dispatch(kind, in) != nil {
		s.board.countBad()
	}
	return nil
}
