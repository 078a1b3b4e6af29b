package transmit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multiserver/internal/udp"
)

// recorder is a way out that keeps the first byte of each batch.
type recorder struct {
	sent   []byte
	err    error
	onSend func(n int)
}

func (r *recorder) Send(buf []byte, _ int) error {
	r.sent = append(r.sent, buf[0])
	if r.onSend != nil {
		r.onSend(len(r.sent))
	}
	return r.err
}
func (*recorder) Method() udp.Method { return udp.MethodGSO }
func (*recorder) Fallback() error    { return nil }

var group = netip.MustParseAddr("239.1.2.3")

func newTransmitter(t *testing.T, cfg Config) *Transmitter {
	cfg.Group = group
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return New(cfg)
}

func submit(t *testing.T, q *Queue, mark byte, unicast bool, to ...Sender) {
	t.Helper()
	b := q.Take()
	if b == nil {
		t.Fatal("no batch is free")
	}
	b.Reset(to, unicast)
	b.Buf[0], b.Bytes, b.Packets, b.PacketSize, b.ImageBytes = mark, 150, 2, 100, 120
	q.Submit(b)
}

// TestTurns: queues that have something to send take turns, and every batch comes back.
func TestTurns(t *testing.T) { synctest.Test(t, testTurns) } // which ends a Run that waits for ever

func testTurns(t *testing.T) {
	tr := newTransmitter(t, Config{})
	a, b := tr.NewQueue(8), tr.NewQueue(8)
	ctx, cancel := context.WithCancel(t.Context())
	out := &recorder{onSend: func(n int) {
		if n == 6 {
			cancel()
		}
	}}
	for range 4 {
		submit(t, a, 'a', false, out)
	}
	for range 2 {
		submit(t, b, 'b', false, out)
	}
	if err := tr.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if got := string(out.sent); got != "babaaa" {
		t.Errorf("sent in the order %s, want babaaa", got)
	}
	if len(a.Sent())+len(b.Sent()) < 5 { // the one that ctx ended at is lost
		t.Errorf("%d and %d batches came back", len(a.Sent()), len(b.Sent()))
	}
	want := Figures{Packets: 12, ImageBytes: 720, WireBytes: 6 * uint64(udp.PacketWireBytes(group, 100)+udp.PacketWireBytes(group, 50)), Method: "gso"}
	if got := tr.Figures(); got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
}

// TestInFlight: no more batches are on their way than may be, and a batch that came back
// is used again.
func TestInFlight(t *testing.T) {
	tr := newTransmitter(t, Config{})
	q := tr.NewQueue(2)
	first, second := q.Take(), q.Take()
	if first == nil || second == nil || q.Take() != nil {
		t.Fatal("a queue of two has not two batches")
	}
	q.Recycle(first)
	if got := q.Take(); got != first {
		t.Error("a batch that came back is not used again")
	}
	for _, c := range []struct {
		bitsPerSec float64
		want       int
	}{{1e6, leastInFlight}, {1e9, 11}, {100e9, MostInFlight}} {
		if q.SetRate(c.bitsPerSec, 1472); q.maxInFlight != c.want {
			t.Errorf("at %.0f bits a second %d batches, want %d", c.bitsPerSec, q.maxInFlight, c.want)
		}
	}
}

// TestRefused: an interface that takes nothing is said once, and does not end Run; a
// unicast receiver that cannot be reached holds nobody up.
func TestRefused(t *testing.T) {
	var log bytes.Buffer
	tr := newTransmitter(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	tr.retryPause = 1 // as good as none
	q := tr.NewQueue(8)
	ctx, cancel := context.WithCancel(t.Context())
	good := &recorder{onSend: func(n int) {
		if n == 2 {
			cancel()
		}
	}}
	bad := &recorder{err: errors.New("network is down")}
	submit(t, q, 1, false, bad)
	submit(t, q, 2, false, bad, good) // one of two networks
	submit(t, q, 3, true, bad)
	submit(t, q, 4, true, bad, good)
	if err := tr.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if !bytes.Equal(bad.sent, []byte{1, 2, 3, 4}) || !bytes.Equal(good.sent, []byte{2, 4}) {
		t.Errorf("tried %v, sent %v", bad.sent, good.sent)
	}
	if got := strings.Count(log.String(), "does not take packets"); got != 2 {
		t.Errorf("it is said %d times, want 2: at first, and after one that went\n%s", got, log.String())
	}
}

// TestPause: while the only network takes nothing, Run waits before it goes on; a unicast
// receiver that cannot be reached makes nobody wait.
func TestPause(t *testing.T) {
	for _, unicast := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { // the time is the bubble's
			tr := newTransmitter(t, Config{})
			q := tr.NewQueue(8)
			ctx, cancel := context.WithCancel(t.Context())
			bad, good := &recorder{err: errors.New("network is down")}, &recorder{}
			submit(t, q, 1, unicast, bad)
			submit(t, q, 2, unicast, good)
			go tr.Run(ctx)
			synctest.Wait()
			if sent := len(good.sent) == 1; sent != unicast {
				t.Errorf("unicast %v: the next batch was sent at once: %v", unicast, sent)
			}
			time.Sleep(retryInterval)
			synctest.Wait()
			if len(good.sent) != 1 {
				t.Errorf("unicast %v: the next batch was not sent", unicast)
			}
			cancel()
		})
	}
}

// TestBurst: a batch has what goes in 150 µs at the slower of both rates.
func TestBurst(t *testing.T) {
	for _, c := range []struct {
		rate, limit uint64
		delay       time.Duration
		size, want  int
	}{
		{0, 0, 0, 1472, 44},
		{0, 0, 0, 8972, 7},
		{1e9, 0, 0, 1472, 12},
		{0, 1e9, 0, 1472, 12},
		{1e9, 500e6, 0, 1472, 6},
		{500e6, 1e9, 0, 1472, 6},
		{1e6, 0, 0, 1472, 1},
		{0, 0, 50 * time.Microsecond, 1472, 3},
		{0, 0, time.Second, 1472, 1},
	} {
		q := newTransmitter(t, Config{RateBitsPerSec: c.rate, Delay: c.delay}).NewQueue(8)
		q.SetLimit(c.limit)
		if got := q.BurstPackets(c.size); got != c.want {
			t.Errorf("%+v: %d packets", c, got)
		}
		if paced := c.rate != 0 || c.delay != 0; q.Paced() != paced {
			t.Errorf("%+v: paced is %v", c, q.Paced())
		}
	}
}

// TestAllocations: nothing is allocated for a batch on its way.
func TestAllocations(t *testing.T) {
	tr := newTransmitter(t, Config{})
	q := tr.NewQueue(8)
	to := []Sender{discard{}}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		b := q.Take()
		b.Reset(to, false)
		b.Bytes, b.Packets, b.PacketSize = 1472, 1, 1472
		q.Submit(b)
		from, b := tr.next()
		if err := tr.transmit(ctx, from, b); err != nil {
			t.Fatal(err)
		}
		q.Recycle(b)
	}); n != 0 {
		t.Errorf("%.0f allocations for a batch", n)
	}
}

type discard struct{}

func (discard) Send([]byte, int) error { return nil }
func (discard) Method() udp.Method     { return udp.MethodGSO }
func (discard) Fallback() error        { return nil }
