package sender

import (
	"math"
	"slices"
	"time"

	"multiserver/internal/wire"
)

// Blocks of which little remains when they are compressed come faster than a target writes: 20 : 1
// is 2 GB/s at 1 Gbit/s. So a block enters the regular carousel only if three quarters of the
// receivers have a slot for it. Repair goes on meanwhile (S19).
const (
	// enteredKept is of how many blocks is kept when they entered: more than windows have slots.
	enteredKept = 1 << 10
	// roomEvery is how often the room is reckoned without a report.
	roomEvery = 2 * time.Millisecond
	// roomAge is for how many report intervals a report tells of room.
	roomAge = 3
	// roomStall is how long a receiver that has no room may hold blocks back without a block more on its
	// target: longer than most disks stall. Whoever claims to have no room holds nothing for longer.
	roomStall = 3 * time.Second
	// reserve: one slot in so many is left free. A receiver half of whose window waits for its disk
	// is a straggler (S16).
	reserve = 2
	// firstRoom is what a receiver is taken to have before it has reported.
	firstRoom = 32
	// drainShare: what has become free since is counted by so much of what it was before. Too much
	// makes stragglers, too little waits for a report.
	drainShare = 0.8
	// drainGain is how far one report moves what is known of how fast slots become free.
	drainGain = 0.3
)

// room is what a receiver has of it, by its last report.
type room struct {
	free     int           // slots
	used     int           // slots
	at       time.Duration // when the report came
	entered  uint64        // blocks that the receiver had heard the beginning of
	drain    float64       // slots a second that become free while any is used
	reported bool          // drain is known
	done     uint32        // blocks on the target
	doneAt   time.Duration // when they last became more, or the receiver came
}

// flow lets blocks enter by the room that receivers have.
type flow struct {
	on      bool
	starts  [enteredKept]wire.Sequence // of the last blocks that entered, the first symbol's
	entered uint64                     // blocks so far
	credit  int                        // blocks that may enter
	at      time.Duration              // when credit was reckoned
	held    bool                       // a block is not let in now
	wakeAt  time.Duration              // when it may be, without a report; never if none is held
	list    []int                      // scratch
}

// SetCoded says that blocks of the image have other encodings than raw: each has a twin, in symbols of
// symbolSize, and they enter by the room that receivers have.
func (e *Engine) SetCoded(symbolSize uint16) {
	e.twins.symbolSize = symbolSize
	e.flow.on = true
	e.flow.credit = math.MaxInt
}

// enteredUpTo is how many blocks had begun with packet seen.
func (f *flow) enteredUpTo(seen wire.Sequence) uint64 {
	n := f.entered
	for oldest := n - min(n, enteredKept); n > oldest && f.starts[(n-1)%enteredKept] > seen; {
		n--
	}
	return n
}

// enter records a block whose first symbol is the next packet or a later one.
func (f *flow) enter(sequence wire.Sequence) {
	f.starts[f.entered%enteredKept] = sequence + 1
	f.entered++
	if f.credit != math.MaxInt {
		f.credit--
	}
}

// handle takes the room that a report tells of.
func (f *flow) handle(now time.Duration, r *room, w *wire.Report) {
	entered := f.enteredUpTo(w.Highest)
	if since := now - r.at; since > 0 && entered >= r.entered {
		freed := max(0, float64(entered-r.entered)+float64(r.used)-float64(w.Backlog))
		if rate := freed / since.Seconds(); r.reported {
			r.drain += drainGain * (rate - r.drain)
			r.drain = max(r.drain, drainGain*rate)
		} else {
			r.drain, r.reported = rate, true
		}
	}
	if w.BlocksDone > r.done {
		r.done, r.doneAt = w.BlocksDone, now
	}
	r.free, r.used, r.at, r.entered = int(w.Room), int(w.Backlog), now, entered
	f.at = 0
}

// first is the room of a receiver that has just come.
func (f *flow) first(now time.Duration) room {
	return room{free: firstRoom, at: now, entered: f.entered, doneAt: now}
}

// left is how many blocks a receiver has room for now.
func (f *flow) left(now time.Duration, r *room) int {
	coming := int(f.entered - r.entered)
	freed := min(int(drainShare*r.drain*(now-r.at).Seconds()), r.used+coming)
	return r.free - (r.free+r.used)/reserve - coming + freed
}

// hold keeps a block back.
func (f *flow) hold(now time.Duration) { f.held, f.wakeAt = true, now+roomEvery }

// Holds reports whether a block is held back until there is room for it: Next may have it at
// Deadline.
// Only simulations use it.
func (e *Engine) Holds() bool { return e.flow.held }

// reckon reckons how many blocks may enter: as many as three quarters of the regular receivers have
// room for, by reports that are not old. If there are none, nothing is held back.
func (e *Engine) reckon(now time.Duration) {
	f := &e.flow
	f.held, f.wakeAt = false, never
	if !f.on || f.at != 0 && now-f.at < roomEvery {
		return
	}
	f.at = max(now, 1)
	f.list = f.list[:0]
	// Those that report in time know best.
	for id := range e.sample.Receivers.All() {
		if p := e.peers.find(id); p != nil {
			e.reckonPeer(now, p)
		}
	}
	for i := 0; i < len(e.peers.list) && e.sample.Receivers.Len() == 0; i++ {
		e.reckonPeer(now, e.peers.list[i])
	}
	f.credit = math.MaxInt
	if n := len(f.list); n > 0 {
		slices.Sort(f.list)
		f.credit = f.list[n/4]
	}
}

// reckonPeer adds what a receiver has room for, if it counts. A window for all of the image never fills.
func (e *Engine) reckonPeer(now time.Duration, p *peer) {
	r := &p.room
	if p.straggler || now-r.at > roomAge*e.Interval() || uint32(r.free+r.used) >= e.image {
		return
	}
	if left := e.flow.left(now, r); left > 0 || now-r.doneAt <= roomStall {
		e.flow.list = append(e.flow.list, left)
	}
}
