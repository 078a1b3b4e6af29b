package fetch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/discover"
	"multiserver/internal/memory"
	"multiserver/internal/probe"
	"multiserver/internal/reach"
	"multiserver/internal/receiver"
	"multiserver/internal/seed"
	"multiserver/internal/statement"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
	"multiserver/internal/writer"
)

const (
	// windowBytes is how much may be incomplete or on its way to the disk, where there is
	// memory for it.
	windowBytes = 64 << 20
	// leastWindow is the smallest window in blocks. A small image gets spareSlots more than
	// it has blocks, for the manifest.
	leastWindow, spareSlots = 4, 4
	// tick is how long one wait for packets lasts at most.
	tick = 50 * time.Millisecond
	// busyTick is the same while other goroutines are at work: their events do not end
	// the wait.
	busyTick = 2 * time.Millisecond
	// maxFeedback is how many packets one step says at most, and maxAnswers how many answers it
	// handles: whatever comes, packets are received in between, and a step ends.
	maxFeedback, maxAnswers = 64, 64
	// maxClients is how many a server has at most (MAX_RECEIVERS).
	maxClients = 65536
	// minWait is how long a step waits for packets at least, if something is due already.
	minWait = 20 * time.Microsecond
	// stopAfter: steps take milliseconds, and one that took so long was interrupted.
	stopAfter = time.Second
	// goodbyeTime is how long the server may take to acknowledge a goodbye. How the client
	// ends does not depend on it.
	goodbyeTime = 2 * time.Second
	// offlineTime is how long a goodbye waits for this machine's network, if that is interrupted.
	offlineTime = 30 * time.Second
)

// Config says what is received, from whom, and where it goes.
type Config struct {
	// Conn is the control socket. Run closes it.
	Conn   *udp.Conn
	Search *discover.Search // that found Offer
	// Offer is with a Session. If it does not stand yet, Run waits for that beside receiving, and
	// ends if another server has another image.
	Offer discover.Offer
	// Target is open. Run prepares it once the offer stands, and does nothing to it before.
	Target target.Target
	// Confirm, if not nil, is asked once the offer stands, and nothing is done to the target before
	// it returns. An error ends the session. ctx ends with the session.
	Confirm func(ctx context.Context) error
	// Trust, if not nil, is whom to believe: nothing is done to the target, and Confirm is not asked,
	// before what is signed of the image fits it, and the image's manifest fits what is signed.
	Trust *statement.Policy
	// Unicast says when the stream may come by unicast.
	Unicast reach.Unicast
	// SilenceLimit ends the reception when nothing has come for that long; 0 is never.
	SilenceLimit time.Duration
	// Update compares the whole target before anything is requested. Fresh compares
	// nothing. Verify reads everything back in the end.
	Update, Fresh, Verify bool
	Account               *account.Client
	Log                   *slog.Logger
}

// Run receives the image, and reports the outcome to the server. It returns nil once the whole
// image is on the target, verified and synced.
func Run(ctx context.Context, cfg Config) error {
	defer cfg.Conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	trust := newTrust(cfg.Trust)
	line := newStartLine(&cfg, trust.opened())
	s, err := newSession(cfg, line.held(), trust, cancel)
	if err != nil {
		r := Refusal{Conn: cfg.Conn, Offer: cfg.Offer, Cause: err, Log: cfg.Log}
		r.Send(ctx)
		return err
	}
	defer s.streams.close()

	answers := s.reader
	go answers.Run(cancel)
	var work sync.WaitGroup
	work.Go(func() { s.blocks.slots.solve(s.events) })
	work.Go(func() { line.prepare(ctx, answers.Settled(), s.events, cancel) })
	line.behind(&work, s.blocks.disk.writer.Run)
	s.blocks.content.start(line, &work, s.events)
	iface := s.streams.iface
	work.Go(func() {
		list := func() (udp.Candidates, error) { return udp.ListCandidates(iface.Name, cfg.Search.Group) }
		watchNetwork(ctx, iface, list, func(n networkChanged) { s.events <- n }, line.ended)
	})
	// ended: nothing is sent. The goroutine below closes it when all of work has returned.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		work.Wait()
	}()

	s.proveAddress(&s.description)
	err = s.loop(ctx, answers.Answers())
	if err == nil {
		err = s.finish(ctx, answers.Answers())
	}
	close(line.ended)
	s.blocks.slots.close()
	s.blocks.disk.writer.Close()
	s.blocks.content.close()
	for over := false; !over; { // their last events are not needed
		select {
		case <-s.events:
		case <-ended:
			over = true
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		s.goodbye(context.Cause(ctx), answers.Answers())
	} else {
		s.goodbye(err, answers.Answers())
	}
	cfg.Conn.Close()
	for range answers.Answers() { // until Run has ended
	}
	return err
}

// newSession puts the parts together. fail ends the session.
func newSession(cfg Config, content target.ContentReader, trust *trust, fail func(error)) (*session, error) {
	d := cfg.Offer.Session
	g := d.Geometry
	window := max(leastWindow, min(windowBytes/int(g.BlockSize), int(g.BlockCount())+spareSlots))
	room := newRoom(window, int(g.BlockSize), memory.Available())
	if err := room.fits(); err != nil {
		return nil, err
	}
	s := &session{
		cfg: cfg, room: room, origin: time.Now(), description: *d,
		reach:    reach.New(reach.Config{Unicast: cfg.Unicast, Multicast: d.Data.IsValid(), Rand: newRand()}),
		observer: new(probe.Observer),
		events:   make(chan event, 4*window),
		trust:    trust,
	}
	s.engine = receiver.New(0, receiver.Config{
		Receiver: d.Receiver, Image: g, SymbolSize: d.SymbolSize, Window: window, InOrder: target.InOrder(cfg.Target),
		TargetWaits: true, ManifestFirst: trust != nil, SilenceLimit: cfg.SilenceLimit, Rand: newRand(), Subblocks: true,
	}, sessionOf(d))
	if room.slots < window {
		s.engine.SetWindow(room.slots)
		cfg.Log.Warn(room.text())
	}
	s.blocks = &blocks{
		engine: s.engine, slots: newSlots(window, g, int(d.SymbolSize)), proof: newProof(g, d.FileName),
		output: cfg.Target.Name(), log: cfg.Log, inOrder: target.InOrder(cfg.Target),
		gathered: map[int]*gathered{},
	}
	if trust != nil {
		s.blocks.proof.trusts, s.blocks.begin = true, s.begin
	}
	s.blocks.roomy, _ = cfg.Target.(target.Roomy)
	s.blocks.content = newOldContent(content, g, int(d.SymbolSize), seed.New(seed.Config{
		Image: g, SymbolSize: int(d.SymbolSize), Receiver: s.engine, Rand: newRand(),
	}))
	compare := 0
	if content != nil && !cfg.Update && d.Completion.ManifestSize == 0 {
		compare = seed.Samples // because there is no manifest to sample by
	}
	s.blocks.disk = newDisk(window, writer.Config{
		Target: cfg.Target, SizeBytes: g.ImageSize, UnitBytes: uint64(g.BlockSize), Queue: 2 * window,
		Compare: compare, Content: content,
		Present: func() { s.events <- alreadyPresent{} },
		Written: func(j writer.Job) {
			if j.Data == nil {
				s.events <- zerosWritten{uint32(j.Units.Len())}
			} else {
				s.events <- blockWritten{j.Tag}
			}
		},
		Prefix: func(units uint64) { s.events <- prefixWritten{uint32(units)} },
		Failed: fail,
	})
	var err error
	if s.streams, err = newStreams(&cfg, s.reach.ByUnicast()); err != nil {
		return nil, err
	}
	s.reader = discover.NewReader(cfg.Conn, cfg.Search, cfg.Offer, s.streams.divert)
	s.blocks.proof.expect(d.Completion)
	if content != nil && cfg.Update {
		s.blocks.content.engine.CheckAll(0)
	}
	if s.reach.ByUnicast() {
		s.engine.SwitchStream(0)
	}
	return s, nil
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

func sessionOf(d *wire.Description) receiver.Session {
	return receiver.Session{
		Raw: d.Codecs == 1<<codec.Raw, Private: d.Answer.Private,
		ID: d.Session, ReportInterval: d.ReportInterval, Receivers: d.Receivers, Completion: d.Completion,
		Sequence: d.Answer.Sequence, TellsSequence: d.Answer.Given,
	}
}

// finish waits for the disk, reads back what is on it if that is asked for, and keeps
// reporting meanwhile.
func (s *session) finish(ctx context.Context, answers <-chan discover.Offer) error {
	step := uint64(s.blocks.proof.image.BlockSize)
	manifest := s.blocks.proof.manifest
	ending := writer.Ending{
		Target: s.cfg.Target, SizeBytes: s.blocks.proof.image.ImageSize, Verify: s.cfg.Verify, StepBytes: step,
		Matches: func(off uint64, p []byte) bool { return codec.Sum(p) == manifest.Digest(block.ID(off/step)) },
		Account: s.cfg.Account, Log: s.cfg.Log,
	}
	// finished goes from the goroutine below to this one, once. It has room for that, so that
	// the goroutine never waits; nobody closes it.
	finished := make(chan error, 1)
	go func() { finished <- ending.Finish(ctx) }()
	s.leaving = true
	for {
		select {
		case err := <-finished:
			if err == nil {
				s.keepSerial()
			}
			return err
		default:
			// What the server says now changes nothing.
			_ = s.step(answers)
		}
	}
}
