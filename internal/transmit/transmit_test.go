package transmit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
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
	a, b := tr.NewQueue(8, Place{}), tr.NewQueue(8, Place{})
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

// TestShares: a queue that stands behind another gets its part of what both send, also while
// the other waits for its pace; all of it when the other has nothing; and no more than a
// batch at once after a rest.
func TestShares(t *testing.T) {
	for _, limit := range []uint64{0, 5e6} {
		synctest.Test(t, func(t *testing.T) { // the time is the bubble's
			tr := newTransmitter(t, Config{})
			first, behind := tr.NewQueue(8, Place{}), tr.NewQueue(8, Place{Rank: 1, OneIn: 8})
			first.SetPace(limit, 44)
			sent := map[*Queue]int{}
			now := time.Now()
			submit := func(q *Queue) {
				if b := q.Take(); b != nil {
					b.Reset([]Sender{discard{}}, false)
					b.Bytes, b.Packets, b.PacketSize = 20*1472, 20, 1472
					q.Submit(b)
				}
			}
			send := func() (q *Queue) {
				q, b, wait := tr.next(now)
				if b == nil {
					now = now.Add(wait)
					return nil
				}
				sent[q] += b.Bytes
				q.Recycle(b)
				return q
			}
			for range 3000 {
				submit(first)
				submit(behind)
				send()
			}
			if share := float64(sent[behind]) / float64(sent[first]+sent[behind]); share < 0.12 || share > 0.13 {
				t.Errorf("limit %d: it gets %.3f of the wire, want an eighth", limit, share)
			}
			for range 3000 { // only the first has something
				submit(first)
				send()
			}
			submit(first)
			submit(behind)
			submit(behind)
			for inRow := 0; ; {
				submit(first)
				submit(behind)
				if q := send(); q == behind {
					inRow++
				} else if q == first {
					break
				}
				if inRow > 3 {
					t.Fatalf("limit %d: it sends %d batches at once after a rest", limit, inRow)
				}
			}
			for first.InFlight() > 0 {
				send()
			}
			clear(sent)
			for range 100 {
				submit(behind)
				if send() != behind {
					t.Fatalf("limit %d: it waits although nobody else has anything", limit)
				}
			}
		})
	}
}

// TestInFlight: no more batches are on their way than may be, and a batch that came back
// is used again.
func TestInFlight(t *testing.T) {
	tr := newTransmitter(t, Config{})
	q := tr.NewQueue(2, Place{})
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
	q := tr.NewQueue(8, Place{})
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
	for _, want := range []bool{false, true, false} {
		if b := <-q.Sent(); b.Taken != want || b.SentAt.IsZero() {
			t.Errorf("batch %d comes back: taken %v at %v", b.Buf[0], b.Taken, b.SentAt)
		}
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
			q := tr.NewQueue(8, Place{})
			ctx, cancel := context.WithCancel(t.Context())
			var taken atomic.Int32 // batches
			bad := &recorder{err: errors.New("network is down")}
			good := &recorder{onSend: func(n int) { taken.Store(int32(n)) }}
			submit(t, q, 1, unicast, bad)
			submit(t, q, 2, unicast, good)
			go tr.Run(ctx)
			synctest.Wait()
			if sent := taken.Load() == 1; sent != unicast {
				t.Errorf("unicast %v: the next batch was sent at once: %v", unicast, sent)
			}
			time.Sleep(retryInterval)
			synctest.Wait()
			if taken.Load() != 1 {
				t.Errorf("unicast %v: the next batch was not sent", unicast)
			}
			cancel()
		})
	}
}

// TestBurst: a batch has what goes in 150 µs at the slower of both rates, or 16 packets, or
// 2 ms of the rate.
func TestBurst(t *testing.T) {
	for _, c := range []struct {
		rate, limit uint64
		delay       time.Duration
		size, want  int
	}{
		{0, 0, 0, 1472, 44},
		{0, 0, 0, 8972, 7},
		{2e9, 0, 0, 1472, 24},
		{0, 2e9, 0, 1472, 24},
		{10e9, 0, 0, 1472, 44},
		{1e9, 0, 0, 1472, 16},
		{0, 1e9, 0, 1472, 16},
		{2e9, 60e6, 0, 1472, 9},
		{60e6, 2e9, 0, 1472, 9},
		{60e6, 0, 50 * time.Microsecond, 1472, 3},
		{1e6, 0, 0, 1472, 1},
		{0, 0, 50 * time.Microsecond, 1472, 3},
		{0, 0, time.Second, 1472, 1},
	} {
		q := newTransmitter(t, Config{RateBitsPerSec: c.rate, Delay: c.delay}).NewQueue(8, Place{})
		q.SetPace(c.limit, 44)
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
	q := tr.NewQueue(8, Place{})
	to := []Sender{discard{}}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		b := q.Take()
		b.Reset(to, false)
		b.Bytes, b.Packets, b.PacketSize = 1472, 1, 1472
		q.Submit(b)
		_, b, _ = tr.next(time.Now())
		if err := tr.transmit(ctx, b); err != nil {
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

// TestLateness: what a busy machine is late by is made up for where the rate was found by what
// arrives, up to 1 ms of it.
func TestLateness(t *testing.T) {
	tr := New(Config{Group: netip.MustParseAddr("239.0.0.1")})
	q := tr.NewQueue(MostInFlight, Place{})
	q.SetPace(4e9, 44)
	start := time.Now()
	at := func(now time.Time) time.Duration {
		b := q.Take()
		b.Reset(nil, false)
		b.Packets, b.PacketSize, b.Bytes = 44, 1472, 44*1472
		q.Submit(b)
		q.head = nil
		q.hold(now, tr.cfg.Group)
		return q.headAt.Sub(now)
	}
	at(start)
	batches := 0
	for batches < 20 && at(start.Add(time.Second)) == 0 {
		batches++
	}
	if batches != 8 { // of 135 µs each
		t.Errorf("%d batches of 135 µs at once after a second, want 8", batches)
	}
}
