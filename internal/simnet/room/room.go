package room

import (
	"fmt"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/sender"
	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// Config is a room.
type Config struct {
	Seed       uint64
	Blocks     uint32        // of the image
	K          uint16        // source symbols of each block
	PacketTime time.Duration // of a symbol on the sender's wire
	ZeroRuns   bool          // half of the blocks are zeros, in runs
	// Strict keeps the symbols that each receiver holds apart from its engine, and
	// checks what it says against them.
	Strict bool
	// Impatient hands each packet to each receiver in its own time, however little
	// there is to be said. It changes nothing but the time that Run takes.
	Impatient bool
	Receivers []Spec
	// The sender dies at each of Deaths, and comes back after DeadTime; and sends
	// nothing during Stalls.
	Deaths      []time.Duration
	DeadTime    time.Duration
	Stalls      []Span
	NoSubblocks bool // the sender knows nothing of sub-blocks
	// CommonLoss is lost for all receivers.
	CommonLoss float64
	// Replays is the share of what receivers say that is followed by a copy of something
	// stale: an old report, a list that a newer one has replaced, or whatever was said
	// before a goodbye.
	Replays float64
	Limit   time.Duration // the room fails after that time
}

// Span is a time from its first to its second.
type Span [2]time.Duration

func (s Span) holds(t time.Duration) bool { return t >= s[0] && t < s[1] }

// Spec is a receiver and its link.
type Spec struct {
	Loss       float64       // of packets to it and from it
	Burst      float64       // mean length of a burst; 0 is 1
	Delay      time.Duration // one way
	LinkTime   time.Duration // of a packet on its own link; 0: no more than on the sender's
	Queue      int           // packets that the switch holds for that link; those beyond are lost
	Reorder    float64       // share of packets that are late, by up to 2 ms; all of its feedback is
	Duplicate  float64
	Corrupt    float64       // share of its feedback that is damaged
	Join       time.Duration // 0: there from the start
	Kill       time.Duration // 0: never
	Stalls     []Span        // it takes nothing; what comes in is lost
	Frozen     bool          // in its stalls it says nothing either
	Disk       time.Duration // to write a block; 0 is no time
	Window     int           // blocks; 0 is 64
	Holds      float64       // share of the blocks that its target has from the start
	Liar       bool          // asks for a quarter of every block
	OldContent *OldContent   // what else its target has, nil if it is not looked at
	BadBlocks  int           // that many blocks fail their digest
	Forged     float64       // share of packets of the stream with a forged one before
}

// DefaultDelay is one way: a round trip of 0.2 ms.
const DefaultDelay = 100 * time.Microsecond

const (
	symbolSize = 1444
	// jitter is what each packet of the stream may take longer in the switch, and
	// each packet of feedback on its way; late bounds it where packets overtake each other.
	jitter = 20 * time.Microsecond
	late   = 2 * time.Millisecond
	// singular is how often K symbols with two repair symbols or more do not suffice.
	singular = 1.0 / 256
	// subblockPackets is how many packets the digests of a block's sub-blocks take.
	subblockPackets = (1<<20/block.SubblockSize + wire.MaxSubblocks - 1) / wire.MaxSubblocks
)

// packet is one on its way to all receivers.
type packet struct {
	at      time.Duration // when it leaves the switch
	symbol  wire.Symbol
	control *control // if it is no symbol
}

// control is what is not a symbol.
type control struct {
	zeros     wire.ZeroRun
	owed      wire.RepairAdv
	heartbeat wire.Heartbeat
	ack       wire.GoodbyeAck
	subblocks wire.SubblockDigests
	kind      wire.Type
	session   wire.SessionID
}

// message is one on its way to the sender, or an answer to a receiver alone.
type message struct {
	packet []byte
	offer  *node
}

// Room is a simulation under way.
type Room struct {
	cfg  Config
	rand *rand.Rand
	now  time.Duration

	geometry  block.Geometry
	zeros     []bool
	sender    *sender.Engine
	session   wire.SessionID
	alive     bool
	awake     bool          // the sender has something to send
	free      time.Duration // when its wire is free
	ready     []sender.Ref
	read      uint32        // blocks of the image that this sender has read
	untilRead int           // packets until it looks ahead again
	idleAt    time.Duration // when it may have read what nobody wanted
	deaths    int
	backAt    time.Duration
	common    simnet.Loss
	replayer  replayer

	air   []packet
	base  uint64 // number of air[0]
	nodes []*node
	wake  []time.Duration // of each node
	// slack is the sequence up to which each node can take packets late without
	// missing a time at which it would have said something.
	slack    []wire.Sequence
	sequence wire.Sequence // the highest in the air
	controls uint64        // number behind the last packet in the air that is no symbol
	feedback simnet.Queue[message]
	lookout  time.Duration // the shortest delay: how far nodes can run on their own
	unread   int           // nodes that have not taken all that is in the air

	buffer []byte
	Result Result
	err    error
}

// Result is what came of a room.
type Result struct {
	Symbols, ZeroRuns, Control uint64 // packets sent
	Subblocks                  uint64 // of Control, those with sub-block digests
	Source                     uint64 // source symbols in the image
	// LastSource is when the last source symbol of the image was sent in the first pass.
	LastSource time.Duration
	Feedback   map[wire.Type]int // arrived at the sender
	Offers     int
	Replayed   int   // stale packets that arrived at the sender besides
	PerSecond  []int // feedback that arrived in each second
	Finish     []time.Duration
	Joined     []time.Duration
	Killed     []bool
	Finished   time.Duration // the last one
	Checking   time.Duration // when the first check of a block of a target began
	Checked    time.Duration // when the last one ended
	Proactive  float64
	Silent     bool // at the end nothing more was sent
}

// Sent is the packets sent ÷ source symbols, everything included.
func (r *Result) Sent() float64 {
	return float64(r.Symbols+r.ZeroRuns+r.Control) / float64(r.Source)
}

// FeedbackShare is the feedback that reached the sender, but for the goodbyes, ÷
// the packets sent.
func (r *Result) FeedbackShare() float64 {
	n := 0
	for t, c := range r.Feedback {
		if t != wire.TypeGoodbye {
			n += c
		}
	}
	return float64(n) / float64(r.Symbols+r.ZeroRuns+r.Control)
}

// Run simulates cfg until every receiver that lives is done and has said goodbye.
func Run(cfg Config) (Result, error) {
	r := newRoom(cfg)
	for r.err == nil && !r.over() {
		r.step()
		if r.now > cfg.Limit {
			r.err = fmt.Errorf("not done after %v: %s", r.now, r.describe())
		}
	}
	if r.err == nil {
		r.checkSilence()
	}
	r.Result.Proactive = r.sender.Proactive()
	for i, n := range r.nodes {
		r.Result.Finish = append(r.Result.Finish, n.done)
		r.Result.Joined = append(r.Result.Joined, n.spec.Join)
		r.Result.Killed = append(r.Result.Killed, n.dead)
		if n.dead {
			continue
		}
		r.Result.Finished = max(r.Result.Finished, n.done)
		if r.err == nil && n.done == 0 {
			r.err = fmt.Errorf("receiver %d is not done", i)
		}
		if r.err == nil && n.mustHaveGivenUp() && !n.gaveUp {
			r.err = fmt.Errorf("receiver %d goes on after %d blocks that failed", i, n.spec.BadBlocks-n.badBlocks)
		}
	}
	return r.Result, r.err
}

func newRoom(cfg Config) *Room {
	r := &Room{
		cfg:      cfg,
		rand:     rand.New(rand.NewPCG(cfg.Seed, 1)),
		geometry: block.Geometry{ImageSize: uint64(cfg.Blocks) << 20, BlockSize: 1 << 20},
		zeros:    make([]bool, cfg.Blocks),
		lookout:  time.Second,
	}
	r.Result.Feedback = map[wire.Type]int{}
	r.common = simnet.NewLoss(cfg.CommonLoss, 1, rand.New(rand.NewPCG(cfg.Seed, 2)))
	if cfg.ZeroRuns {
		for i := 0; i < len(r.zeros); {
			run, zero := 1+r.rand.IntN(20), r.rand.IntN(2) == 0
			for ; run > 0 && i < len(r.zeros); run-- {
				r.zeros[i] = zero
				i++
			}
		}
	}
	for _, z := range r.zeros {
		if !z {
			r.Result.Source += uint64(cfg.K)
		}
	}
	r.Result.Source = max(r.Result.Source, 1)
	r.startSender(0)
	for i, spec := range cfg.Receivers {
		r.nodes = append(r.nodes, newNode(r, i, spec))
		r.wake = append(r.wake, 0)
		r.slack = append(r.slack, 0)
	}
	for _, n := range r.nodes {
		r.lookout = min(r.lookout, n.delay)
		if n.spec.Join == 0 {
			r.sender.Join(0, n.id)
		}
	}
	for _, n := range r.nodes {
		n.start()
	}
	return r
}

// startSender begins a session.
func (r *Room) startSender(now time.Duration) {
	r.session++
	r.sender = sender.New(now, sender.Config{Session: r.session, Image: r.geometry})
	r.sender.SetRate(float64(time.Second) / float64(r.cfg.PacketTime))
	r.alive, r.awake, r.free = true, true, now
	r.replayer = newReplayer(rand.New(rand.NewPCG(r.cfg.Seed, 5+uint64(r.session)<<32)))
	r.read, r.untilRead, r.idleAt = 0, 0, now+100*time.Millisecond
}

// description is what the sender would say of its session.
func (r *Room) description() receiver.Session {
	return receiver.Session{ID: r.session, ReportInterval: r.sender.Interval(), Receivers: uint32(r.sender.Receivers())}
}

// over reports whether nobody is left who waits.
func (r *Room) over() bool {
	for _, n := range r.nodes {
		if !n.gone && !n.dead && !n.spec.Liar {
			return false
		}
	}
	for _, n := range r.nodes {
		n.dead = n.dead || n.spec.Liar // nobody waits for those
	}
	return true
}

// step runs the room for the shortest delay, within which no side hears of what the
// other does, or to the next thing that happens.
func (r *Room) step() {
	until := r.now + r.lookout
	r.runSender(until)
	for i, n := range r.nodes {
		if r.wake[i] < until || r.unread > 0 && (r.slack[i] <= r.sequence || r.controls > n.pos) {
			n.run(until)
			r.wake[i] = n.wake
			r.slack[i] = n.slack()
		}
	}
	r.sweep()
	r.now = until
	if r.unread == 0 && !r.awake {
		next := min(r.feedback.At(), r.senderWake())
		for _, at := range r.wake {
			next = min(next, at)
		}
		r.now = max(r.now, min(next, r.now+time.Hour))
	}
}

// sweep drops packets that every node has taken.
func (r *Room) sweep() {
	least := r.base + uint64(len(r.air))
	r.unread = 0
	end := least
	for _, n := range r.nodes {
		if n.absent() {
			n.pos = end
			continue
		}
		if n.pos < end {
			r.unread++
		}
		least = min(least, n.pos)
	}
	if drop := int(least - r.base); drop > 4096 || drop == len(r.air) {
		r.air = append(r.air[:0], r.air[drop:]...)
		r.base = least
	}
}

// checkSilence runs on for a minute: a sender without receivers says nothing.
func (r *Room) checkSilence() {
	r.runSenderAlone(10 * time.Minute)
	before := r.Result.Symbols + r.Result.ZeroRuns + r.Result.Control
	r.runSenderAlone(time.Minute)
	after := r.Result.Symbols + r.Result.ZeroRuns + r.Result.Control
	r.Result.Silent = before == after
	if !r.Result.Silent {
		r.err = fmt.Errorf("the sender has nobody left and sends %d packets more", after-before)
	}
}

// runSenderAlone lets d pass for the sender alone.
func (r *Room) runSenderAlone(d time.Duration) {
	until := r.now + d
	for r.now < until {
		r.now = min(max(min(r.senderWake(), r.feedback.At()), r.now+r.lookout), until)
		r.runSender(r.now + 1)
		r.air, r.base = r.air[:0], r.base+uint64(len(r.air))
	}
	for _, n := range r.nodes {
		n.pos = r.base
	}
}

func (r *Room) describe() string {
	s := ""
	for i, n := range r.nodes {
		if !n.gone && !n.dead {
			s += fmt.Sprintf("receiver %d lacks %d blocks; ", i, n.engine.Missing())
			if len(s) > 300 {
				return s + "…"
			}
		}
	}
	return s
}
