package multiserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Constants of the server's driver of MXB 2.
const (
	// defaultMTU is what every path carries; a larger one has to be asked for.
	defaultMTU = 1500
	// minMTU is what every host takes (RFC 791), maxMTU what jumbo frames have.
	minMTU, maxMTU = 576, 9216
	// symbolBatches are read ahead of the socket: what the engine decided and
	// nobody has seen yet. Few, since feedback is judged against them.
	symbolBatches = 12
	// symbolsInBatch fill a super-packet of 64 KiB at MTU 1500.
	symbolsInBatch = 44
	// feedbackQueueLen holds a second's worth of feedback at 10,000 receivers.
	feedbackQueueLen = 2048
	// loadsInFlight are blocks that are read and digested at once.
	loadsInFlight = 8
	// loaders read and digest side by side.
	loaders = 2
	// readAhead is how many blocks are asked of the engine; 16 of them are
	// interleaved.
	readAhead = 32
	// cachedBlocks are kept encoded, so that repair needs no disk.
	cachedBlocks = 96
	// rowsAhead is how many repair symbols are made at once: the kernel's tile.
	rowsAhead = 4
	// rateInterval is how often the engine is told the rate.
	rateInterval = 100 * time.Millisecond
	// lingerTime is how long the server stays when all are done: a goodbye whose
	// acknowledgement is lost comes again.
	lingerTime = 500 * time.Millisecond
	// lastWords is how often the end of a session is told.
	lastWords = 3
)

// encodedBlock is a block as its symbols are cut from it.
type encodedBlock struct {
	index uint32 // as in symbolServer.cache
	buf   []byte // K whole symbols, filled up with zeros
	used  uint64 // when it was last of use, by the server's count
	// rows are repair symbols made ahead: made of them, the first one of row first.
	rows  [][]byte
	first uint32
	made  int
}

// load is a block to be read, and what came of it.
type load struct {
	ref     sender.Ref
	buf     []byte // room for the encoded block
	passing bool   // only the digest is wanted
	zero    bool
	digest  codec.Digest
	err     error
}

// feedback is a packet of MXB 2, or a map request with an offer, as it was heard.
type feedback struct {
	packet  []byte
	from    netip.AddrPort
	ifIndex int
}

// symbolServer serves over MXB 2. The goroutine of run owns the engine; loaders
// read blocks.
type symbolServer struct {
	*serverRun
	origin   time.Time
	session  wire.SessionID
	identity wire.Identity
	geometry block.Geometry

	// feedback goes from listen to run; when it is full, listen drops, as any
	// packet may be. loads go from run to the loaders and loaded back; each has room
	// for all loads, so that neither blocks. Nobody closes them.
	feedback      chan feedback
	loads, loaded chan *load
	// emptySymbols and fullSymbols are as serverRun's empty and full.
	emptySymbols, fullSymbols chan *batch
	limit                     atomic.Uint64 // bits a second that send keeps to; 0: any
	gone                      chan struct{} // closed by run when it has said its last words

	// Owned by run, from the first offer on:
	engine  *sender.Engine
	data    netip.AddrPort
	ifIndex int
	// elsewhereSaid are interfaces whose clients were warned about.
	elsewhereSaid map[int]bool
	symbolSize    uint16
	cache         map[uint32]*encodedBlock // manifest blocks behind the image's
	uses          uint64
	spare         [][]byte // buffers of blocks that are not cached any more
	loading       map[sender.Ref]bool
	upcoming      []sender.Ref
	builder       *codec.ManifestBuilder
	unread        block.ID // where to look for blocks that no one has read
	manifest      *codec.Manifest
	encoder       fec.Encoder
	sender        *udp.Sender
	held          sender.Send // what Next gave and the batch had no room for
	packet        []byte
	hold          hold
	narrows       narrows
	table         map[wire.ReceiverID]*Receiver
	sentAt        time.Time
	sentCount     uint64
	idle          bool      // there is nothing to send
	rested        bool      // since sentAt there was a moment with nothing to send
	emptyAt       time.Time // since when nobody is unfinished
}

func newSymbolServer(r *serverRun) (*symbolServer, error) {
	line, err := r.source.Identity()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(line))
	s := &symbolServer{
		serverRun: r,
		origin:    time.Now(),
		session:   wire.SessionID(rand.Uint64()),
		identity:  wire.Identity(digest[:16]),
		geometry:  block.Geometry{ImageSize: r.source.Size(), BlockSize: block.DefaultBlockSize},
		feedback:  make(chan feedback, feedbackQueueLen),
		loads:     make(chan *load, loadsInFlight),
		loaded:    make(chan *load, loadsInFlight),

		emptySymbols: make(chan *batch, symbolBatches),
		fullSymbols:  make(chan *batch, symbolBatches),
		gone:         make(chan struct{}),

		cache:   map[uint32]*encodedBlock{},
		loading: map[sender.Ref]bool{},
		table:   map[wire.ReceiverID]*Receiver{},
	}
	if err := s.geometry.Validate(); err != nil {
		return nil, fmt.Errorf("serve %s: %w", r.cfg.File, err)
	}
	return s, nil
}

func (s *symbolServer) now() time.Duration { return time.Since(s.origin) }

// begin makes the engine, now that it is known where the stream goes.
func (s *symbolServer) begin(ifIndex int) error {
	mtu := defaultMTU
	if each, err := udp.InterfaceByName(interfaceName(ifIndex)); err == nil {
		mtu = min(mtu, each.MTU)
		if s.cfg.MTU != 0 {
			mtu = min(s.cfg.MTU, each.MTU)
		}
	}
	size, err := wire.SymbolSizeFor(mtu - udp.HeaderBytes(s.cfg.Group))
	if err != nil {
		return fmt.Errorf("send packets for an MTU of %d: %w", mtu, err)
	}
	s.ifIndex, s.symbolSize = ifIndex, size
	s.data = s.dataGroup()
	if s.sender, err = s.conn.NewSender(s.data, ifIndex, udp.MethodAuto); err != nil {
		return err
	}
	s.builder, err = codec.NewManifestBuilder(codec.Sizes(s.geometry))
	if err != nil {
		return err
	}
	s.engine = sender.New(s.now(), sender.Config{Session: s.session, Image: s.geometry})
	s.recallManifest()
	s.engine.SetHold(s.now(), true)
	for range symbolBatches {
		s.emptySymbols <- &batch{buf: make([]byte, symbolsInBatch*s.packetSize())}
	}
	// Clients of a session before this one hear of the new one at once.
	if err := s.conn.WriteTo(s.describe(0), s.data, ifIndex); err != nil {
		s.cfg.Log.Debug("announce the session", "err", err)
	}
	return nil
}

func (s *symbolServer) packetSize() int { return wire.SymbolHeaderSize + int(s.symbolSize) }

// dataGroup is where the stream goes: a group of the image's own, so that switches
// filter one image's stream from another's, and a restarted server needs no one to
// join anew.
func (s *symbolServer) dataGroup() netip.AddrPort {
	if s.cfg.DataGroup.IsValid() {
		return netip.AddrPortFrom(s.cfg.DataGroup, s.cfg.Port)
	}
	return netip.AddrPortFrom(groupOfImage(s.cfg.Group, s.identity), s.cfg.Port)
}

// run serves until ctx ends, or the session does, and tells the receivers why.
func (s *symbolServer) run(ctx context.Context) error {
	defer close(s.gone)
	err := s.loop(ctx)
	cause := err
	switch {
	case ctx.Err() != nil:
		cause = context.Cause(ctx)
	case errors.Is(err, errAllDone) || errors.Is(err, ErrReceiversFailed):
		cause = context.Canceled
	}
	s.sayLastWords(cause)
	return err
}

// loop runs until ctx ends or the session does.
func (s *symbolServer) loop(ctx context.Context) (err error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var b *batch
	for {
		for drained := false; !drained; {
			select {
			case f := <-s.feedback:
				err = s.hear(f)
			case l := <-s.loaded:
				err = s.take(l)
			default:
				drained = true
			}
			if err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.engine == nil {
			select {
			case <-ctx.Done():
			case f := <-s.feedback:
				if err := s.hear(f); err != nil {
					return err
				}
			}
			continue
		}
		s.release()
		if s.isOver() {
			return s.verdict()
		}
		s.readAhead()
		if b == nil {
			select {
			case b = <-s.emptySymbols:
			default:
			}
		}
		if b != nil {
			filled, err := s.compose(b)
			if err != nil {
				return err
			}
			s.idle = !filled
			if filled {
				s.fullSymbols <- b
				b = nil
				continue
			}
			s.rested = true
		}
		// Without a batch to fill, nothing that is due can be sent.
		empty, wait := s.emptySymbols, rateInterval
		if b != nil {
			empty, wait = nil, min(max(s.engine.Deadline()-s.now(), 0), rateInterval)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case f := <-s.feedback:
			err = s.hear(f)
		case l := <-s.loaded:
			err = s.take(l)
		case b = <-empty:
		case <-timer.C:
		}
		if err != nil {
			return err
		}
	}
}

// sayLastWords tells the receivers that the session is over, and why. No batch is
// under way any more that they could overtake.
func (s *symbolServer) sayLastWords(cause error) {
	if s.engine == nil {
		return
	}
	state := wire.SenderStopped
	switch {
	case errors.Is(cause, image.ErrChanged):
		state = wire.SenderImageChanged
	case !errors.Is(cause, context.Canceled):
		state = wire.SenderImageFailed
	}
	s.engine.End(s.now(), state)
	for range lastWords {
		packet, ok := s.engine.Poll(s.now(), s.packet[:0])
		if !ok {
			return
		}
		if err := s.conn.WriteTo(packet, s.data, s.ifIndex); err != nil {
			return
		}
		s.engine.End(s.now(), state)
	}
}

// hear takes in a packet of a receiver.
func (s *symbolServer) hear(f feedback) error {
	now := s.now()
	if offer, err := wire.ParseOffer(f.packet); err == nil {
		return s.meet(now, f, offer)
	}
	kind, session, err := wire.Peek(f.packet)
	if err != nil || s.engine == nil || session != s.session {
		s.countBad()
		return nil
	}
	switch kind {
	case wire.TypeReport:
		var p wire.Report
		if p, err = wire.ParseReport(f.packet); err == nil {
			s.engine.HandleReport(now, p)
			s.narrows.report(p.Receiver, p.Counts)
			s.hold.hear(p.Receiver)
			s.note(f, p.Receiver, func(r *Receiver) { r.report(p, s.geometry) })
		}
	case wire.TypeWanted:
		var p wire.Wanted
		if p, err = wire.ParseWanted(f.packet); err == nil {
			s.engine.HandleWanted(now, p)
			s.hold.hear(p.Receiver)
			s.note(f, p.Receiver, func(*Receiver) {})
		}
	case wire.TypeWantedSymbols:
		var p wire.WantedSymbols
		if p, err = wire.ParseWantedSymbols(f.packet); err == nil {
			s.engine.HandleWantedSymbols(now, p)
			s.note(f, p.Receiver, func(*Receiver) {})
		}
	case wire.TypeGoodbye:
		var p wire.Goodbye
		if p, err = wire.ParseGoodbye(f.packet); err == nil {
			s.engine.HandleGoodbye(now, p)
			s.note(f, p.Receiver, func(r *Receiver) { r.goodbye(p, s.geometry) })
		}
	default:
		err = wire.ErrType
	}
	if err != nil {
		s.countBad()
	}
	return nil
}

// settleOn makes sure that the stream has somewhere to go: with an interface named
// there, and otherwise where the first client asked, until nobody is left there.
func (s *symbolServer) settleOn(f feedback, id wire.ReceiverID) error {
	ifIndex := f.ifIndex
	if s.cfg.Interface != "" {
		ifIndex = s.servedIndex // which nobody changes then
	}
	switch {
	case s.engine == nil:
		if err := s.begin(ifIndex); err != nil {
			return err
		}
	case ifIndex == s.ifIndex:
		return nil
	case s.engine.Receivers() == 0:
		moved, err := s.conn.NewSender(s.data, ifIndex, udp.MethodAuto)
		if err != nil {
			s.cfg.Log.Warn("cannot serve the network that a client asks from", "client", f.from, "err", err)
			return nil
		}
		s.sender, s.ifIndex = moved, ifIndex
		s.elsewhereSaid = nil
	default:
		// A client that both networks lead to asks on both.
		if !s.elsewhereSaid[ifIndex] && !s.engine.Knows(id) {
			if s.elsewhereSaid == nil {
				s.elsewhereSaid = map[int]bool{}
			}
			s.elsewhereSaid[ifIndex] = true
			s.cfg.Log.Warn(elsewhere, "client", f.from, "served", interfaceName(s.ifIndex))
		}
		return nil
	}
	s.mu.Lock()
	s.stats.Interface = interfaceName(s.ifIndex)
	s.mu.Unlock()
	return nil
}

// meet answers an offer with the session's description.
func (s *symbolServer) meet(now time.Duration, f feedback, offer wire.Offer) error {
	if err := s.settleOn(f, offer.Receiver); err != nil {
		return err
	}
	s.engine.Join(now, offer.Receiver)
	s.hold.join(now)
	s.note(f, offer.Receiver, func(r *Receiver) {
		r.Name = string(offer.HostName)
		if r.Outcome == OutcomeLost {
			r.Outcome = OutcomePending
		}
	})
	s.answer(s.describe(offer.Receiver), f.from, f.ifIndex)
	return nil
}

// describe is the description of the session for a receiver, or the announcement for 0.
func (s *symbolServer) describe(receiver wire.ReceiverID) []byte {
	return wire.Description{
		Session:        s.session,
		Receiver:       receiver,
		Codecs:         1 << codec.Raw,
		Geometry:       s.geometry,
		Identity:       s.identity,
		Data:           s.data,
		SymbolSize:     s.symbolSize,
		Completion:     s.completion(),
		ReportInterval: s.engine.Interval(),
		Receivers:      uint32(s.engine.Receivers()),
		FileName:       []byte(wire.FileName(s.source.Name())),
	}.AppendTo(nil)
}

func (s *symbolServer) completion() wire.Completion {
	if s.manifest == nil {
		return wire.Completion{}
	}
	return wire.Completion{ManifestSize: uint64(len(s.manifest.Bytes())), ImageDigest: s.manifest.ImageDigest()}
}

// release begins the stream once those are there that it waits for, tells the engine
// the rate, and notes who has gone silent.
func (s *symbolServer) release() {
	now := s.now()
	if !s.hold.released {
		s.hold.release(now, &s.cfg, s.engine)
		s.engine.SetHold(now, !s.hold.released)
	}
	since := time.Since(s.sentAt)
	if since < rateInterval {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count := s.stats.PacketsSent
	// What goes out while there is little to send is no measure.
	if rate := float64(count-s.sentCount) / since.Seconds(); rate > 0 && !s.rested {
		s.engine.SetRate(rate)
		s.narrows.judge(now, s.engine.Interval(), rate*float64(8*udp.PacketWireBytes(s.cfg.Group, s.packetSize())), s.engine.Knows)
		s.limit.Store(s.narrows.limit)
	}
	s.sentAt, s.sentCount, s.rested = time.Now(), count, false
	s.stats.Waiting = !s.hold.released
	for id, r := range s.table {
		if r.Outcome == OutcomePending && !s.engine.Knows(id) {
			r.Outcome = OutcomeLost
		}
	}
}

// isOver tells whether the session is over because all that came are done. The last
// of them may still ask whether its goodbye was heard.
func (s *symbolServer) isOver() bool {
	if !s.cfg.ExitAfterDone || !s.hold.released || s.engine.Receivers() > 0 {
		s.emptyAt = time.Time{}
		return false
	}
	if s.emptyAt.IsZero() {
		s.emptyAt = time.Now()
	}
	return time.Since(s.emptyAt) > lingerTime
}

// verdict is how a session ends that was to end when all are done.
func (s *symbolServer) verdict() error {
	failed := 0
	s.mu.Lock()
	for _, r := range s.table {
		if r.Outcome != OutcomeDone {
			failed++
			if r.Outcome == OutcomePending {
				r.Outcome = OutcomeLost
			}
		}
	}
	s.mu.Unlock()
	if failed > 0 {
		return fail(ErrReceiversFailed, "%d of %d clients did not get the image", failed, len(s.table))
	}
	return errAllDone
}

// note keeps the table of receivers.
func (s *symbolServer) note(f feedback, id wire.ReceiverID, change func(*Receiver)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.table[id]
	if r == nil {
		if len(s.table) >= maxServedClients {
			return
		}
		r = &Receiver{FirstSeen: time.Now()}
		s.table[id] = r
		s.receivers = append(s.receivers, r)
	}
	r.Addr, r.LastSeen = f.from, time.Now()
	change(r)
}
