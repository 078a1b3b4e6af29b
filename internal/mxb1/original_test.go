package mxb1

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
)

// originalRoom is a room with a server of 2012: it serves one request after another
// and hangs for good when a second one comes while one waits. The simulation fails
// when one of its clients sends such a request.
type originalRoom struct {
	*sim
	loss      float64
	blockTime time.Duration
	queue     []clientRequest // the first one is served
	source    netip.AddrPort  // where the blocks come from
	alive     bool
	life      int // how often it was started again
	mostAsked int // requests in the queue
	clients   []roomClient
}

type clientRequest struct {
	client int
	BlockRequest
}

// roomClient is a client of ours or of 2012.
type roomClient interface {
	arrive(src netip.AddrPort, id uint64)
	isDone() bool
}

const (
	roomDelay = 100 * time.Microsecond // one way
	roomQuiet = time.Second
)

func newOriginalRoom(t *testing.T, seed uint64, blocks uint64, loss float64) *originalRoom {
	return &originalRoom{
		sim: newSim(t, seed, blocks*BlockSize), loss: loss, blockTime: blockTime, alive: true,
		source: netip.MustParseAddrPort("10.0.0.1:40000"),
	}
}

func (o *originalRoom) lost() bool { return o.rng.Float64() < o.loss }

// ask sends a request to the server.
func (o *originalRoom) ask(q clientRequest) {
	o.requests++
	if o.lost() {
		return
	}
	o.after(roomDelay, func() {
		if !o.alive {
			return
		}
		for _, each := range o.queue {
			if each.client == q.client {
				o.Fatalf("at %v client %d asks for %v while %v is not answered", o.now, q.client, q.BlockRequest, each.BlockRequest)
			}
		}
		o.queue = append(o.queue, q)
		if o.mostAsked = max(o.mostAsked, len(o.queue)); len(o.queue) == 1 {
			o.serve(uint64(q.First))
		}
	})
}

// serve sends block i of the request that is served, and then the rest of the queue.
func (o *originalRoom) serve(i uint64) {
	life, source := o.life, o.source
	o.sent++
	for _, c := range o.clients {
		if !o.lost() {
			o.after(roomDelay, func() { c.arrive(source, i) })
		}
	}
	next := i + 1
	if i == uint64(o.queue[0].Last) {
		o.queue = o.queue[1:]
		if len(o.queue) == 0 {
			return
		}
		next = uint64(o.queue[0].First)
	}
	o.after(o.blockTime, func() {
		if o.life == life {
			o.serve(next)
		}
	})
}

// ourClient is a client of ours.
type ourClient struct {
	*Receiver
	room   *originalRoom
	number int
	woken  time.Duration
}

func (o *originalRoom) addOurs(join time.Duration) {
	c := &ourClient{room: o, number: len(o.clients)}
	o.clients = append(o.clients, c)
	seed := o.rng.Uint64()
	o.after(join, func() {
		c.Receiver = NewReceiver(epoch.Add(o.now), ReceiverConfig{
			SizeBytes: o.size, QuietTime: roomQuiet, Server: simServer, Seed: seed,
		})
		c.poll()
	})
}

func (c *ourClient) isDone() bool { return c.Receiver != nil && c.Missing() == 0 }

func (c *ourClient) arrive(src netip.AddrPort, id uint64) {
	if c.Receiver == nil || c.isDone() {
		return
	}
	c.Block(epoch.Add(c.room.now), src, uint32(id), BlockLen(c.room.size, id))
	c.wake()
}

// wake has the client polled at its deadline, if it has not been woken before.
func (c *ourClient) wake() {
	d := c.Deadline().Sub(epoch.Add(c.room.now))
	at := c.room.now + max(d, time.Microsecond)
	if c.isDone() || c.woken <= at && c.woken > c.room.now {
		return
	}
	c.woken = at
	c.room.after(at-c.room.now, c.poll)
}

func (c *ourClient) poll() {
	o := c.room
	if c.isDone() {
		return
	}
	now := epoch.Add(o.now)
	a := c.Poll(now, nil)
	if a.Describe && o.alive && !o.lost() && !o.lost() {
		o.after(2*roomDelay, func() { c.Confirmed(epoch.Add(o.now)) })
	}
	if len(a.Requests) > 1 {
		o.Fatalf("%d requests at once", len(a.Requests))
	}
	for _, q := range a.Requests {
		o.ask(clientRequest{c.number, q})
	}
	c.wake()
}

// modelClient is a client of 2012: it asks after each quiet time, from its first
// missing block to the end and one past it.
type modelClient struct {
	room    *originalRoom
	number  int
	missing *block.Set
	heard   time.Duration
}

func (o *originalRoom) addModel(join time.Duration) {
	c := &modelClient{room: o, number: len(o.clients), missing: block.NewFullSet(BlockCount(o.size)), heard: join}
	o.clients = append(o.clients, c)
	o.after(join+roomQuiet, c.poll)
}

func (c *modelClient) isDone() bool { return c.missing.Count() == 0 }

func (c *modelClient) arrive(_ netip.AddrPort, id uint64) {
	c.heard = c.room.now
	if id < c.missing.N() {
		c.missing.Remove(block.Range{Lo: id, Hi: id + 1})
	}
}

func (c *modelClient) poll() {
	if c.isDone() {
		return
	}
	o := c.room
	if o.now-c.heard >= roomQuiet {
		c.heard = o.now
		first, _ := c.missing.Next(0)
		o.ask(clientRequest{c.number, BlockRequest{uint32(first.Lo), uint32(c.missing.N())}})
	}
	o.after(c.heard+roomQuiet-o.now, c.poll)
}

// run goes on until all clients are done. It returns the time and blocks sent ÷
// blocks.
func (o *originalRoom) run() (time.Duration, float64) {
	o.Helper()
	done := func() bool {
		for _, c := range o.clients {
			if !c.isDone() {
				return false
			}
		}
		return true
	}
	for !done() {
		if len(o.events) == 0 || o.now > 10*time.Minute {
			o.Fatalf("not done after %v", o.now)
		}
		o.step()
	}
	return o.now, o.ratio()
}

// restart ends the server, and starts it again after some time.
func (o *originalRoom) restart(at, after time.Duration) {
	o.after(at, func() {
		o.life++
		o.alive, o.queue = false, nil
	})
	o.after(at+after, func() {
		o.alive = true
		o.source = netip.AddrPortFrom(o.source.Addr(), o.source.Port()+1)
	})
}

// TestOriginalRooms has rooms of clients at a server of 2012, and compares what it
// sends to ours with what it sends to as many of 2012.
func TestOriginalRooms(t *testing.T) {
	const (
		blocks = 10_000
		seeds  = 3
	)
	for _, test := range []struct {
		blockTime time.Duration
		loss      float64
		ours      int
		model     int
		restart   bool
		sent      float64 // blocks sent ÷ those sent to clients of 2012, at most
		waiting   int     // requests in the server's list, at most
	}{
		{blockTime, .01, 1, 0, false, 1.3, 1},
		{blockTime, .01, 2, 0, false, 1.3, 2},
		{blockTime, .01, 8, 0, false, 1.3, 2},
		{blockTime, .05, 1, 0, false, 1.3, 1},
		{blockTime, .05, 2, 0, false, 1.3, 2},
		{blockTime, .05, 8, 0, false, 1.3, 2},
		{10 * blockTime, .01, 1, 0, false, 1.3, 1},
		{10 * blockTime, .01, 4, 0, false, 1.3, 2},
		{10 * blockTime, .05, 2, 0, false, 1.3, 2},
		{blockTime, .01, 1, 1, false, 1.3, 2},
		{blockTime, .05, 1, 1, false, 1.3, 2},
		{10 * blockTime, .05, 1, 1, false, 1.3, 2},
		{10 * blockTime, .05, 1, 0, true, 1.3, 1},
		{10 * blockTime, .05, 4, 0, true, 1.3, 2},
	} {
		name := fmt.Sprintf("%v a block, %v lost, %d of ours, %d of 2012, restart %v", test.blockTime, test.loss, test.ours, test.model, test.restart)
		t.Run(name, func(t *testing.T) {
			room := func(ours, model int) (took time.Duration, sent float64, waiting int) {
				for seed := range uint64(seeds) {
					o := newOriginalRoom(t, seed, blocks, test.loss)
					o.blockTime = test.blockTime
					for range ours {
						o.addOurs(time.Duration(o.rng.IntN(3_000_000)))
					}
					for range model {
						o.addModel(time.Duration(o.rng.IntN(3_000_000)))
					}
					if test.restart && ours > 0 {
						o.restart(roomQuiet+roomQuiet/2, roomQuiet/2)
					}
					end, ratio := o.run()
					took, sent, waiting = took+end/seeds, sent+ratio/seeds, max(waiting, o.mostAsked)
				}
				return took, sent, waiting
			}
			took, sent, waiting := room(test.ours, test.model)
			tookModel, sentModel, waitingModel := room(0, test.ours+test.model)
			t.Logf("%.2f s, sent ÷ image %.2f, at most %d requests in the list; all of 2012: %.2f s, %.2f, %d",
				took.Seconds(), sent, waiting, tookModel.Seconds(), sentModel, waitingModel)
			if sent > test.sent*sentModel {
				t.Errorf("sent ÷ image %.2f, want at most %.1f × %.2f", sent, test.sent, sentModel)
			}
			if waiting > test.waiting {
				t.Errorf("%d requests in the server's list at once, want %d at most", waiting, test.waiting)
			}
		})
	}
}

// TestOriginalServerAnswersFirst: while a request is not answered there is no second
// one before the quiet time.
func TestOriginalServerAnswersFirst(t *testing.T) {
	const (
		quiet  = time.Second
		blocks = 100
	)
	var (
		first  = netip.MustParseAddrPort("10.0.0.1:40000")
		second = netip.MustParseAddrPort("10.0.0.1:40001")
	)
	for _, test := range []struct {
		name  string
		come  []uint32       // 10 ms apart, after the client asked for 10..89
		from  netip.AddrPort // the last of them
		pause time.Duration  // before the next request, at least
	}{
		{"the request or all of it is lost", nil, first, quiet},
		{"the last block is lost", []uint32{10, 50, 88}, first, quiet},
		{"the last block came", []uint32{10, 50, 89}, first, quiet / pauseShare},
		{"the last block alone came", []uint32{89}, first, quiet / pauseShare},
		{"the walk of another's request passes the last block", []uint32{10, 50, 89, 90}, first, quiet},
		{"another's request comes behind it", []uint32{10, 50, 89, 2}, first, quiet},
		{"another's request came before it", []uint32{88, 89, 10, 50}, first, quiet},
		{"both end there", []uint32{89, 10, 50, 89}, first, quiet / pauseShare},
		{"started again, it sends to others", []uint32{10, 89, 50}, second, quiet},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReceiver(blocks, false)
			r.source = first
			r.missing.Remove(block.Range{Lo: 0, Hi: 10})
			r.missing.Remove(block.Range{Lo: 90, Hi: blocks})
			now, _ := r.askDeadline()
			if a := r.Poll(now, nil); !slices.Equal(a.Requests, []BlockRequest{{10, 89}}) {
				t.Fatalf("asked for %v", a.Requests)
			}
			for i, id := range test.come {
				now = now.Add(10 * time.Millisecond)
				if a := r.Poll(now, nil); len(a.Requests) > 0 {
					t.Fatalf("asked for %v before block %d", a.Requests, id)
				}
				src := first
				if i == len(test.come)-1 {
					src = test.from
				}
				r.Block(now, src, id, BlockSize)
			}
			var a Actions
			for at := now; at.Before(now.Add(test.pause)); at = at.Add(time.Millisecond) {
				if a = r.Poll(at, nil); len(a.Requests) > 0 {
					t.Fatalf("asked for %v after %v, want %v at least", a.Requests, at.Sub(now), test.pause)
				}
			}
			late := 2 * test.pause
			if test.pause == quiet {
				late = quiet + time.Duration(spreadShare*float64(quiet))
			}
			if a = r.Poll(now.Add(late), nil); len(a.Requests) != 1 {
				t.Errorf("after %v it sends %d requests, want one", late, len(a.Requests))
			}
		})
	}
}

// TestOriginalServerIsAskedForGaps: one request covers gaps that are close, and does
// not reach to those that are far.
func TestOriginalServerIsAskedForGaps(t *testing.T) {
	const (
		blocks  = 5000
		perTime = time.Millisecond // a block
		bridge  = uint64(bridgeTime / perTime)
	)
	r := newReceiver(blocks, false)
	src := netip.MustParseAddrPort("10.0.0.1:40000")
	gaps := []uint64{100, 100 + bridge + 1, 1000, 1000 + bridge + 2, blocks - 1}
	now := epoch
	for id := range uint64(blocks) {
		now = now.Add(perTime)
		if !slices.Contains(gaps, id) {
			r.Block(now, src, uint32(id), BlockSize)
		}
	}
	for _, want := range []BlockRequest{
		{100, uint32(100 + bridge + 1)}, // bridge blocks between them
		{1000, 1000},
		{uint32(1000 + bridge + 2), uint32(1000 + bridge + 2)},
		{blocks - 1, blocks - 1},
	} {
		now, _ = r.askDeadline()
		a := r.Poll(now, nil)
		if !slices.Equal(a.Requests, []BlockRequest{want}) {
			t.Fatalf("asked for %v, want %v alone", a.Requests, want)
		}
		for id := want.First; id <= want.Last; id++ {
			now = now.Add(perTime)
			r.Block(now, src, id, BlockSize)
		}
	}
	if r.Missing() != 0 {
		t.Errorf("%d are missing", r.Missing())
	}
}

// TestSpread: two clients that heard the same ask at different times, neither before
// the quiet time.
func TestSpread(t *testing.T) {
	var waits []time.Duration
	for seed := range uint64(8) {
		r := NewReceiver(epoch, ReceiverConfig{SizeBytes: BlockSize, QuietTime: time.Second, Server: simServer, Seed: seed})
		asks, _ := r.askDeadline()
		waits = append(waits, asks.Sub(epoch))
	}
	slices.Sort(waits)
	if waits[0] < time.Second || waits[7] > time.Second*5/4 || len(slices.Compact(waits)) != 8 {
		t.Errorf("they ask after %v, want 8 times from 1 s to 1.25 s", waits)
	}
}

// TestSendsOnlyWhatWasRequested: a block goes once for each time that it was asked for
// and had not been sent yet, and without requests nothing goes.
func TestSendsOnlyWhatWasRequested(t *testing.T) {
	const blocks = 200
	rng := rand.New(rand.NewPCG(1, 0))
	s := NewSender(blocks * BlockSize)
	wanted := map[uint64]bool{}
	if run := s.Next(blocks); run.Len() != 0 {
		t.Fatalf("sends %v, and nobody asked", run)
	}
	for range 2000 {
		if rng.IntN(4) == 0 {
			first := rng.Uint64N(blocks)
			last := first + rng.Uint64N(20)
			s.Request(BlockRequest{uint32(first), uint32(last)})
			for i := first; i <= min(last, blocks-1); i++ {
				wanted[i] = true
			}
		}
		run := s.Next(1 + rng.Uint64N(10))
		for i := run.Lo; i < run.Hi; i++ {
			if !wanted[i] {
				t.Fatalf("sends block %d, which nobody asked for since it was sent", i)
			}
			delete(wanted, i)
		}
		if run.Len() == 0 && len(wanted) > 0 {
			t.Fatalf("%d blocks that were asked for are not sent", len(wanted))
		}
	}
}
