package multiserver

import (
	"context"
	crand "crypto/rand"
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
	"multiserver/internal/partition"
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
	// flightTime is how much, at the rate of the moment, is on its way to the socket:
	// what a server that is not scheduled for a while has to send. minFlight and
	// maxFlight bound it in batches; firstFlight is that of 1 Gbit/s.
	flightTime           = 6 * time.Millisecond
	minFlight, maxFlight = 3, 64
	firstFlight          = 12
	// superPacketBytes is what the kernel takes at once.
	superPacketBytes = 64<<10 - 1
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
	// stallTime is how long a block may take to be read before that is said.
	stallTime = 2 * time.Second
	// holdTick is how often it is asked whether the stream may begin.
	holdTick = 5 * time.Millisecond
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
	origin     time.Time
	session    wire.SessionID
	identity   wire.Identity
	geometry   block.Geometry
	sectorSize uint32 // that the image's partition table is written for; 0: unknown

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
	group   *stream   // nil before
	single  *stream   // nil while nobody wanted unicast
	streams []*stream // those that there are
	unicast map[wire.ReceiverID]*unicastPeer
	// unicastCredit is how many bytes of the wire are unicast's.
	unicastCredit int
	secret        [16]byte // of the tokens
	prober        prober
	held          bool // the stream is
	data          netip.AddrPort
	symbolSize    uint16
	cache         map[uint32]*encodedBlock // manifest blocks behind the image's
	uses          uint64
	spare         [][]byte // buffers of blocks that are not cached any more
	loading       map[sender.Ref]bool
	loadedAt      time.Time // when a load last ended, or the only one began
	stallSaid     bool
	upcoming      []sender.Ref
	builder       *codec.ManifestBuilder
	unread        block.ID // where to look for blocks that no one has read
	manifest      *codec.Manifest
	encoder       fec.Encoder
	batches       []*batch // that are free
	flying        int      // those that are with send
	flight        int      // as many may be
	packet        []byte
	digests       []codec.SubblockDigest
	hold          hold
	rate          rateFinder
	table         map[wire.ReceiverID]*Receiver
	paths         []path
	names         names
	tickAt        time.Time
	idle          bool      // there is nothing to send
	emptyAt       time.Time // since when nobody is unfinished
}

func newSymbolServer(r *serverRun) (*symbolServer, error) {
	line, err := r.source.Identity()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(line))
	head := make([]byte, min(r.source.Size(), partition.HeadSize))
	if _, err := r.source.ReadAt(head, 0); err != nil {
		return nil, err
	}
	s := &symbolServer{
		serverRun:  r,
		origin:     time.Now(),
		session:    wire.SessionID(rand.Uint64()),
		identity:   wire.Identity(digest[:16]),
		geometry:   block.Geometry{ImageSize: r.source.Size(), BlockSize: block.DefaultBlockSize},
		sectorSize: partition.SectorSize(head),

		feedback: make(chan feedback, feedbackQueueLen),
		loads:    make(chan *load, loadsInFlight),
		loaded:   make(chan *load, loadsInFlight),

		emptySymbols: make(chan *batch, maxFlight),
		fullSymbols:  make(chan *batch, maxFlight),
		flight:       firstFlight,
		gone:         make(chan struct{}),

		cache:   map[uint32]*encodedBlock{},
		loading: map[sender.Ref]bool{},
		table:   map[wire.ReceiverID]*Receiver{},
		unicast: map[wire.ReceiverID]*unicastPeer{},
	}
	if _, err := crand.Read(s.secret[:]); err != nil {
		return nil, err
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
	s.symbolSize = size
	s.data = s.dataGroup()
	s.builder, err = codec.NewManifestBuilder(codec.Sizes(s.geometry))
	if err != nil {
		return err
	}
	s.group = &stream{engine: sender.New(s.now(), sender.Config{Session: s.session, Image: s.geometry})}
	s.streams = append(s.streams, s.group)
	if err := s.sendOn(ifIndex); err != nil {
		return err
	}
	s.recallManifest()
	s.held = true
	s.group.engine.SetGateClosed(s.now(), true)
	// Clients of a session before this one hear of the new one at once.
	s.group.say(s.describe(0, netip.AddrPort{}), s.cfg.Log)
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
	for {
		for drained := false; !drained; {
			select {
			case f := <-s.feedback:
				err = s.hear(f)
			case l := <-s.loaded:
				err = s.take(l)
			case b := <-s.emptySymbols:
				s.giveBack(b)
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
		if s.group == nil {
			select {
			case <-ctx.Done():
			case f := <-s.feedback:
				if err := s.hear(f); err != nil {
					return err
				}
			}
			continue
		}
		s.tick()
		if s.isOver() {
			return s.verdict()
		}
		s.readAhead()
		// Without a batch to fill, nothing that is due can be sent.
		wait := rateInterval
		if s.flying < s.flight {
			b := s.takeBatch()
			filled, err := s.composeNext(b)
			if err != nil {
				return err
			}
			s.idle = !filled
			if filled {
				s.flying++
				s.fullSymbols <- b
				continue
			}
			s.batches = append(s.batches, b)
			for _, st := range s.streams {
				wait = min(wait, max(st.engine.Deadline()-s.now(), 0))
			}
			if s.held {
				wait = min(wait, holdTick)
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case f := <-s.feedback:
			err = s.hear(f)
		case l := <-s.loaded:
			err = s.take(l)
		case b := <-s.emptySymbols:
			s.giveBack(b)
		case <-timer.C:
		}
		if err != nil {
			return err
		}
	}
}

// takeBatch is an empty batch.
func (s *symbolServer) takeBatch() *batch {
	if n := len(s.batches); n > 0 {
		b := s.batches[n-1]
		s.batches = s.batches[:n-1]
		return b
	}
	return &batch{buf: make([]byte, max(superPacketBytes, s.packetSize()))}
}

// giveBack takes a batch that was sent.
func (s *symbolServer) giveBack(b *batch) {
	s.flying--
	s.batches = append(s.batches, b)
}

// sayLastWords tells the receivers that the session is over, and why. No batch is
// under way any more that they could overtake.
func (s *symbolServer) sayLastWords(cause error) {
	if s.group == nil {
		return
	}
	state := wire.SenderStopped
	switch {
	case errors.Is(cause, image.ErrChanged):
		state = wire.SenderImageChanged
	case !errors.Is(cause, context.Canceled):
		state = wire.SenderImageFailed
	}
	for range lastWords {
		for _, st := range s.streams {
			st.engine.End(s.now(), state)
			if packet, ok := st.engine.Poll(s.now(), s.packet[:0]); ok {
				st.say(packet, s.cfg.Log)
			}
		}
	}
}

// hear takes in a packet of a receiver.
func (s *symbolServer) hear(f feedback) error {
	now := s.now()
	if offer, err := wire.ParseOffer(f.packet); err == nil {
		return s.meet(now, f, offer)
	}
	kind, session, err := wire.Peek(f.packet)
	if err != nil || s.group == nil || session != s.session {
		s.countBad()
		return nil
	}
	switch kind {
	case wire.TypeReport:
		var p wire.Report
		if p, err = wire.ParseReport(f.packet); err == nil {
			if st := s.streamOf(p.Receiver); st == s.group && p.Counts.Received > 0 {
				s.prober.deaf = false
			}
			s.streamOf(p.Receiver).engine.HandleReport(now, p)
			if st := s.streamOf(p.Receiver); st == s.group || s.group.engine.Receivers() == 0 {
				s.rate.report(now, p)
			}
			s.note(f, p.Receiver, func(r *Receiver) { r.report(p, s.geometry) })
		}
	case wire.TypeWanted:
		var p wire.Wanted
		if p, err = wire.ParseWanted(f.packet); err == nil {
			s.streamOf(p.Receiver).engine.HandleWanted(now, p)
			s.note(f, p.Receiver, func(*Receiver) {})
		}
	case wire.TypeWantedSymbols:
		var p wire.WantedSymbols
		if p, err = wire.ParseWantedSymbols(f.packet); err == nil {
			s.streamOf(p.Receiver).engine.HandleWantedSymbols(now, p)
			s.note(f, p.Receiver, func(*Receiver) {})
		}
	case wire.TypeWantedSubblocks:
		var p wire.WantedSubblocks
		if p, err = wire.ParseWantedSubblocks(f.packet); err == nil {
			s.streamOf(p.Receiver).engine.HandleWantedSubblocks(now, p)
			s.note(f, p.Receiver, func(*Receiver) {})
		}
	case wire.TypeGoodbye:
		var p wire.Goodbye
		if p, err = wire.ParseGoodbye(f.packet); err == nil {
			s.streamOf(p.Receiver).engine.HandleGoodbye(now, p)
			s.note(f, p.Receiver, func(r *Receiver) { r.goodbye(p, s.geometry) })
		}
	case wire.TypeUnicastRequest:
		var p wire.UnicastRequest
		if p, err = wire.ParseUnicastRequest(f.packet); err == nil {
			s.hearUnicast(now, f, p)
		}
	case wire.TypeProbeReport:
		var p wire.ProbeReport
		if p, err = wire.ParseProbeReport(f.packet); err == nil {
			s.hearProbed(now, p)
		}
	default:
		err = wire.ErrType
	}
	if err != nil {
		s.countBad()
	}
	return nil
}

// meet answers an offer with the session's description. Only a packet in the session
// makes a receiver of whoever offered: anybody can send offers in others' names.
func (s *symbolServer) meet(now time.Duration, f feedback, offer wire.Offer) error {
	if s.group == nil {
		ifIndex := f.ifIndex
		if s.cfg.Interface != "" {
			ifIndex = s.servedIndex // which nobody changes then
		}
		if err := s.begin(ifIndex); err != nil {
			return err
		}
	}
	s.emptyAt = time.Time{}
	_, again := s.names[offer.Receiver]
	s.names.keep(offer.Receiver, string(offer.HostName))
	answer := s.describe(offer.Receiver, f.from)
	s.answer(answer, f.from, f.ifIndex)
	if again && f.from.Addr().Is4() {
		// Where the question for the client's hardware address is lost, the system asks
		// again only after a second. A broadcast needs no such address.
		if err := s.conn.WriteTo(answer, netip.AddrPortFrom(broadcastAll, f.from.Port()), f.ifIndex); err != nil {
			s.cfg.Log.Debug("answer by broadcast", "client", f.from, "err", err)
		}
	}
	return nil
}

// describe is the description of the session for a receiver at an address, or the
// announcement for 0.
func (s *symbolServer) describe(receiver wire.ReceiverID, to netip.AddrPort) []byte {
	d := wire.Description{
		Session:        s.session,
		Receiver:       receiver,
		Codecs:         1 << codec.Raw,
		Geometry:       s.geometry,
		Identity:       s.identity,
		Data:           s.data,
		SymbolSize:     s.symbolSize,
		Completion:     s.completion(),
		ReportInterval: s.group.engine.Interval(),
		Receivers:      uint32(s.unfinished()),
		SectorSize:     s.sectorSize,
		FileName:       []byte(wire.FileName(s.source.Name())),
	}
	if receiver != 0 {
		d.Token = s.token(receiver, to)
	}
	if s.cfg.Unicast == UnicastAlways {
		d.Data = netip.AddrPort{}
	}
	return d.AppendTo(nil)
}

func (s *symbolServer) completion() wire.Completion {
	if s.manifest == nil {
		return wire.Completion{}
	}
	return wire.Completion{ManifestSize: uint64(len(s.manifest.Bytes())), ImageDigest: s.manifest.ImageDigest()}
}

// tick does, each rateInterval, what need not be done at once: it begins the stream
// once those are there that it waits for, finds the rate, and notes who has gone
// silent.
func (s *symbolServer) tick() {
	now := s.now()
	if s.held {
		if !s.hold.released {
			s.hold.release(now, &s.cfg, s.knows)
		}
		s.held = !s.hold.released || !s.probe(now)
	}
	s.group.engine.SetGateClosed(now, s.held || s.prober.deaf)
	if s.single != nil {
		s.single.engine.SetGateClosed(now, s.held)
	}
	since := time.Since(s.tickAt)
	if since < rateInterval {
		return
	}
	s.tickAt = time.Now()
	packetBits := float64(8 * udp.PacketWireBytes(s.cfg.Group, s.packetSize()))
	groupRate, rate := s.group.measure(since), 0.0
	if s.single != nil {
		rate = s.single.measure(since)
	}
	if s.group.engine.Receivers() > 0 {
		rate = groupRate
	}
	if rate > 0 {
		symbols := float64(codec.HeaderSize+int(s.geometry.BlockSize)) / float64(s.symbolSize)
		s.rate.judge(now, rate*packetBits, packetBits, symbols*packetBits, s.knows)
		s.limit.Store(s.rate.limit)
		s.fly(rate * packetBits)
	}
	s.leaveEmpty()
	s.sayStall()
	s.lapseUnicast(now)
	s.seekHearers(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Waiting = !s.hold.released
	s.stats.RateLimit, s.stats.RateReason = s.rate.limit, s.rate.reason
	if rate*packetBits < bindingShare*float64(s.rate.limit) {
		s.stats.RateLimit, s.stats.RateReason = 0, ""
	}
	for id, r := range s.table {
		if r.Outcome == OutcomePending && !s.knows(id) {
			s.ended(r, OutcomeLost)
		}
	}
}

// fly sets how many batches may be on their way to the socket.
func (s *symbolServer) fly(bitsPerSec float64) {
	batchBits := float64(8 * s.burst() * udp.PacketWireBytes(s.cfg.Group, s.packetSize()))
	s.flight = int(min(max(bitsPerSec*flightTime.Seconds()/batchBits, minFlight), maxFlight))
}

// burst is how many packets a batch may have.
func (s *symbolServer) burst() int {
	size := s.packetSize()
	rate := s.rate.limit
	if set := s.cfg.RateBitsPerSec; set != 0 && (rate == 0 || set < rate) {
		rate = set
	}
	return max(1, min(burstPackets(s.cfg.Group, rate, s.cfg.Delay, size), superPacketBytes/size))
}

// knows tells whether a receiver is unfinished and was heard lately.
func (s *symbolServer) knows(id wire.ReceiverID) bool { return s.streamOf(id).engine.Knows(id) }

// unfinished is the count of receivers that are not done.
func (s *symbolServer) unfinished() (n int) {
	for _, st := range s.streams {
		n += st.engine.Receivers()
	}
	return n
}

// isOver tells whether the session is over because all that came are done. The last
// of them may still ask whether its goodbye was heard.
func (s *symbolServer) isOver() bool {
	if !s.cfg.ExitAfterDone || !s.hold.released || len(s.table) == 0 || s.unfinished() > 0 {
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
	failed, all := 0, 0
	s.mu.Lock()
	for _, r := range s.table {
		if r.Outcome == OutcomePending {
			s.ended(r, OutcomeLost)
		}
		switch r.Outcome {
		case OutcomeRestarted:
			continue
		case OutcomeDone:
		default:
			failed++
		}
		all++
	}
	s.mu.Unlock()
	if failed > 0 {
		return fail(ErrReceiversFailed, "%d of %d clients did not get the image", failed, all)
	}
	return errAllDone
}

// note keeps the table of receivers.
func (s *symbolServer) note(f feedback, id wire.ReceiverID, change func(*Receiver)) {
	s.hold.hear(s.now(), id)
	s.heardOn(f.ifIndex)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.table[id]
	if r == nil {
		if len(s.table) >= maxServedClients {
			return
		}
		r = &Receiver{Name: s.names.take(id), FirstSeen: time.Now()}
		s.table[id] = r
		s.receivers = append(s.receivers, r)
		r.Addr = f.from
		s.cameAgain(r)
	}
	r.Addr, r.LastSeen = f.from, time.Now()
	if r.Outcome == OutcomeLost || r.Outcome == OutcomeRestarted {
		r.Outcome = OutcomePending
	}
	if change(r); r.Outcome == OutcomeFailed || r.Outcome == OutcomeInterrupted {
		s.ended(r, r.Outcome)
	}
}
