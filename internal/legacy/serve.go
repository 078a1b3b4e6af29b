package legacy

import (
	"context"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"multiserver/internal/guard"
	"multiserver/internal/image"
	"multiserver/internal/mxb1"
	"multiserver/internal/roster"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
)

const (
	// BatchesInFlight is how many batches are read ahead of the socket: a millisecond at
	// 1 Gbit/s. Their blocks are no longer pending, so a block that is requested while its
	// batch waits goes twice.
	BatchesInFlight = 8
	// requestQueueLen holds the requests of eight clients that burst at once.
	requestQueueLen = 8 * mxb1.MaxBurst
	// quietTime: after so long without a request, one from another network moves the stream
	// there.
	quietTime = 10 * time.Second
)

// ServerConfig says what to serve and where. All but Interface and OnNetwork have no
// default.
type ServerConfig struct {
	Source image.Source
	// Conn is the host's control socket, from which everything is sent; Queue is the way
	// to the transmitter.
	Conn  *udp.Conn
	Queue *transmit.Queue
	// Group and Port are where the blocks go.
	Group netip.Addr
	Port  uint16
	// Interface is the index of the only interface that the blocks go out on; 0: the one
	// that the first request came in on.
	Interface int
	Log       *slog.Logger
	// Busy reports whether MXB 2 has something to send. It may be nil: it never has.
	Busy func() bool
	// OnNetwork is called when the blocks go out on another interface; it may be nil.
	OnNetwork func(ifIndex int)
}

// ServerFigures are the state of a Server at one moment.
type ServerFigures struct {
	Requesters   []roster.Requester // by first request
	Network      string             // the name of the interface that the blocks go out on
	Requests     uint64             // for blocks
	PendingBytes uint64             // asked for and not yet sent
	BadPackets   uint64             // no packets of MXB 1, or requests for blocks that do not exist
}

// request is what a client asked for, and the interface that it came in on.
type request struct {
	blocks  mxb1.BlockRequest
	from    netip.AddrPort
	ifIndex int
}

// Server serves one image over MXB 1. Make it by NewServer.
type Server struct {
	cfg                  ServerConfig
	toOriginal, toOthers []byte // the description, for original clients and for ours
	size                 uint64
	engine               *mxb1.Sender // Run's

	// requests go from Handle to Run; when it is full, Handle waits and the socket's buffer
	// takes, or drops, what comes. Nobody closes it.
	requests chan request
	// moved goes from UseInterface to Run: the index that the configured interface has now. It has
	// room for one, the newest. Nobody closes it.
	moved chan int

	mu      sync.Mutex // guards table and figures
	table   roster.Requesters
	figures ServerFigures // without Requesters

	// Owned by the goroutine that calls Handle:
	answers guard.Answers
	links   udp.Links
	began   time.Time // of guard's times; nobody changes it

	// Owned by Run:
	network network
	passes  *guard.Passes
	slots   [][]byte // scratch: where blocks are read to
}

// NewServer prepares to serve the source.
func NewServer(cfg ServerConfig) (*Server, error) {
	line, err := cfg.Source.Identity()
	if err != nil {
		return nil, err
	}
	identity := fnv.New64a()
	identity.Write([]byte(line))
	description := mxb1.Description{SizeBytes: cfg.Source.Size(), Name: cfg.Source.Name()}
	s := &Server{
		cfg:        cfg,
		size:       cfg.Source.Size(),
		engine:     mxb1.NewSender(cfg.Source.Size()),
		requests:   make(chan request, requestQueueLen),
		moved:      make(chan int, 1),
		toOriginal: description.AppendTo(nil),
		network:    network{fixed: cfg.Interface != 0},
		passes:     guard.NewPasses(mxb1.BlockCount(cfg.Source.Size())),
		began:      time.Now(),
	}
	description.HasTrailer, description.Identity = true, identity.Sum64()
	s.toOthers = description.AppendTo(nil)
	if cfg.Interface != 0 {
		if err := s.serveOn(cfg.Interface); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Figures returns the present state. Any goroutine may call it.
func (s *Server) Figures() ServerFigures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.figures
	f.Requesters = s.table.Rows()
	return f
}

// Handle takes in a packet of MXB 1 from the control socket. While the queue of requests is
// full it waits, until ctx ends.
func (s *Server) Handle(ctx context.Context, h mxb1.Header, payload []byte, in udp.Arrival) {
	switch h.Op {
	case mxb1.OpMapRequest:
		if s.cfg.Source.Changed() != nil { // its description is wrong by now
			return
		}
		answer := s.toOriginal
		if mxb1.IsOffer(payload) {
			answer = s.toOthers
		}
		from := in.From.Addr()
		if !from.IsLoopback() && !s.answers.May(time.Since(s.began), from, s.links.Local(from, in.IfIndex), in.Size, len(answer)) {
			return
		}
		if err := s.cfg.Conn.Reply(answer, in); err != nil {
			s.cfg.Log.Debug("no way to answer", "client", in.From, "err", err)
		}
	case mxb1.OpBlockRequest:
		blocks, err := mxb1.ParseBlockRequest(payload)
		if err != nil {
			s.countBad()
			return
		}
		select {
		case s.requests <- request{blocks, in.From, in.IfIndex}:
		case <-ctx.Done():
		}
	default:
		s.countBad()
	}
}

// UseInterface lets the blocks go out on the configured interface under another index: it was
// taken away and put back. One goroutine may call it.
func (s *Server) UseInterface(ifIndex int) {
	select {
	case <-s.moved: // an older one
	default:
	}
	s.moved <- ifIndex
}

// Run serves until ctx ends, or the image cannot be read or has changed. It returns ctx's error
// or the image's.
func (s *Server) Run(ctx context.Context) error {
	for {
		// A batch is taken only when there is something to put in.
		var batch *transmit.Batch
		if s.engine.Pending() > 0 {
			batch = s.cfg.Queue.Take()
		}
		if batch != nil {
			if err := s.fill(batch); err != nil {
				return err
			}
			s.showPending()
			s.cfg.Queue.Submit(batch)
			// Requests that have come in meanwhile go first: they may be for the same blocks.
			if len(s.requests) == 0 && len(s.cfg.Queue.Sent()) == 0 && ctx.Err() == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ifIndex := <-s.moved:
			if err := s.serveOn(ifIndex); err != nil {
				s.cfg.Log.Warn("cannot send on the interface as it is now", "interface", udp.InterfaceName(ifIndex), "err", err)
			}
		case q := <-s.requests:
			s.handleRequest(time.Now(), q)
			s.showPending()
		case b := <-s.cfg.Queue.Sent():
			s.cfg.Queue.Recycle(b)
		}
	}
}

// handleRequest hands a request to the engine.
func (s *Server) handleRequest(now time.Time, q request) {
	beside := s.cfg.Busy != nil && s.cfg.Busy()
	if beside {
		left := s.passes.Left(now.Sub(s.began), q.from.Addr())
		if left == 0 {
			return // it asks again
		}
		q.blocks.Last = uint32(min(uint64(q.blocks.Last), uint64(q.blocks.First)+left-1))
	}
	if !s.follow(now, q) {
		return
	}
	before := s.engine.Pending()
	blocks, err := s.engine.Request(q.blocks)
	if beside {
		s.passes.Spend(now.Sub(s.began), q.from.Addr(), s.engine.Pending()-before)
	}
	if err != nil {
		s.countBad()
		return
	}
	s.network.asked = now
	s.mu.Lock()
	s.figures.Requests++
	s.table.Asked(now, q.from, blocks*mxb1.BlockSize)
	s.mu.Unlock()
}

// network is the one that the blocks go out on.
type network struct {
	fixed     bool // an interface was named
	ifIndex   int
	to        []transmit.Sender // empty before the first request
	asked     time.Time         // when blocks were asked for last
	elsewhere map[int]bool      // interfaces whose requests were warned about
}

// choice is what a request does to the stream.
type choice int

const (
	stay   choice = iota
	move          // to where the request came from
	refuse        // another network is served
)

// choose decides which network is served: the configured interface, if there is one. Otherwise
// the first request decides, until no request has come for a while.
func (n *network) choose(now time.Time, ifIndex int, owed uint64) choice {
	switch {
	case n.fixed || n.to != nil && ifIndex == n.ifIndex:
		return stay
	case n.to == nil || owed == 0 && now.Sub(n.asked) > quietTime:
		return move
	}
	return refuse
}

// follow moves the stream to where q came from, if possible, and reports whether it goes there.
func (s *Server) follow(now time.Time, q request) bool {
	switch s.network.choose(now, q.ifIndex, s.engine.Pending()) {
	case stay:
		return true
	case move:
		err := s.serveOn(q.ifIndex)
		if err != nil {
			s.cfg.Log.Warn("cannot serve the network that a client asks from", "client", q.from, "err", err)
		}
		return err == nil
	}
	if !s.network.elsewhere[q.ifIndex] {
		s.network.elsewhere[q.ifIndex] = true
		s.cfg.Log.Warn("a client asks from another network than the one that is served: start a second server there, with its own ServerConfig.Interface and ServerConfig.ControlPort",
			"client", q.from, "served", s.Figures().Network)
	}
	return false
}

// serveOn sends from now on through the interface of that index.
func (s *Server) serveOn(ifIndex int) error {
	sender, err := s.cfg.Conn.NewSender(netip.AddrPortFrom(s.cfg.Group, s.cfg.Port), ifIndex, udp.MethodAuto)
	if err != nil {
		return err
	}
	s.network.to, s.network.ifIndex, s.network.elsewhere = []transmit.Sender{sender}, ifIndex, map[int]bool{}
	s.mu.Lock()
	s.figures.Network = udp.InterfaceName(ifIndex)
	s.mu.Unlock()
	if s.cfg.OnNetwork != nil {
		s.cfg.OnNetwork(ifIndex)
	}
	return nil
}

// fill reads the next pending blocks straight into the packets of a batch.
func (s *Server) fill(b *transmit.Batch) error {
	b.Reset(s.network.to, false)
	b.PacketSize = mxb1.MaxPacketSize
	for room := s.cfg.Queue.BurstPackets(mxb1.MaxPacketSize); room > 0; {
		run := s.engine.Next(uint64(room))
		if run.Len() == 0 {
			break
		}
		s.slots = s.slots[:0]
		for id := run.Lo; id < run.Hi; id++ {
			n := mxb1.BlockLen(s.size, id)
			slot := b.Buf[b.Bytes : b.Bytes+mxb1.HeaderSize+n]
			mxb1.Header{Op: mxb1.OpBlock, Size: uint16(n), Block: uint32(id)}.AppendTo(slot[:0])
			s.slots = append(s.slots, slot[mxb1.HeaderSize:])
			b.Bytes += len(slot)
			b.ImageBytes += n
		}
		if err := s.cfg.Source.ReadScattered(s.slots, run.Lo*mxb1.BlockSize); err != nil {
			return err
		}
		b.Packets += int(run.Len())
		room -= int(run.Len())
		if b.Bytes < b.Packets*mxb1.MaxPacketSize {
			break // only the last packet of a batch may be short
		}
	}
	// What was read before now is of the version that was described, if nothing has changed.
	return s.cfg.Source.Changed()
}

func (s *Server) showPending() {
	s.mu.Lock()
	s.figures.PendingBytes = s.engine.Pending() * mxb1.BlockSize
	s.mu.Unlock()
}

func (s *Server) countBad() {
	s.mu.Lock()
	s.figures.BadPackets++
	s.mu.Unlock()
}
