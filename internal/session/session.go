package session

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"multiserver/internal/block"
	"multiserver/internal/blockstore"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/image"
	"multiserver/internal/partition"
	"multiserver/internal/roster"
	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/startgate"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// DefaultMTU is what every path carries; a larger one has to be asked for.
	DefaultMTU = 1500
	// MinMTU is what every host takes (RFC 791), MaxMTU what jumbo frames have.
	MinMTU, MaxMTU = 576, 9216
	// inboxLen holds a second's worth of feedback at 10,000 receivers.
	inboxLen = 2048
	// watchInterval is how often the image is compared with what it was.
	watchInterval = time.Second
)

// ErrAllDone is how a session ends that was to end when all receivers are done, and all
// are.
var ErrAllDone = errors.New("all clients are done")

// Config says what to serve and where. Source, Conn, Queue, Group, Port and Log have no
// default.
type Config struct {
	Source image.Source
	// Conn is the host's control socket, from which everything is sent; Queue is the
	// session's way to the transmitter.
	Conn  *udp.Conn
	Queue *transmit.Queue
	// Group is where clients ask, Port that of the stream. DataGroup is the stream's group;
	// if it is not valid, one that is the image's own.
	Group     netip.Addr
	Port      uint16
	DataGroup netip.Addr
	// Interface is the index of the only interface that the stream goes out on; 0: all that
	// receivers are heard on.
	Interface int
	// MTU is what packets fill, if the interface takes it; 0: DefaultMTU.
	MTU int
	// Gate says which receivers the stream waits for.
	Gate startgate.Gate
	// ExitAfterDone ends the session when every receiver that came is done or gone.
	ExitAfterDone bool
	Unicast       routes.Mode
	// CacheFolder is where manifests are kept for later sessions; "" keeps none.
	CacheFolder string
	Log         *slog.Logger

	// OnReceiver is told of a receiver that joins or has another outcome, OnRate of another
	// limit of the rate, in bits a second (0: none) and its reason, and OnNetworks of the
	// interfaces that the stream goes out on. They may be nil, and are called one at a time,
	// on a goroutine of Run, which waits for them.
	OnReceiver func(roster.Row)
	OnRate     func(limit uint64, reason string)
	OnNetworks func(interfaces []int)
}

// Figures are the state of a session at one moment.
type Figures struct {
	Receivers []roster.Row // by first packet in the session
	// Networks are the names of the interfaces that the stream goes out on.
	Networks []string
	// Waiting: the stream is held until the receivers that it waits for have come.
	Waiting bool
	// RateLimit is what the stream keeps to, in bits a second, because most receivers
	// cannot take more, and RateReason why: 0 and "" if it is the interface's pace.
	RateLimit  uint64
	RateReason string
	// BadPackets were no packets of this session.
	BadPackets uint64
}

// packet is a packet of MXB 2, or the offer in a map request, as it was heard.
type packet struct {
	bytes   []byte
	from    netip.AddrPort
	ifIndex int
}

// Session serves one image. Make it by New.
type Session struct {
	cfg        Config
	origin     time.Time
	id         wire.SessionID
	identity   wire.Identity
	geometry   block.Geometry
	sectorSize uint32 // that the image's partition table is written for; 0: unknown

	// inbox goes from Handle to loop. It has room for inboxLen packets, and nobody closes it.
	inbox chan packet
	// begun goes from loop to Run, which then starts the store's loaders: one store.
	begun chan *blockstore.Store

	mu      sync.Mutex // guards table and figures
	table   *roster.Table
	figures Figures // without Receivers

	// Owned by loop, from the first offer on; nil before:
	streams *streams
	store   *blockstore.Store
	pace    *pace
	compose *composer

	// Owned by loop:
	emptyAt time.Time // since when nobody is unfinished
	stalled bool      // reading the image takes long, and that was said
	changes []roster.Row
	ahead   []sender.Ref
}

// New prepares a session of the source, and reads the image's head.
func New(cfg Config) (*Session, error) {
	line, err := cfg.Source.Identity()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(line))
	head := make([]byte, min(cfg.Source.Size(), partition.HeadSize))
	if _, err := cfg.Source.ReadAt(head, 0); err != nil {
		return nil, err
	}
	geometry := block.Geometry{ImageSize: cfg.Source.Size(), BlockSize: block.DefaultBlockSize}
	if err := geometry.Validate(); err != nil {
		return nil, fmt.Errorf("serve %s: %w", cfg.Source, err)
	}
	return &Session{
		cfg:        cfg,
		origin:     time.Now(),
		id:         wire.SessionID(rand.Uint64()),
		identity:   wire.Identity(digest[:16]),
		geometry:   geometry,
		sectorSize: partition.SectorSize(head),
		inbox:      make(chan packet, inboxLen),
		begun:      make(chan *blockstore.Store, 1),
		table:      roster.New(geometry),
	}, nil
}

// ID is the session's number.
func (s *Session) ID() wire.SessionID { return s.id }

// Handle takes in a packet of MXB 2, or the offer in a map request, as the control socket
// heard it. It keeps a copy, and never waits.
func (s *Session) Handle(b []byte, from netip.AddrPort, ifIndex int) {
	select {
	case s.inbox <- packet{append([]byte(nil), b...), from, ifIndex}:
	default: // lost, as any packet may be
	}
}

// Figures returns the state of the moment.
func (s *Session) Figures() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.figures
	f.Receivers = s.table.Rows()
	return f
}

// Run serves until ctx ends or the session does, tells the receivers why, and returns after
// all of its goroutines have ended: with ctx's error, ErrAllDone, an error of kind
// ReceiversFailed, or what is wrong with the image.
func (s *Session) Run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return s.watch(inner) })
	group.Go(func() error {
		select {
		case <-inner.Done():
		case store := <-s.begun:
			store.Run(inner)
		}
		return nil
	})
	group.Go(func() error {
		err := s.loop(inner)
		cause := err
		switch {
		case inner.Err() != nil:
			cause = context.Cause(inner)
		case errors.Is(err, ErrAllDone) || errors.Is(err, failure.ReceiversFailed):
			cause = context.Canceled
		}
		s.sendLastWords(inner, cause)
		return err
	})
	return group.Wait()
}

// watch ends with an error when the image has changed.
func (s *Session) watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := s.cfg.Source.Changed(); err != nil {
				return err
			}
		}
	}
}

// now is the time of the engines.
func (s *Session) now() time.Duration { return time.Since(s.origin) }

// begin makes the engine and the store, now that it is known where the stream goes.
func (s *Session) begin(ifIndex int) error {
	mtu := DefaultMTU
	if each, err := udp.InterfaceByName(udp.InterfaceName(ifIndex)); err == nil {
		mtu = min(mtu, each.MTU)
		if s.cfg.MTU != 0 {
			mtu = min(s.cfg.MTU, each.MTU)
		}
	}
	symbolSize, err := wire.SymbolSizeFor(mtu - udp.HeaderBytes(s.cfg.Group))
	if err != nil {
		return fmt.Errorf("send packets for an MTU of %d: %w", mtu, err)
	}
	secret := make([]byte, 16)
	if _, err := crand.Read(secret); err != nil {
		return err
	}
	streams := newStreams(&s.cfg, s.id, s.geometry, s.dataGroup(), secret, s.now(), s.showNetworks)
	store, err := blockstore.New(blockstore.Config{
		Source: s.cfg.Source, Geometry: s.geometry, SymbolSize: symbolSize, CacheFolder: s.cfg.CacheFolder,
		Ready:    streams.ready,
		Zero:     streams.zero,
		Complete: func(c wire.Completion) { streams.complete(s.now(), c) },
		Log:      s.cfg.Log,
	})
	if err != nil {
		return err
	}
	if err := streams.addNetwork(s.now(), ifIndex); err != nil {
		return err
	}
	streams.complete(s.now(), store.Completion())
	s.streams, s.store = streams, store
	s.pace = newPace(&s.cfg, s.id, symbolSize, s.geometry)
	s.compose = &composer{session: s.id, symbolSize: int(symbolSize), group: s.cfg.Group, geometry: s.geometry, store: store, queue: s.cfg.Queue, streams: streams}
	s.begun <- store
	streams.setGate(s.now(), true, false)
	// Clients of a session before this one hear of the new one at once.
	streams.group.send(s.describe(0, netip.AddrPort{}), s.cfg.Log)
	return nil
}

// dataGroup is where the stream goes: a group of the image's own, so that switches filter
// one image's stream from another's, and a restarted server needs no one to join anew.
func (s *Session) dataGroup() netip.AddrPort {
	if s.cfg.DataGroup.IsValid() {
		return netip.AddrPortFrom(s.cfg.DataGroup, s.cfg.Port)
	}
	return netip.AddrPortFrom(wire.DataGroup(s.cfg.Group, s.identity), s.cfg.Port)
}

// describe is the description of the session for a receiver at an address, or the
// announcement for 0.
func (s *Session) describe(receiver wire.ReceiverID, to netip.AddrPort) []byte {
	d := wire.Description{
		Session:        s.id,
		Receiver:       receiver,
		Codecs:         1 << codec.Raw,
		Geometry:       s.geometry,
		Identity:       s.identity,
		Data:           s.streams.data,
		SymbolSize:     uint16(s.compose.symbolSize),
		Completion:     s.store.Completion(),
		ReportInterval: s.streams.group.engine.Interval(),
		Receivers:      uint32(s.streams.unfinished()),
		SectorSize:     s.sectorSize,
		FileName:       []byte(wire.FileName(s.cfg.Source.Name())),
	}
	if receiver != 0 {
		d.Token = s.streams.peers.Token(receiver, to)
	}
	if s.cfg.Unicast == routes.Always {
		d.Data = netip.AddrPort{}
	}
	return d.AppendTo(nil)
}

// showNetworks tells which interfaces the stream goes out on.
func (s *Session) showNetworks(interfaces []int) {
	names := make([]string, len(interfaces))
	for i, each := range interfaces {
		names[i] = udp.InterfaceName(each)
	}
	s.mu.Lock()
	s.figures.Networks = names
	s.mu.Unlock()
	if s.cfg.OnNetworks != nil {
		s.cfg.OnNetworks(interfaces)
	}
}

func (s *Session) countBad() {
	s.mu.Lock()
	s.figures.BadPackets++
	s.mu.Unlock()
}
