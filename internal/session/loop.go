package session

import (
	"context"
	"errors"
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/failure"
	"multiserver/internal/image"
	"multiserver/internal/roster"
	"multiserver/internal/transmit"
	"multiserver/internal/wire"
)

const (
	// gateTick is how often it is asked whether the stream may begin.
	gateTick = 5 * time.Millisecond
	// lingerTime is how long the session stays when all are done: a goodbye whose
	// acknowledgement is lost comes again.
	lingerTime = 500 * time.Millisecond
	// lastWords is how often the end of a session is told.
	lastWords = 3
)

// loop serves until ctx ends or the session does.
func (s *Session) loop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for s.pending() && ctx.Err() == nil {
			if err := s.receive(ctx, nil); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := time.Hour // until the first offer
		if s.streams != nil {
			var err error
			if wait, err = s.step(); err != nil {
				return err
			}
		}
		if wait > 0 {
			timer.Reset(wait)
			if err := s.receive(ctx, timer.C); err != nil {
				return err
			}
		}
	}
}

// pending tells whether receive would not wait.
func (s *Session) pending() bool {
	return len(s.inbox)+len(s.cfg.Queue.Sent())+len(s.loaded()) > 0
}

// loaded is where blocks come from; nil before there is a store.
func (s *Session) loaded() <-chan *blockstore.Load {
	if s.store == nil {
		return nil
	}
	return s.store.Loaded()
}

// receive waits for one event until ctx ends or the timer fires, and takes it in.
func (s *Session) receive(ctx context.Context, timer <-chan time.Time) error {
	select {
	case <-ctx.Done():
	case <-timer:
	case p := <-s.inbox:
		return s.handle(p)
	case l := <-s.loaded():
		return s.store.HandleLoaded(l)
	case b := <-s.cfg.Queue.Sent():
		s.recycle(b)
	}
	return nil
}

// recycle takes back a batch that was sent.
func (s *Session) recycle(b *transmit.Batch) {
	st := s.streams.group
	if b.Unicast {
		st = s.streams.unicast
	}
	st.sent += uint64(b.Packets)
	s.cfg.Queue.Recycle(b)
}

// step does what is due, and tells how long nothing will be unless something comes in; 0 if
// there is more to send.
func (s *Session) step() (wait time.Duration, err error) {
	s.tick()
	if s.isOver() {
		return 0, s.verdict()
	}
	if !s.store.Full() {
		s.ahead = s.streams.upcoming(s.ahead[:0], blockstore.ReadAhead)
		s.store.ReadAhead(s.ahead, s.compose.idle)
	}
	b := s.cfg.Queue.Take()
	if b == nil { // without a batch to fill, nothing that is due can be sent
		return rateInterval, nil
	}
	filled, err := s.compose.next(s.now(), b)
	if filled && err == nil {
		s.cfg.Queue.Submit(b)
		return 0, nil
	}
	s.cfg.Queue.Recycle(b)
	if err != nil {
		return 0, err
	}
	wait = min(rateInterval, s.streams.deadline()-s.now())
	if s.pace.closed {
		wait = min(wait, gateTick)
	}
	return max(wait, 1), nil // what is overdue is still after what has come in
}

// tick opens the gate when the receivers that the stream waits for have come and probes
// are answered. Each rateInterval it does what need not be done at once: it judges the
// rate, and drops who and what has gone silent.
func (s *Session) tick() {
	now := s.now()
	if s.pace.closed && s.pace.openGate(now, s.streams.receivers()) {
		s.sendTrain(now)
	}
	s.streams.setGate(now, s.pace.closed, s.pace.prober.Deaf())
	since, due := s.pace.due()
	if !due {
		return
	}
	rate := s.streams.measure(since)
	s.pace.judge(now, rate, s.streams.knows)
	s.streams.lapse(now)
	s.warnOfStall()
	if s.pace.prober.SeekDue(now, s.streams.group.engine.Receivers()) {
		s.sendTrain(now)
	}
	limit, reason := s.pace.binding(rate)
	s.mu.Lock()
	changed := limit != s.figures.RateLimit
	s.figures.Waiting = !s.pace.gate.Opened()
	s.figures.RateLimit, s.figures.RateReason = limit, reason
	s.table.EndSilent(s.streams.knows)
	s.mu.Unlock()
	s.tellChanges()
	if changed && s.cfg.OnRate != nil {
		s.cfg.OnRate(limit, reason)
	}
}

// tellChanges tells of receivers that have joined or ended.
func (s *Session) tellChanges() {
	s.mu.Lock()
	s.changes = s.table.Changes(s.changes[:0])
	s.mu.Unlock()
	if s.cfg.OnReceiver != nil {
		for _, r := range s.changes {
			s.cfg.OnReceiver(r)
		}
	}
}

// warnOfStall says, once each time, that reading the image takes long.
func (s *Session) warnOfStall() {
	stalled := s.store.Stalled()
	if stalled && !s.stalled {
		s.cfg.Log.Warn("the image is not read: its disk does not answer", "file", s.cfg.Source.String())
	}
	s.stalled = stalled
}

// sendTrain sends one train of probes to the data group.
func (s *Session) sendTrain(now time.Duration) {
	small, full := s.pace.prober.Train(now)
	s.streams.group.send(small, s.cfg.Log)
	for _, to := range s.streams.group.to {
		if err := to.Send(full, s.pace.packetSize); err != nil {
			s.cfg.Log.Debug("send probes", "err", err)
		}
	}
}

// isOver tells whether the session is over because all that came are done. The last of them
// may still ask whether its goodbye was heard.
func (s *Session) isOver() bool {
	if !s.cfg.ExitAfterDone || !s.pace.gate.Opened() || s.streams.unfinished() > 0 || s.receiverCount() == 0 {
		s.emptyAt = time.Time{}
		return false
	}
	if s.emptyAt.IsZero() {
		s.emptyAt = time.Now()
	}
	return time.Since(s.emptyAt) > lingerTime
}

func (s *Session) receiverCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Len()
}

// verdict is how a session ends that was to end when all are done.
func (s *Session) verdict() error {
	s.mu.Lock()
	failed, all := s.table.Verdict()
	s.mu.Unlock()
	s.tellChanges()
	if failed > 0 {
		return failure.New(failure.ReceiversFailed, "%d of %d clients did not get the image", failed, all)
	}
	return ErrAllDone
}

// sendLastWords tells the receivers that the session is over, and why, when no batch is on
// its way any more that these words could overtake. Once ctx has ended none is.
func (s *Session) sendLastWords(ctx context.Context, cause error) {
	if s.streams == nil {
		return
	}
	for s.cfg.Queue.InFlight() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case b := <-s.cfg.Queue.Sent():
			s.recycle(b)
		}
	}
	state := wire.SenderStopped
	switch {
	case errors.Is(cause, image.ErrChanged):
		state = wire.SenderImageChanged
	case !errors.Is(cause, context.Canceled):
		state = wire.SenderImageFailed
	}
	for range lastWords {
		s.streams.end(s.now(), state)
	}
}

// record keeps the table of receivers: one has spoken in the session.
func (s *Session) record(in packet, id wire.ReceiverID, change func(*roster.Table)) {
	now := s.now()
	s.pace.gate.Heard(now, id)
	s.streams.heardOn(now, in.ifIndex)
	s.mu.Lock()
	s.table.Heard(time.Now(), id, in.from)
	if change != nil {
		change(s.table)
	}
	s.mu.Unlock()
	s.tellChanges()
}
