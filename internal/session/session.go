package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"multiserver/internal/block"
	"multiserver/internal/blockstore"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/format"
	"multiserver/internal/image"
	"multiserver/internal/partition"
	"multiserver/internal/roster"
	"multiserver/internal/routes"
	"multiserver/internal/startgate"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// DefaultMTU is what every path carries; a larger one has to be configured.
	DefaultMTU = 1500
	// MinMTU is what every host takes (RFC 791), MaxMTU what jumbo frames have.
	MinMTU, MaxMTU = 576, 9216
	// DefaultClientTimeout is longer than a suspended machine takes to wake up, or a client's
	// program to try again.
	DefaultClientTimeout = time.Minute
	// inboxLen holds a second's worth of feedback at 10,000 receivers.
	inboxLen = 2048
	// lingerQuiet and maxLinger: how long a session that is over answers those who ask.
	lingerQuiet, maxLinger = 200 * time.Millisecond, time.Second
	// watchInterval is how often the image is compared with what it was.
	watchInterval = time.Second
)

// ErrAllDone ends a session with ExitAfterDone once all receivers are done.
var ErrAllDone = errors.New("all clients are done")

// Config says what to serve and where. Source, Conn, Transmitter, Group, Port and Log have no
// default.
type Config struct {
	Source image.Source
	// Conn is the host's control socket, from which everything is sent. Each stream has a
	// queue of its own to Transmitter.
	Conn        *udp.Conn
	Transmitter *transmit.Transmitter
	// Group is where clients ask, Port that of the stream. DataGroup is the stream's group;
	// if it is not valid, one that is the image's own.
	Group     netip.Addr
	Port      uint16
	DataGroup netip.Addr
	// Interface is the index of the only interface that the stream goes out on; 0: all
	// interfaces that packets of receivers come in on.
	Interface int
	// MTU is what packets fill, if the interface takes it; 0: DefaultMTU.
	MTU int
	// Gate says which receivers the stream waits for.
	Gate startgate.Gate
	// ExitAfterDone ends the session when every receiver that came is done or gone.
	ExitAfterDone bool
	// MaxTime ends the session after that time, whoever is not done; 0: never.
	MaxTime time.Duration
	// ClientTimeout is after how long a receiver that is silent is gone; 0: DefaultClientTimeout.
	ClientTimeout time.Duration
	Unicast       routes.Mode
	// Compress says whether blocks are compressed while they are sent.
	Compress blockstore.Compress
	// CacheFolder is where manifests are kept for later sessions; "" keeps none.
	CacheFolder string
	// Signed is what is signed of the image, as wire.Signature has it, for receivers that ask; empty:
	// nothing. SignedDigest is the image digest in it: the session ends if the image has another.
	Signed       []byte
	SignedDigest *codec.Digest
	Log          *slog.Logger

	// OnReceiver is called when a receiver joins or has another outcome; OnRate when the
	// limit of the rate changes, in bits a second (0: none), with its reason; OnNetworks
	// when the stream goes out on other interfaces. They may be nil. A goroutine of Run
	// calls them one at a time, and waits for them.
	OnReceiver func(roster.Row)
	OnRate     func(limit uint64, reason string)
	OnNetworks func(interfaces []int)
}

// Figures are the state of a session at one moment.
type Figures struct {
	Receivers []roster.Row // by first packet in the session
	// Networks are the names of the interfaces that the stream goes out on.
	Networks []string
	// Waiting: the stream has not begun; it waits for receivers.
	Waiting bool
	// RateLimit is what the stream keeps to, in bits a second, and RateReason what sets that,
	// in words: 0 and "" if it is the interface's pace. 0 with a reason: nothing is sent.
	RateLimit  uint64
	RateReason string
	// BadPackets were no packets of this session.
	BadPackets uint64
}

// packet is a packet of MXB 2, or the offer in a map request, as it came in.
type packet struct {
	udp.Arrival
	bytes []byte
}

// facts are what never changes in a session.
type facts struct {
	id         wire.SessionID
	identity   wire.Identity
	geometry   block.Geometry
	sectorSize uint32 // that the image's partition table is written for; 0: unknown
	leastDisk  uint64 // bytes of the least disk for all of its partitions; 0: unknown
	format     format.Format
	data       netip.AddrPort // where the group's stream goes
	rawData    netip.AddrPort // where the raw stream goes, if there is one
	origin     time.Time      // of the engines' time
}

// now is the time of the engines.
func (f *facts) now() time.Duration { return time.Since(f.origin) }

// Session serves one image. Make it by New.
type Session struct {
	cfg   Config
	facts facts
	board *board

	// inbox goes from Handle to loop. It has room for inboxLen packets, and nobody closes it.
	inbox chan packet
	// begun goes from loop to Run, which then starts the store's loaders: one store.
	begun chan *blockstore.Store

	// start goes from StartNow to loop. One call may wait: two ask for the same. Nobody closes
	// it.
	start chan struct{}

	// moved goes from UseInterface to loop: the index that the configured interface has now. It has
	// room for one, the newest. Nobody closes it.
	moved chan int

	// busy: the stream goes on. loop sets it, and Busy reads it.
	busy atomic.Bool

	live *live // nil before the first offer; loop's
}

// New prepares a session of the source, and reads the image's head.
func New(cfg Config) (*Session, error) {
	line, err := cfg.Source.Identity()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(line))
	head := make([]byte, min(cfg.Source.Size(), format.HeadSize))
	if _, err := cfg.Source.ReadAt(head, 0); err != nil {
		return nil, err
	}
	geometry := block.Geometry{ImageSize: cfg.Source.Size(), BlockSize: block.DefaultBlockSize}
	if err := geometry.Validate(); err != nil {
		return nil, fmt.Errorf("serve %s: %w", cfg.Source, err)
	}
	s := &Session{
		cfg: cfg,
		facts: facts{
			id:         wire.SessionID(rand.Uint64()),
			identity:   wire.Identity(digest[:16]),
			geometry:   geometry,
			sectorSize: partition.SectorSize(head),
			format:     format.Of(head),
			leastDisk:  partition.LeastDisk(cfg.Source, cfg.Source.Size(), partition.SectorSize(head)),
			origin:     time.Now(),
		},
		inbox: make(chan packet, inboxLen),
		begun: make(chan *blockstore.Store, 1),
		start: make(chan struct{}, 1),
		moved: make(chan int, 1),
		board: newBoard(&cfg, geometry),
	}
	// A group of the image's own: switches filter one image's stream from another's, and a
	// restarted server needs no one to join anew.
	group := cfg.DataGroup
	if !group.IsValid() {
		group = wire.DataGroup(cfg.Group, s.facts.identity)
	}
	s.facts.data = netip.AddrPortFrom(group, cfg.Port)
	other := sha256.Sum256(append([]byte("raw"), digest[:]...))
	s.facts.rawData = netip.AddrPortFrom(wire.DataGroup(cfg.Group, wire.Identity(other[:16])), cfg.Port)
	return s, nil
}

// ID is the session's number. Only tests of other packages ask.
func (s *Session) ID() wire.SessionID { return s.facts.id }

// Handle takes in a packet of MXB 2, or the offer in a map request, from the control socket.
// It keeps a copy, and never waits.
func (s *Session) Handle(b []byte, from udp.Arrival) {
	select {
	case s.inbox <- packet{from, append([]byte(nil), b...)}:
	default: // lost, as any packet may be
	}
}

// StartNow lets the stream begin without the receivers that it waits for. Any goroutine may
// call it.
func (s *Session) StartNow() {
	select {
	case s.start <- struct{}{}:
	default: // one waits already
	}
}

// UseInterface lets the stream go out on the configured interface under another index: it was
// taken away and put back. One goroutine may call it.
func (s *Session) UseInterface(ifIndex int) {
	select {
	case <-s.moved: // an older one
	default:
	}
	s.moved <- ifIndex
}

// Busy reports whether the stream has begun, and has receivers that are not done. Any goroutine may
// call it.
func (s *Session) Busy() bool { return s.busy.Load() }

// Figures returns the present state.
func (s *Session) Figures() Figures { return s.board.show() }

// Run serves until ctx or the session ends, and tells the receivers why. It returns after all
// of its goroutines have ended: with ctx's error, ErrAllDone, an error of kind ReceiversFailed or
// TimeLimit, or the image's error.
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
		case errors.Is(err, ErrAllDone) || errors.Is(err, failure.ErrReceiversFailed) || errors.Is(err, failure.ErrTimeLimit):
			cause = context.Canceled
		}
		if s.live != nil {
			s.live.sendLastWords(inner, cause)
			s.linger()
		}
		return err
	})
	return group.Wait()
}

// linger answers the receivers that ask whether the session is over: a heartbeat may be anybody's.
// It ends when nobody has asked for a moment.
func (s *Session) linger() {
	if s.live.streams.unfinished() == 0 {
		return
	}
	limit := time.Now().Add(maxLinger)
	quiet := time.NewTimer(lingerQuiet)
	defer quiet.Stop()
	for time.Now().Before(limit) {
		select {
		case <-quiet.C:
			return
		case p := <-s.inbox:
			if offer, err := wire.ParseOffer(p.bytes); err == nil {
				s.live.handleOffer(p, offer)
				quiet.Reset(lingerQuiet)
			}
		}
	}
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
