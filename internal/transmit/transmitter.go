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
	timer      *time.Timer
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

// NewQueue returns a queue of which at most maxInFlight batches may be on their way, until
// its owner calls SetRate; MostInFlight is the most. It may be called while Run runs.
func (t *Transmitter) NewQueue(maxInFlight int, place Place) *Queue {
	q := &Queue{
		transmitter: t,
		place:       place,
		ready:       make(chan *Batch, MostInFlight),
		sent:        make(chan *Batch, MostInFlight),
		maxInFlight: min(maxInFlight, mostInFlight()),
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
		q, b, wait := t.next(time.Now())
		if b == nil {
			if err := t.pause(ctx, wait); err != nil {
				return err
			}
			continue
		}
		if err := t.transmit(ctx, b); err != nil {
			return err
		}
		q.sent <- b
	}
}

// timerMargin is kept for udp.Sleep after a timer, which is late by up to 1.1 ms.
const timerMargin = 2 * time.Millisecond

// leastSleep is how long Run sleeps at least when a pace holds the next batch back. To wake
// up costs as much CPU as to send ten packets; lateTime makes up for it.
const leastSleep = 400 * time.Microsecond

// pause waits until something is submitted, or for a time if that is not negative.
func (t *Transmitter) pause(ctx context.Context, wait time.Duration) error {
	if wait >= 0 && wait <= timerMargin {
		udp.Sleep(max(wait, leastSleep))
		return ctx.Err()
	}
	var expired <-chan time.Time
	if wait > 0 {
		if t.timer == nil {
			t.timer = time.NewTimer(wait - timerMargin)
		} else {
			t.timer.Reset(wait - timerMargin)
		}
		expired = t.timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.wake:
	case <-expired:
	}
	return nil
}

func (t *Transmitter) signal() {
	select {
	case t.wake <- struct{}{}:
	default: // Run has not looked yet
	}
}

// next takes the batch whose turn it is; nil if there is none, and then tells how long the
// next one's pace keeps it back, or -1.
func (t *Transmitter) next(now time.Time) (chosen *Queue, b *Batch, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lowest := -1
	for _, q := range t.queues {
		if q.hold(now, t.cfg.Group) && (lowest < 0 || q.place.Rank < lowest) {
			lowest = q.place.Rank
		}
	}
	wait = -1
	at := 0
	for n := range t.queues {
		n = (t.turn + 1 + n) % len(t.queues)
		q := t.queues[n]
		behind := q.place.Rank > lowest
		if q.head == nil || behind && q.credit < 0 {
			continue
		}
		if left := q.headAt.Sub(now); left > 0 {
			if wait < 0 || left < wait {
				wait = left
			}
			continue
		}
		// What is behind others has a credit, and its turn.
		if chosen == nil || q.place.Rank > chosen.place.Rank {
			chosen, at = q, n
		}
	}
	if chosen == nil {
		return nil, nil, wait
	}
	t.turn = at
	b, chosen.head = chosen.head, nil
	t.book(chosen, lowest, b.copies()*b.WireBytes(t.cfg.Group))
	return chosen, b, 0
}

// book counts what a queue sends: queues behind it earn their part of it, and a queue that
// is itself behind another pays.
func (t *Transmitter) book(from *Queue, lowest, wireBytes int) {
	if from.place.Rank > lowest {
		from.credit -= wireBytes
	}
	for _, q := range t.queues {
		if q.place.Rank > from.place.Rank {
			q.credit = min(q.credit+wireBytes/(q.place.OneIn-1), maxCredit)
		}
	}
}

// maxCredit bounds, in bytes, what a queue may send at once after a rest.
const maxCredit = BatchBytes

// lateTime is how late a busy machine wakes up. A queue's rate is found by what arrives, so
// what is made up for cannot go on for long where it is too much.
const lateTime = time.Millisecond

// hold takes the queue's next batch from its owner, and tells whether there is one.
func (q *Queue) hold(now time.Time, group netip.Addr) bool {
	if q.head != nil {
		return true
	}
	select {
	case q.head = <-q.ready:
	default:
		return false
	}
	if limit := q.limit.Load(); limit != q.pacedLimit {
		q.pacedLimit, q.pacer = limit, udp.NewPacer(limit, 0)
		q.pacer.CatchUp(lateTime)
	}
	q.headAt = now.Add(q.pacer.Advance(now, q.head.WireBytes(group), q.head.Packets))
	return true
}

// transmit sends one batch at the server's own pace. The error is ctx's.
func (t *Transmitter) transmit(ctx context.Context, b *Batch) error {
	wireBytes, copies := b.WireBytes(t.cfg.Group), b.copies()
	if err := t.pacer.Wait(ctx, copies*wireBytes, copies*b.Packets); err != nil {
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
	b.SentAt, b.Taken = time.Now(), failed < len(b.To)
	// A cable that is out for a moment must not end the session: clients ask again for what
	// was not sent.
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
