package transmit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"multiserver/internal/udp"
)

// retryInterval spaces attempts while the interface refuses to send.
const retryInterval = 200 * time.Millisecond

// Config says how fast to send.
type Config struct {
	// Group is an address of the family that is sent to.
	Group netip.Addr
	// RateBitsPerSec bounds everything together, as on the wire of an Ethernet; 0: no bound.
	RateBitsPerSec uint64
	// Delay is a pause after each packet.
	Delay time.Duration
	Log   *slog.Logger
}

// Figures count what has been sent since the start, to each destination.
type Figures struct {
	Packets    uint64
	ImageBytes uint64 // of the image, each time
	WireBytes  uint64 // on the wire, with all headers
	Method     string // how packets reach the kernel: "gso", "sendmmsg" or "write"
}

// Transmitter sends the batches of its queues. Make it by New.
type Transmitter struct {
	cfg Config
	// wake goes from Submit to Run and has room for one: Run then looks at all queues.
	wake chan struct{}

	mu      sync.Mutex // guards queues, turn and figures
	queues  []*Queue
	turn    int // the queue that was served last
	figures Figures

	// Owned by Run:
	pacer      *udp.Pacer
	refused    bool // the interface did not take the last batch
	fellBack   bool // the preferred way of sending was refused, and a warning was logged
	retryPause time.Duration
}

// New returns a Transmitter without queues.
func New(cfg Config) *Transmitter {
	return &Transmitter{
		cfg:        cfg,
		wake:       make(chan struct{}, 1),
		pacer:      udp.NewPacer(cfg.RateBitsPerSec, cfg.Delay),
		retryPause: retryInterval,
	}
}

// NewQueue returns a queue with at most maxInFlight batches in flight, until its owner calls
// SetRate. MostInFlight is the maximum.
func (t *Transmitter) NewQueue(maxInFlight int) *Queue {
	q := &Queue{
		transmitter: t,
		ready:       make(chan *Batch, MostInFlight),
		sent:        make(chan *Batch, MostInFlight),
		maxInFlight: min(maxInFlight, MostInFlight),
		pacer:       udp.NewPacer(0, 0),
	}
	t.mu.Lock()
	t.queues = append(t.queues, q)
	t.mu.Unlock()
	return q
}

// Figures returns the present state. Any goroutine may call it.
func (t *Transmitter) Figures() Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.figures
}

// Run sends until ctx ends, and returns its error.
func (t *Transmitter) Run(ctx context.Context) error {
	for {
		q, b := t.next()
		if b == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.wake:
			}
			continue
		}
		if err := t.transmit(ctx, q, b); err != nil {
			return err
		}
		q.sent <- b
	}
}

func (t *Transmitter) signal() {
	select {
	case t.wake <- struct{}{}:
	default: // Run has not looked yet
	}
}

// next takes a batch from the queue whose turn it is; nil if none is ready.
func (t *Transmitter) next() (*Queue, *Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range t.queues {
		t.turn = (t.turn + 1) % len(t.queues)
		q := t.queues[t.turn]
		select {
		case b := <-q.ready:
			return q, b
		default:
		}
	}
	return nil, nil
}

// transmit paces and sends one batch. The error is ctx's.
func (t *Transmitter) transmit(ctx context.Context, q *Queue, b *Batch) error {
	wireBytes, copies := b.WireBytes(t.cfg.Group), 1
	if b.Unicast {
		copies = len(b.To)
	}
	if err := t.pacer.Wait(ctx, copies*wireBytes, copies*b.Packets); err != nil {
		return err
	}
	if limit := q.limit.Load(); limit != q.pacedLimit {
		q.pacedLimit, q.pacer = limit, udp.NewPacer(limit, 0)
	}
	if err := q.pacer.Wait(ctx, wireBytes, b.Packets); err != nil {
		return err
	}
	failed := 0
	for _, to := range b.To {
		if !t.sendTo(b, to, wireBytes) {
			failed++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	// A cable that is unplugged for a moment must not end the session: clients ask again
	// for lost packets.
	if failed > 0 && failed == len(b.To) && !b.Unicast {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.retryPause):
		}
	}
	return nil
}

// sendTo sends a batch to one destination, and reports whether that succeeded.
func (t *Transmitter) sendTo(b *Batch, to Sender, wireBytes int) bool {
	if err := to.Send(b.Buf[:b.Bytes], b.PacketSize); err != nil {
		if !t.refused && !errors.Is(err, net.ErrClosed) {
			t.refused = true
			t.cfg.Log.Warn("the interface does not take packets; trying on", "err", err)
		}
		return false
	}
	t.refused = false
	t.mu.Lock()
	t.figures.Packets += uint64(b.Packets)
	t.figures.ImageBytes += uint64(b.ImageBytes)
	t.figures.WireBytes += uint64(wireBytes)
	t.figures.Method = to.Method().String()
	t.mu.Unlock()
	if reason := to.Fallback(); reason != nil && !t.fellBack {
		t.fellBack = true
		t.cfg.Log.Warn("sending costs more CPU than necessary", "err", reason)
	}
	return true
}
