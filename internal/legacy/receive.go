package legacy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/mxb1"
	"multiserver/internal/quote"
	"multiserver/internal/reach"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/writer"
)

// Constants of the client's side.
const (
	// tick is how long one wait for packets lasts at most, so that descriptions, time limits
	// and cancellation are seen.
	tick = 50 * time.Millisecond
	// silentAfter is the silence after which the user is told.
	silentAfter = 3 * time.Second
	// maxAnswers is how many answers are handled between two looks at the stream.
	maxAnswers = 64
	// confirmInterval is between questions whether the image is still the same.
	confirmInterval = 125 * time.Millisecond
)

// ReceiveConfig says what a client receives, from whom, and where it goes.
type ReceiveConfig struct {
	// Conn is the control socket. Receive closes it.
	Conn   *udp.Conn
	Stream *udp.Receiver    // the group's
	Search *discover.Search // that found Offer
	Offer  discover.Offer
	// Interface is the one that Stream is joined on, its zero value if that is not known.
	Interface udp.Interface
	Target    target.Target // prepared
	// QuietTime is how long nothing may arrive before missing blocks are asked for, and
	// ReceiveLimit before the client gives up; 0 is never.
	QuietTime, ReceiveLimit time.Duration
	// Verify reads everything back in the end. MXB 1 has no digests, so this shows only that
	// the target holds what was written to it.
	Verify  bool
	Account *account.Client
	Log     *slog.Logger
}

// reception is one reception. One goroutine owns it.
type reception struct {
	cfg      ReceiveConfig
	origin   time.Time // of rejoin's times
	engine   *mxb1.Receiver
	gather   *gatherer
	rejoin   reach.Rejoin
	counts   account.Counts
	conflict netip.AddrPort // the second source, if there is one

	requests []mxb1.BlockRequest // scratch
	packet   []byte              // scratch
}

// Receive takes the image in. It returns nil once all of it is on the target and synced.
func Receive(ctx context.Context, cfg ReceiveConfig) error {
	received, err := receive(ctx, cfg)
	if err != nil {
		return err
	}
	ending := writer.Ending{
		Target: cfg.Target, SizeBytes: cfg.Offer.SizeBytes, Verify: cfg.Verify,
		StepBytes: chunkBytes, Matches: received.Matches, Account: cfg.Account, Log: cfg.Log,
	}
	return ending.Finish(ctx)
}

// receive returns once every block has been handed to the target.
func receive(ctx context.Context, cfg ReceiveConfig) (*writer.Writer, error) {
	defer cfg.Conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &reception{
		cfg: cfg, origin: time.Now(),
		engine: mxb1.NewReceiver(time.Now(), mxb1.ReceiverConfig{
			SizeBytes:  cfg.Offer.SizeBytes,
			QuietTime:  cfg.QuietTime,
			HasTrailer: cfg.Offer.HasTrailer,
			Server:     cfg.Offer.Server,
			Seed:       uint64(cfg.Search.Receiver),
		}),
		gather: newGatherer(writer.Config{
			Target: cfg.Target, SizeBytes: cfg.Offer.SizeBytes, Remember: cfg.Verify, Failed: cancel,
		}),
	}
	answers := discover.NewReader(cfg.Conn, cfg.Search, cfg.Offer, nil)
	go answers.Run(cancel)
	writing := make(chan struct{}) // closed by the goroutine below, when all is written
	go func() {
		defer close(writing)
		r.gather.writer.Run()
	}()

	err := r.loop(ctx, answers.Answers())
	if err == nil {
		r.gather.flush()
	}
	r.gather.writer.Close()
	<-writing
	if err == nil && ctx.Err() != nil { // the last writes failed
		err = context.Cause(ctx)
	}
	cfg.Conn.Close()
	for range answers.Answers() { // until Run has ended
	}
	return r.gather.writer, err
}

func (r *reception) loop(ctx context.Context, answers <-chan discover.Offer) error {
	in := udp.NewBatch()
	for {
		now := time.Now()
		if err := r.poll(ctx, now); err != nil {
			return err
		}
		until := now.Add(tick)
		if d := r.engine.Deadline(); !d.IsZero() && d.Before(until) {
			until = d
		}
		r.cfg.Stream.SetReadDeadline(until)
		if err := r.cfg.Stream.Receive(in); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("receive the stream: %w", err)
		}
		now = time.Now()
		// First the server's answers, then its blocks.
		confirmed, err := r.drain(answers)
		if err != nil {
			return err
		}
		if confirmed {
			r.engine.Confirmed(now)
		}
		r.handle(now, in.Datagrams())
		if r.conflict.IsValid() {
			return failure.New(failure.ErrIntegrity, "two senders on %s: give each server a ServerConfig.Group or ServerConfig.Port of its own; one is %s",
				r.cfg.Stream.LocalAddr(), r.conflict)
		}
		r.publish()
		if r.engine.Missing() == 0 {
			return r.confirm(ctx, answers)
		}
	}
}

// drain checks the answers that have come, and reports whether there was one.
func (r *reception) drain(answers <-chan discover.Offer) (any bool, err error) {
	for range maxAnswers {
		select {
		case o, ok := <-answers:
			if !ok {
				return any, errSocketClosed
			}
			if err := r.check(&o); err != nil {
				return any, err
			}
			any = true
		default:
			return any, nil
		}
	}
	return any, nil
}

// confirm returns once the server has described the same image after the last block. Only this
// detects a server that was restarted with another image within the silence that the engine
// tolerates. An original server would show that by its new port.
func (r *reception) confirm(ctx context.Context, answers <-chan discover.Offer) error {
	if !r.cfg.Offer.HasTrailer {
		return nil
	}
	// Answers that have come so far may have been sent before the last block.
	if _, err := r.drain(answers); err != nil {
		return err
	}
	var limit <-chan time.Time // nil waits for ever
	if r.cfg.ReceiveLimit > 0 {
		limit = time.After(r.cfg.ReceiveLimit)
	}
	again := time.NewTicker(confirmInterval)
	defer again.Stop()
	r.packet = mxb1.AppendMapRequest(r.packet[:0], mxb1.Offer())
	for {
		r.ask()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return failure.New(failure.ErrTimeLimit, "all blocks are in, but %s does not say any more that they are of one image: it was ended, or the network is interrupted",
				r.cfg.Offer.Server)
		case o, ok := <-answers:
			if !ok {
				return errSocketClosed
			}
			return r.check(&o)
		case <-again.C:
		}
	}
}

// check returns an error if o is of another image than the one that was found.
func (r *reception) check(o *discover.Offer) error {
	was := &r.cfg.Offer
	if was.Same(o) {
		return nil
	}
	if o.Name == was.Name && o.SizeBytes == was.SizeBytes {
		return failure.New(failure.ErrIntegrity, "%s now serves another %s than this began with, of the same %d bytes",
			was.Server, quote.Name(o.Name), o.SizeBytes)
	}
	return failure.New(failure.ErrIntegrity, "%s now serves %s of %d bytes; this began with %s of %d bytes",
		was.Server, quote.Name(o.Name), o.SizeBytes, quote.Name(was.Name), was.SizeBytes)
}

var errSocketClosed = errors.New("the control socket was closed")

// poll carries out what the engines want, and checks the time limit.
func (r *reception) poll(ctx context.Context, now time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if limit := r.cfg.ReceiveLimit; limit > 0 && now.Sub(r.engine.LastBlock()) > limit {
		return failure.New(failure.ErrTimeLimit, "no block from %s for %s: %s", r.cfg.Offer.Server, limit, r.silenceHint())
	}
	if r.cfg.Interface.Index != 0 && r.rejoin.Due(now.Sub(r.origin), r.engine.LastBlock().Sub(r.origin)) {
		r.joinAgain()
	}
	if w, ok := r.gather.window(); ok {
		r.engine.SetWindow(w)
	}
	d := r.engine.Deadline()
	if d.IsZero() || now.Before(d) {
		return nil
	}
	actions := r.engine.Poll(now, r.requests)
	r.requests = actions.Requests
	if actions.Describe {
		r.packet = mxb1.AppendMapRequest(r.packet[:0], mxb1.Offer())
		r.ask()
	}
	for _, q := range actions.Requests {
		r.packet = q.AppendTo(r.packet[:0])
		r.ask()
	}
	return nil
}

func (r *reception) joinAgain() {
	if now, err := udp.InterfaceByName(r.cfg.Interface.Name); err == nil && now.Index != r.cfg.Interface.Index {
		r.cfg.Interface = now // it was taken away and put back
		if r.cfg.Offer.AskFrom != 0 {
			r.cfg.Offer.AskFrom = now.Index
		}
	}
	if err := r.cfg.Stream.Rejoin(r.cfg.Interface); err != nil {
		r.cfg.Log.Debug("join the group again", "interface", r.cfg.Interface.Name, "err", err)
		return
	}
	r.cfg.Log.Debug("nothing arrives; joined the group again", "interface", r.cfg.Interface.Name)
}

// ask sends packet to the server. A failure is not final: the engine asks again.
func (r *reception) ask() {
	if err := r.cfg.Conn.WriteTo(r.packet, r.cfg.Offer.Server, r.cfg.Offer.AskFrom); err != nil {
		r.cfg.Log.Debug("ask the server", "err", err)
	}
}

// handle hands each datagram's block to the engine and its bytes to the gatherer.
func (r *reception) handle(now time.Time, in []udp.Datagram) {
	for _, datagram := range in {
		id, data, err := mxb1.ParseBlock(datagram.Payload)
		if err != nil {
			r.counts.BadPackets++
			continue
		}
		switch r.engine.Block(now, datagram.Source, id, len(data)) {
		case mxb1.Invalid:
			r.counts.BadPackets++
			continue
		case mxb1.Stranger:
			r.counts.Strangers++
			continue
		case mxb1.Conflict:
			r.conflict = datagram.Source
			continue
		case mxb1.Unconfirmed:
			continue
		case mxb1.Duplicate:
			r.counts.Duplicates++
		case mxb1.Outside:
			r.counts.MemoryDrops++
		case mxb1.Keep:
			if r.gather.put(uint64(id), data) {
				r.counts.BytesDone += uint64(len(data))
			} else {
				r.engine.MarkMissing(id)
				r.counts.MemoryDrops++
			}
		}
		r.counts.PacketsReceived++
	}
}

// publish makes the figures of this batch visible.
func (r *reception) publish() {
	r.counts.SocketDrops = r.cfg.Stream.Drops()
	r.counts.AskedAgainBytes = r.engine.AskedAgain() * mxb1.BlockSize
	waiting := ""
	if silence := time.Since(r.engine.LastBlock()); silence > silentAfter {
		waiting = fmt.Sprintf("no block from %s for %s: %s", r.cfg.Offer.Server, silence.Round(time.Second), r.silenceHint())
	}
	r.cfg.Account.Publish(r.counts, waiting, r.engine.Missing() == 0)
}

// silenceHint names the likely causes of a stream that does not arrive.
func (r *reception) silenceHint() string {
	switch stream := r.cfg.Stream.LocalAddr(); {
	case r.counts.PacketsReceived > 0:
		return "the server was ended or its disk is stalled, or the network is interrupted"
	case r.counts.Strangers > 0:
		return "another server sends to the same group: is this the right ClientConfig.Group and ClientConfig.Port?"
	default:
		return fmt.Sprintf("it answers, but its stream to %s does not arrive: a firewall (UDP port %d, %s), a switch without multicast, or another ServerConfig.Group or ServerConfig.Port there",
			stream, stream.Port(), udp.MembershipProtocol(stream.Addr()))
	}
}
