package mxb1

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
)

func TestSenderCoalesces(t *testing.T) {
	s := NewSender(100 * BlockSize)
	for _, q := range []BlockRequest{{0, 9}, {5, 14}, {0, 9}, {90, 100}, {95, 1 << 31}} {
		if _, err := s.Request(q); err != nil {
			t.Fatalf("request %v: %v", q, err)
		}
	}
	if s.Pending() != 25 {
		t.Errorf("owes %d blocks, want 25", s.Pending())
	}
	if _, err := s.Request(BlockRequest{100, 100}); !errors.Is(err, ErrRange) {
		t.Errorf("a request behind the end: %v", err)
	}
	var walk []block.Range
	take := func(max uint64) { walk = append(walk, s.Next(max)) }
	take(8)
	take(100)
	s.Request(BlockRequest{3, 3}) // sent already: goes again, after the round
	take(100)
	take(100)
	take(100)
	want := []block.Range{{Lo: 0, Hi: 8}, {Lo: 8, Hi: 15}, {Lo: 90, Hi: 100}, {Lo: 3, Hi: 4}, {}}
	if !slices.Equal(walk, want) {
		t.Errorf("walked %v, want %v", walk, want)
	}
}

// TestLargestImage: the last block of 4 TiB has the greatest 32-bit id, and the request
// of an original client for one more does not fit at all.
func TestLargestImage(t *testing.T) {
	const blocks, last = 1 << 32, 1<<32 - 1
	s := NewSender(MaxImageSize)
	if n, err := s.Request(BlockRequest{last - 1, last}); n != 2 || err != nil {
		t.Fatalf("asked for %d blocks, %v; want the last two", n, err)
	}
	if got, want := s.Next(10), (block.Range{Lo: last - 1, Hi: blocks}); got != want {
		t.Errorf("walked %v, want %v", got, want)
	}
	r := newReceiver(blocks, true)
	if a := r.Poll(at(0), nil); !slices.Equal(a.Requests, []BlockRequest{{0, last}}) {
		t.Errorf("asked for %v, want all", a.Requests)
	}
	if v := r.Block(at(0), simServer, last, BlockSize); v != Keep || r.Missing() != last {
		t.Errorf("the last block: verdict %d, %d are missing", v, r.Missing())
	}
	r = newReceiver(blocks, false)
	r.missing.Remove(block.Range{Lo: 0, Hi: last})
	if a := r.Poll(at(time.Second*5/4), nil); !slices.Equal(a.Requests, []BlockRequest{{last, last}}) {
		t.Errorf("asked for %v, want the last block", a.Requests)
	}
}

var stranger = netip.MustParseAddrPort("10.0.0.66:7500")

func at(d time.Duration) time.Time { return epoch.Add(d) }

func newReceiver(blocks uint64, ours bool) *Receiver {
	return NewReceiver(epoch, ReceiverConfig{
		SizeBytes: blocks * BlockSize, QuietTime: time.Second, HasTrailer: ours, Server: simServer,
	})
}

// TestTrailerFromItsSocketOnly: with one of our servers, blocks come from the socket
// that described the image, and from nobody else.
func TestTrailerFromItsSocketOnly(t *testing.T) {
	r := newReceiver(10, true)
	for _, test := range []struct {
		src    netip.AddrPort
		id     uint32
		length int
		want   Verdict
	}{
		{stranger, 0, BlockSize, Stranger},
		{netip.AddrPortFrom(simServer.Addr(), 7501), 0, BlockSize, Stranger},
		{simServer, 0, BlockSize - 1, Invalid},
		{simServer, 10, BlockSize, Invalid},
		{simServer, 0, BlockSize, Keep},
		{simServer, 0, BlockSize, Duplicate},
		{simServer, 9, BlockSize, Keep},
	} {
		if got := r.Block(at(0), test.src, test.id, test.length); got != test.want {
			t.Errorf("block %d of %d bytes from %v: verdict %d, want %d", test.id, test.length, test.src, got, test.want)
		}
	}
	if r.Missing() != 8 {
		t.Errorf("%d are missing, want 8", r.Missing())
	}
}

// TestConfirmAfterSilence: a server may have been started again with another image.
func TestConfirmAfterSilence(t *testing.T) {
	r := newReceiver(10, true)
	r.Poll(at(0), nil)
	r.Block(at(0), simServer, 0, BlockSize)
	late := confirmAfter + time.Millisecond
	if v := r.Block(at(late), simServer, 1, BlockSize); v != Unconfirmed {
		t.Fatalf("after a silence: verdict %d", v)
	}
	if a := r.Poll(at(late), nil); !a.Describe {
		t.Error("the description is not asked for after a silence")
	}
	r.Confirmed(at(late))
	if v := r.Block(at(late), simServer, 1, BlockSize); v != Keep {
		t.Errorf("after the description came: verdict %d", v)
	}
}

func TestOriginalServerIsAskedAfterQuietTime(t *testing.T) {
	r := newReceiver(10, false)
	if a := r.Poll(at(time.Second-1), nil); len(a.Requests) != 0 {
		t.Error("asked an original server before the quiet time")
	}
	if a := r.Poll(at(time.Second*5/4), nil); !slices.Equal(a.Requests, []BlockRequest{{0, 9}}) {
		t.Errorf("asked for %v", a.Requests)
	}
}

// TestOriginalServersSource: whose blocks are an original server's.
func TestOriginalServersSource(t *testing.T) {
	var (
		first     = netip.MustParseAddrPort("10.0.0.1:40000")
		second    = netip.MustParseAddrPort("10.0.0.1:40001")
		elsewhere = netip.MustParseAddrPort("10.0.0.2:40000")
		described = netip.AddrPort{} // no block, but the description that confirms
	)
	const (
		s     = time.Second
		asked = s * 5 / 4 // it has been by then
	)
	type step struct {
		at   time.Duration // the client asks whenever it may
		src  netip.AddrPort
		want Verdict
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"two at one address", []step{{0, first, Keep}, {0, second, Unconfirmed}, {0, first, Conflict}}},
		{"two at one address, later", []step{{0, first, Keep}, {3 * s, second, Unconfirmed}, {4 * s, first, Conflict}}},
		{"started again", []step{{0, first, Keep}, {s / 2, second, Unconfirmed}, {s, described, 0}, {3 * s / 2, second, Keep}, {2 * s, second, Keep}}},
		{"described before it was silent", []step{{0, first, Keep}, {s, described, 0}, {2 * s, first, Keep}, {4 * s, second, Unconfirmed}}},
		{"another server's stream", []step{{0, elsewhere, Stranger}, {0, first, Keep}, {0, elsewhere, Stranger}}},
		{"another server's stream, asked", []step{{s / 2, elsewhere, Stranger}, {asked, elsewhere, Stranger}, {asked, first, Keep}, {asked, elsewhere, Stranger}}},
		{"from another address", []step{{asked, elsewhere, Keep}, {asked, elsewhere, Keep}, {asked, first, Conflict}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReceiver(10, false)
			for i, step := range test.steps {
				r.Poll(at(step.at), nil)
				if step.src == described {
					r.Confirmed(at(step.at))
				} else if got := r.Block(at(step.at), step.src, uint32(i), BlockSize); got != step.want {
					t.Errorf("step %d: verdict %d, want %d", i, got, step.want)
				}
			}
		})
	}
}

// TestRivalIsNotAskedMeanwhile: an original server that was started again and sends
// what others asked for would send what we ask for once more.
func TestRivalIsNotAskedMeanwhile(t *testing.T) {
	first, second := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.1:40001")
	r := newReceiver(10, false)
	r.Block(at(0), first, 0, BlockSize)
	described := false
	for now := time.Duration(0); now < 5*time.Second; now += time.Second / 4 {
		r.Block(at(now), second, 1, BlockSize)
		a := r.Poll(at(now), nil)
		described = described || a.Describe
		if len(a.Requests) > 0 {
			t.Fatalf("after %v it asks for %v", now, a.Requests)
		}
	}
	if !described {
		t.Error("it does not ask for the description")
	}
}

// TestAsksForItsGapsOnly holds the requests after a lossy pass against the gaps.
func TestAsksForItsGapsOnly(t *testing.T) {
	const blocks = 2000
	r := newReceiver(blocks, true)
	r.Poll(at(0), nil)
	for id := range uint32(blocks) {
		if id%10 != 3 {
			r.Block(at(0), simServer, id, BlockSize)
		}
	}
	asked := map[uint32]int{}
	for now := askInterval; len(asked) < blocks/10; now += time.Second {
		if now > time.Minute {
			t.Fatalf("asked for %d gaps only", len(asked))
		}
		a := r.Poll(at(now), nil)
		if len(a.Requests) > MaxBurst {
			t.Fatalf("%d requests in a burst", len(a.Requests))
		}
		for _, q := range a.Requests {
			if q.First != q.Last || q.First%10 != 3 {
				t.Fatalf("asked for %v, which is no gap", q)
			}
			asked[q.First]++
			r.Confirmed(at(now))
			r.Block(at(now), simServer, q.First, BlockSize)
		}
	}
	if r.Missing() != 0 {
		t.Errorf("%d are missing", r.Missing())
	}
}

// TestWindow: what the window does not hold is neither asked for nor taken.
func TestWindow(t *testing.T) {
	r := newReceiver(100, true)
	r.SetWindow(block.Range{Lo: 0, Hi: 10})
	if a := r.Poll(at(0), nil); !slices.Equal(a.Requests, []BlockRequest{{0, 9}}) {
		t.Errorf("asked for %v", a.Requests)
	}
	if v := r.Block(at(0), simServer, 10, BlockSize); v != Outside {
		t.Errorf("a block behind the window: verdict %d", v)
	}
	for id := range uint32(10) {
		r.Block(at(0), simServer, id, BlockSize)
	}
	if a := r.Poll(at(5*time.Second), nil); len(a.Requests) != 0 {
		t.Errorf("asked for %v while the window is full", a.Requests)
	}
	if !r.Deadline().After(at(5 * time.Second)) {
		t.Error("the deadline stays in the past while the window is full")
	}
	r.SetWindow(block.Range{Lo: 5, Hi: 15})
	if a := r.Poll(at(6*time.Second), nil); !slices.Equal(a.Requests, []BlockRequest{{10, 14}}) {
		t.Errorf("asked for %v after the window moved", a.Requests)
	}
}

// TestMarkMissing: a block that there was no room for is missing again and asked for.
func TestMarkMissing(t *testing.T) {
	r := newReceiver(3, true)
	r.Poll(at(0), nil)
	for id := range uint32(3) {
		r.Block(at(0), simServer, id, BlockSize)
	}
	r.MarkMissing(1)
	if r.Missing() != 1 {
		t.Fatalf("%d are missing", r.Missing())
	}
	if a := r.Poll(at(time.Second), nil); !slices.Equal(a.Requests, []BlockRequest{{1, 1}}) {
		t.Errorf("asked for %v", a.Requests)
	}
}

func TestReceiverAllocatesNothing(t *testing.T) {
	r := newReceiver(1<<20, true)
	requests := r.Poll(at(0), nil).Requests
	id := uint32(0)
	if n := testing.AllocsPerRun(10000, func() {
		if id%100 != 7 {
			r.Block(at(0), simServer, id, BlockSize)
		}
		id++
		requests = r.Poll(at(0), requests).Requests
	}); n > 0.01 { // a page of the set now and then
		t.Errorf("%v allocations a block", n)
	}
}

func BenchmarkReceiverBlock(b *testing.B) {
	r := newReceiver(1<<28, true)
	r.Poll(at(0), nil)
	b.SetBytes(BlockSize)
	for i := range b.N {
		r.Block(at(0), simServer, uint32(i), BlockSize)
	}
}
