package room

import (
	"fmt"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
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
	// Intruder is the share of what the sender hears that is preceded by a packet of an intruder.
	Intruder float64
	// Start holds the stream until the receivers have come that it waits for, and have
	// answered probes. nil: it begins at once, without probes.
	Start   *Start
	Flow    bool          // blocks wait for receivers' room
	Unicast bool          // a receiver that hears nothing of the group may have the stream by unicast
	Limit   time.Duration // the room fails after that time
}

// Start is what the stream waits for, as in startgate.Gate.
type Start struct {
	MinReceivers     int
	MinWait, MaxWait time.Duration
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
	Path       Path
	// SilenceLimit ends the receiver if nothing of the sender comes for so long; 0: never.
	SilenceLimit time.Duration
	// Return is how long after Kill its machine is started again, and comes as a new
	// receiver; 0: never.
	Return time.Duration
}

// Path is what becomes of the stream between the sender and a receiver.
type Path struct {
	Network   int             // of the sender's, 0 to 63, that it is on
	Forgets   []time.Duration // when the switch forgets the group, until it is joined again
	NoGroup   []Span          // nothing of the group comes through
	NoUnicast []Span          // the same of the stream by unicast
	MaxPacket int             // bytes; larger packets are dropped; 0: none
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
)

// Room is a simulation under way.
type Room struct {
	cfg      Config
	now      time.Duration
	geometry block.Geometry
	zeros    []bool
	manifest *codec.Manifest // nil if no target is compared with it

	session  wire.SessionID // the last one
	server   *server        // of the last session
	life     life
	sessions []*board // of all sessions so far
	ether    ether
	replayer replayer
	intruder intruder

	nodes []*node
	wake  []time.Duration // of each node
	// patience is the sequence up to which each node can take packets late without
	// missing a time at which it would have said something.
	patience []wire.Sequence
	feedback simnet.Queue[message]
	lookout  time.Duration // the shortest delay: how far nodes can run on their own

	Result Result
	err    error
}

// life is whether the sender lives.
type life struct {
	alive  bool
	deaths int // so far
	backAt time.Duration
}

// Result is what came of a room.
type Result struct {
	Symbols, ZeroRuns, Control uint64 // packets sent to the group
	Probes                     uint64 // the same, of trains
	Unicast                    uint64 // packets sent by unicast, one for each receiver
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
	Checking   time.Duration // when the first receiver had the manifest to compare its target with
	Checked    time.Duration // when the last one ended
	Proactive  float64
	Silent     bool // at the end nothing more was sent

	Opened, Began []time.Duration // when each session's gate opened, and its stream began
	Networks      []int           // that the stream goes out on at the end
	Ended         []End           // of each receiver
	Failed, All   int             // the last session's verdict
}

// Sent is the packets sent ÷ source symbols, everything included.
func (r *Result) Sent() float64 {
	return float64(r.packets()) / float64(r.Source)
}

func (r *Result) packets() uint64 {
	return r.Symbols + r.ZeroRuns + r.Control + r.Probes + r.Unicast
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
	return float64(n) / float64(r.packets())
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
	r.Result.Proactive = r.server.group.engine.Proactive()
	r.Result.Networks = r.server.networks.Indices(nil)
	for _, n := range r.nodes {
		r.Result.Finish = append(r.Result.Finish, n.done)
		r.Result.Joined = append(r.Result.Joined, n.spec.Join)
		r.Result.Killed = append(r.Result.Killed, n.dead)
		r.Result.Ended = append(r.Result.Ended, n.end)
		if !n.dead {
			r.Result.Finished = max(r.Result.Finished, n.done)
		}
	}
	if r.err == nil {
		r.err = r.checkEnds()
	}
	if r.err == nil {
		r.err = r.checkVerdict()
	}
	return r.Result, r.err
}

func newRoom(cfg Config) *Room {
	r := &Room{
		cfg:      cfg,
		ether:    newEther(cfg),
		geometry: block.Geometry{ImageSize: uint64(cfg.Blocks) << 20, BlockSize: 1 << 20},
		zeros:    make([]bool, cfg.Blocks),
		lookout:  time.Second,
	}
	r.Result.Feedback = map[wire.Type]int{}
	if cfg.ZeroRuns {
		for i := 0; i < len(r.zeros); {
			run, zero := 1+r.ether.rand.IntN(20), r.ether.rand.IntN(2) == 0
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
	r.manifest = newManifest(r)
	all := cfg.Receivers
	for _, spec := range cfg.Receivers {
		if spec.Kill > 0 && spec.Return > 0 {
			spec.Join, spec.Kill = spec.Kill+spec.Return, 0
			all = append(all[:len(all):len(all)], spec)
		}
	}
	for i, spec := range all {
		r.nodes = append(r.nodes, newNode(r, i, spec))
		r.wake = append(r.wake, 0)
		r.patience = append(r.patience, 0)
	}
	for i, next := 0, len(cfg.Receivers); i < len(cfg.Receivers); i++ {
		if n := r.nodes[i]; n.spec.Kill > 0 && n.spec.Return > 0 {
			n.again, r.nodes[next].machine = r.nodes[next], n.machine
			next++
		}
	}
	r.intruder.rand = rand.New(rand.NewPCG(cfg.Seed, 7))
	r.startServer(0)
	for _, n := range r.nodes {
		r.lookout = min(r.lookout, n.delay)
		if n.spec.Join == 0 {
			r.server.group.engine.Join(0, n.id)
			r.server.board.table.Offer(n.id, n.machine.name)
		}
	}
	for _, n := range r.nodes {
		n.start()
	}
	return r
}

// startServer begins a session.
func (r *Room) startServer(now time.Duration) {
	r.session++
	r.life.alive = true
	r.ether.free = now
	r.server = newServer(r, now)
	r.sessions = append(r.sessions, r.server.board)
	r.replayer = newReplayer(rand.New(rand.NewPCG(r.cfg.Seed, 5+uint64(r.session)<<32)))
}

// fail keeps the first thing that is wrong.
func (r *Room) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at %v: "+format, append([]any{r.now}, args...)...)
	}
}

// over tells whether nobody is left who waits.
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
	r.runServer(until)
	for i, n := range r.nodes {
		if r.wake[i] < until || r.ether.unread > 0 && (r.patience[i] <= r.ether.sequence || r.ether.controls > n.pos) {
			n.run(until)
			r.wake[i] = n.wake
			r.patience[i] = n.patience()
		}
	}
	r.ether.sweep(r.nodes)
	r.now = until
	if r.ether.unread == 0 && !(r.life.alive && r.server.awake) {
		next := min(r.feedback.At(), r.serverWake())
		for _, at := range r.wake {
			next = min(next, at)
		}
		r.now = max(r.now, min(next, r.now+time.Hour))
	}
}

// checkSilence runs on for a minute: a sender without receivers says nothing.
func (r *Room) checkSilence() {
	r.settle(10 * time.Minute)
	before := r.Result.packets()
	r.settle(time.Minute)
	after := r.Result.packets()
	r.Result.Silent = before == after
	if !r.Result.Silent {
		r.err = fmt.Errorf("the sender has nobody left and sends %d packets more", after-before)
	}
}

// settle lets d pass for the sender alone.
func (r *Room) settle(d time.Duration) {
	until := r.now + d
	for r.now < until {
		r.now = min(max(min(r.serverWake(), r.feedback.At()), r.now+r.lookout), until)
		r.runServer(r.now + 1)
		r.ether.drop()
	}
	for _, n := range r.nodes {
		n.pos = r.ether.base
	}
}

func (r *Room) describe() string {
	s := ""
	for i, n := range r.nodes {
		if !n.gone && !n.dead && n.engine != nil {
			s += fmt.Sprintf("receiver %d lacks %d blocks; ", i, n.engine.Missing())
			if len(s) > 300 {
				return s + "…"
			}
		}
	}
	return s
}
