package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"multiserver/internal/legacy"
	"multiserver/internal/mxb1"
	"multiserver/internal/session"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Config says where to listen and how fast to send.
type Config struct {
	// Group is joined on Interfaces: clients ask there.
	Group      netip.Addr
	Interfaces []udp.Interface
	// Interface is the name of the only one to use; "": those that come later are joined too.
	Interface string
	// List lists the interfaces as they are. If it is nil, udp.ListCandidates does.
	List func() (udp.Candidates, error)
	// Control is the address that requests come to, and the source of every packet. Port 0
	// is any free one.
	Control netip.AddrPort
	// TTL is how many routers packets may pass, plus one.
	TTL int
	// RateBitsPerSec bounds everything that is sent; Delay is a pause after each packet.
	RateBitsPerSec uint64
	Delay          time.Duration
	Log            *slog.Logger
}

// Figures are the state of a Host at one moment.
type Figures struct {
	Sent       transmit.Figures
	BadPackets uint64 // that neither protocol could have sent
}

// Host is a server's control socket and what is behind it. Make it by Listen.
type Host struct {
	cfg         Config
	conn        *udp.Conn
	transmitter *transmit.Transmitter
	session     *session.Session // nil before Serve
	legacy      *legacy.Server   // nil before ServeLegacy
	queriers    *queriers
	bad         atomic.Uint64
}

// Listen binds the control socket.
func Listen(cfg Config) (*Host, error) {
	conn, err := udp.Listen(udp.ConnConfig{Addr: cfg.Control, Group: cfg.Group, Interfaces: cfg.Interfaces, TTL: cfg.TTL})
	if err != nil {
		return nil, err
	}
	for _, warning := range conn.Warnings() {
		cfg.Log.Warn("control socket", "err", warning)
	}
	return &Host{
		cfg:         cfg,
		conn:        conn,
		transmitter: transmit.New(transmit.Config{Group: cfg.Group, RateBitsPerSec: cfg.RateBitsPerSec, Delay: cfg.Delay, Log: cfg.Log}),
		queriers:    newQueriers(cfg.Log),
	}, nil
}

// Close closes the socket of a Host that did not Run.
func (h *Host) Close() error { return h.conn.Close() }

// Control is the address that the socket is bound to, its port never 0.
func (h *Host) Control() netip.AddrPort { return h.conn.LocalAddr() }

// Serve adds a session, and fills in Conn, Transmitter, Group and Log of its configuration.
// Call it once, before Run.
func (h *Host) Serve(cfg session.Config) (*session.Session, error) {
	cfg.Conn, cfg.Transmitter, cfg.Group, cfg.Log = h.conn, h.transmitter, h.cfg.Group, h.cfg.Log
	told := cfg.OnNetworks
	cfg.OnNetworks = func(interfaces []int) {
		h.queriers.serve(mxb2, interfaces)
		if told != nil {
			told(interfaces)
		}
	}
	var err error
	h.session, err = session.New(cfg)
	return h.session, err
}

// legacyPlace: while MXB 2 has something to send, MXB 1 gets an eighth.
var legacyPlace = transmit.Place{Rank: 2, OneIn: 8}

// ServeLegacy adds the service over MXB 1, and fills in Conn, Queue, Group and Log of its
// configuration, and Busy. Call it once, after Serve and before Run.
func (h *Host) ServeLegacy(cfg legacy.ServerConfig) (*legacy.Server, error) {
	cfg.Conn, cfg.Queue, cfg.Group, cfg.Log = h.conn, h.transmitter.NewQueue(legacy.BatchesInFlight, legacyPlace), h.cfg.Group, h.cfg.Log
	told := cfg.OnNetwork
	cfg.OnNetwork = func(ifIndex int) {
		h.queriers.serve(mxb1Owner, []int{ifIndex})
		if told != nil {
			told(ifIndex)
		}
	}
	if h.session != nil {
		cfg.Busy = h.session.Busy
	}
	var err error
	h.legacy, err = legacy.NewServer(cfg)
	return h.legacy, err
}

// Figures returns the present state.
func (h *Host) Figures() Figures {
	return Figures{Sent: h.transmitter.Figures(), BadPackets: h.bad.Load()}
}

// Run serves until ctx ends or something fails, closes the socket, and returns after all
// goroutines have ended, with the first error.
func (h *Host) Run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	var lastWords sync.WaitGroup // a session's are said when its Run returns
	if h.session != nil {
		lastWords.Add(1)
		group.Go(func() error {
			defer lastWords.Done()
			return h.session.Run(inner)
		})
	}
	if h.legacy != nil {
		group.Go(func() error { return h.legacy.Run(inner) })
	}
	group.Go(func() error { return h.listen(inner) })
	group.Go(func() error { return h.transmitter.Run(inner) })
	group.Go(func() error { return h.runQueriers(inner) })
	group.Go(func() error { return h.followInterfaces(inner) })
	group.Go(func() error {
		<-inner.Done()
		lastWords.Wait()
		return h.conn.Close()
	})
	return group.Wait()
}

// listen reads the control socket and dispatches the packets.
func (h *Host) listen(ctx context.Context) error {
	buf := make([]byte, 2048)
	for {
		n, in, err := h.conn.ReadArrival(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return ctx.Err()
			}
			return fmt.Errorf("read requests: %w", err)
		}
		h.handle(ctx, buf[:n], in)
	}
}

// handle dispatches a packet.
func (h *Host) handle(ctx context.Context, packet []byte, in udp.Arrival) {
	header, payload, err := mxb1.Parse(packet)
	switch {
	case err != nil && h.session != nil: // a packet of MXB 2, or of no protocol
		h.session.Handle(packet, in)
	case err == nil && h.session != nil && header.Op == mxb1.OpMapRequest && isOffer(payload):
		h.session.Handle(payload, in)
	case err == nil && h.legacy != nil:
		h.legacy.Handle(ctx, header, payload, in)
	default:
		h.bad.Add(1)
	}
}

func isOffer(payload []byte) bool {
	_, err := wire.ParseOffer(payload)
	return err == nil
}
