package congestion

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

const (
	packetBits = 12304.0
	unknown    = ^uint64(0)
)

// model is a stream that always has something to send, over one path for each receiver.
// Receivers count, and report.
type model struct {
	own       float64 // bits a second of the own interface; 0: any number
	rate      func(time.Duration) float64
	queue     time.Duration
	packets   int
	loss      float64
	receivers int
	delay     time.Duration // one way
	feedback  time.Duration // of reports, besides
	lost      float64       // share of reports
	blind     bool          // no probes
	probe     float64       // what probes show, whatever the path is; 0: what it is
	tweak     func(i int, r *modelReceiver)
	idle      func(time.Duration) bool // nothing is sent
	detour    time.Duration            // from then on the way takes 40 ms longer; 0: never

	engine *Engine
	now    time.Duration
	all    []*modelReceiver
	rand   *rand.Rand
	seq    uint64
	bits   float64
	ledger []float64     // bits sent in each 10 ms
	limit  float64       // what was left of the budget at the last check
	free   time.Duration // when the next burst may go
}

type modelReceiver struct {
	id       wire.ReceiverID
	path     simnet.Bottleneck
	loss     float64
	arrivals simnet.Queue[uint64]
	newest   uint64
	at       time.Duration
	received uint64
	before   uint64 // received before it came
	next     time.Duration
	interval time.Duration
	number   uint32
	dead     func(time.Duration) bool
	alter    func(*Report)
	addr     netip.Addr
	untimed  bool
	told     [][2]float64 // what it reported: when that came, packets
	rand     *rand.Rand
	reports  simnet.Queue[Report]
	disk     func(time.Duration) float64 // blocks a second
	backlog  float64
	done     float64
}

func constant(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// run lets d pass.
func (m *model) run(t *testing.T, d time.Duration) {
	t.Helper()
	if m.engine == nil {
		m.start()
	}
	const step = time.Millisecond
	for end := m.now + d; m.now < end; m.now += step {
		for _, r := range m.all {
			for r.reports.At() <= m.now {
				_, rep := r.reports.Pop()
				r.told = append(r.told, [2]float64{m.now.Seconds(), float64(rep.Counts.Received)})
				m.engine.HandleReport(m.now, r.addr, rep)
			}
		}
		if m.now%(10*time.Millisecond) == 0 {
			m.assertBudget(t)
		}
		dec := m.engine.Poll(m.now)
		if m.free < m.now-5*time.Millisecond {
			m.free = m.now - 5*time.Millisecond
		}
		allowed := dec.Allowed
		for m.free < m.now+step && dec.Rate > 0 && !(m.idle != nil && m.idle(m.now)) {
			burst := float64(dec.Burst) * packetBits
			if allowed < burst {
				break
			}
			allowed -= burst
			at := max(m.free, m.now)
			for k := range dec.Burst {
				m.seq++
				sent := at
				if m.own > 0 {
					sent += time.Duration(float64(k) * packetBits / m.own * 1e9)
				}
				for _, r := range m.all {
					if left, ok := r.path.Pass(sent, packetBits); ok && r.rand.Float64() >= r.loss {
						r.arrivals.Push(left+m.delay+m.longer(left), m.seq)
					}
				}
			}
			rate := dec.Rate
			if m.own > 0 {
				rate = min(rate, m.own)
			}
			m.free += time.Duration(burst / rate * 1e9)
			m.bits += burst
			slot := int(m.now / (10 * time.Millisecond))
			for len(m.ledger) <= slot {
				m.ledger = append(m.ledger, 0)
			}
			m.ledger[slot] += burst
			m.engine.Sent(at, wire.Sequence(m.seq), burst)
		}
		_, interval := m.engine.Sample(m.now, nil)
		for _, r := range m.all {
			for r.arrivals.At() <= m.now {
				at, q := r.arrivals.Pop()
				r.newest, r.at = q, at
				r.received++
				if r.disk != nil && r.backlog < 64 {
					r.backlog += 1.0 / 727
				}
			}
			if r.disk != nil {
				w := min(r.backlog, r.disk(m.now)*step.Seconds())
				r.backlog -= w
				r.done += w
			}
			r.interval = interval
			if m.now < r.next || r.dead != nil && r.dead(m.now) {
				continue
			}
			if r.next = m.now + r.interval; r.before == unknown {
				r.before = r.received
			}
			r.number++
			rep := Report{
				Receiver: r.id, Number: r.number, Newest: wire.Sequence(r.newest), Timed: !r.untimed, Arrived: uint32((r.at + time.Hour).Microseconds()),
				Age: m.now - r.at, Counts: wire.PacketCounts{Received: r.received - r.before, Lost: r.newest - r.received}, Needs: true, Room: 64,
			}
			if r.disk != nil {
				rep.Done, rep.Backlog, rep.Room, rep.Bound = uint32(r.done), uint32(r.backlog), 64-uint32(r.backlog), r.backlog >= 32
			}
			if r.alter != nil {
				r.alter(&rep)
			}
			if r.rand.Float64() >= m.lost {
				r.reports.Push(m.now+m.delay+m.feedback, rep)
			}
		}
	}
}

// longer is by how much the way is longer from a time on.
func (m *model) longer(at time.Duration) time.Duration {
	if m.detour > 0 && at > m.detour {
		return 40 * time.Millisecond
	}
	return 0
}

func (m *model) start() {
	if m.delay == 0 {
		m.delay = time.Millisecond
	}
	if m.receivers == 0 {
		m.receivers = 1
	}
	m.rand = rand.New(rand.NewPCG(1, 1))
	m.engine = New(0, Config{PacketBits: packetBits, BlockBits: 727 * packetBits, Rand: m.rand}, 0)
	for i := range m.receivers {
		r := &modelReceiver{id: wire.ReceiverID(i + 1), loss: m.loss, addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), rand: rand.New(rand.NewPCG(2, uint64(i)))}
		r.path = simnet.Bottleneck{Rate: m.rate, Queue: m.queue, Packets: m.packets}
		r.next = time.Duration(r.rand.IntN(20)) * time.Millisecond
		if m.tweak != nil {
			m.tweak(i, r)
		}
		m.all = append(m.all, r)
		if r.before = unknown; r.dead == nil || !r.dead(0) {
			r.before = 0
			m.engine.Join(0, r.id, r.addr)
		}
		if !m.blind {
			rate := 0.0
			if r.path.Rate != nil {
				rate = r.path.Rate(0)
			}
			if m.own > 0 && (rate == 0 || rate > m.own) {
				rate = m.own
			}
			if m.probe > 0 {
				rate = m.probe
			}
			m.engine.Probed(0, r.id, rate, m.own)
		}
	}
}

// assertBudget holds what was sent against what was reported, from the reports alone.
func (m *model) assertBudget(t *testing.T) {
	t.Helper()
	if m.now < 3*time.Second {
		return
	}
	sentSince := func(at time.Duration) (sent float64) {
		for i := max(0, int(at/(10*time.Millisecond))); i < len(m.ledger); i++ {
			sent += m.ledger[i]
		}
		return sent
	}
	var left, proven []float64 // left of the budget
	voices := map[netip.Addr]bool{}
	from := (m.now - 2*time.Second).Seconds()
	heard := lateTime
	inTime := func(r *modelReceiver) bool {
		n := len(r.told)
		return n > 0 && r.told[n-1][0] >= (m.now-heard).Seconds()
	}
	if !slices.ContainsFunc(m.all, inTime) {
		heard = goneTime
	}
	for _, r := range m.all {
		n := len(r.told)
		if !inTime(r) || voices[r.addr] {
			continue
		}
		voices[r.addr] = !r.addr.IsLoopback()
		first := n - 1
		for first > 0 && r.told[first][0] > from {
			first--
		}
		came := time.Duration(r.told[0][0] * float64(time.Second))
		left = append(left, 1.5*(r.told[n-1][1]-r.told[first][1])*packetBits-sentSince(max(m.now-2*time.Second, came)))
		best, j := 0.0, first
		for i := first; i < n; i++ {
			for j+1 < i && r.told[i][0]-r.told[j+1][0] >= 0.1999 {
				j++
			}
			if d := r.told[i][0] - r.told[j][0]; d >= 0.1999 && r.told[j][0] >= from {
				best = max(best, (r.told[i][1]-r.told[j][1])/d)
			}
		}
		proven = append(proven, best)
	}
	limit := median(left) + max(16e6, median(proven)*packetBits)
	// What was sent was decided by what was known up to 10 ms before.
	last := int(m.now/(10*time.Millisecond)) - 1
	before := m.limit
	if m.limit = limit; last >= len(m.ledger) || m.ledger[last] == 0 {
		return
	}
	if limit = max(limit, before); limit < -50*packetBits {
		t.Fatalf("at %v: %.3g bits more sent in 2 s than the budget", m.now, -limit)
	}
}

// sameAddress is that of several receivers.
func sameAddress(loopback bool) netip.Addr {
	if loopback {
		return netip.MustParseAddr("127.0.0.1")
	}
	return netip.MustParseAddr("10.1.2.3")
}
