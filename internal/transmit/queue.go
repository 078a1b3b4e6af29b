package transmit

import (
	"sync"
	"sync/atomic"
	"time"

	"multiserver/internal/memory"
	"multiserver/internal/udp"
)

const (
	// inFlightTime is how much, in time at the present rate, is on its way to the socket: it
	// bridges the time in which the server's process is not scheduled.
	inFlightTime = 6 * time.Millisecond
	// leastInFlight and MostInFlight bound it in batches. FirstInFlight is for 1 Gbit/s.
	leastInFlight = 3
	MostInFlight  = 64
	FirstInFlight = 12
)

// Place is where a queue stands beside the others. While a queue of a lower rank has
// something to send, also if that waits for its pace, this one gets one byte in OneIn of
// what both send. The zero Place gives way to nobody.
type Place struct {
	Rank  int
	OneIn int // 2 at least, but for rank 0
}

// batchShare: the batches of a queue take one in so many of the bytes that are available.
const batchShare = 32

// mostInFlight is MostInFlight, or less where memory is little.
var mostInFlight = sync.OnceValue(func() int {
	return int(memory.Share(memory.Available(), batchShare, leastInFlight*BatchBytes, MostInFlight*BatchBytes) / BatchBytes)
})

// Queue is one owner's way to the transmitter. All methods but SetPace are its owner's
// goroutine's.
type Queue struct {
	transmitter *Transmitter
	place       Place
	// ready goes from the owner to Run and sent back; each has room for all batches, so
	// that neither blocks. Nobody closes them.
	ready, sent chan *Batch
	free        []*Batch
	inFlight    int
	maxInFlight int
	limit       atomic.Uint64 // bits a second; 0: none
	burst       int           // packets, under limit

	// Owned by Run:
	pacer      *udp.Pacer
	pacedLimit uint64    // of pacer
	head       *Batch    // the next one, already taken from ready
	headAt     time.Time // when the pace allows it
	credit     int       // bytes that the queue may send beside queues of lower ranks
}

// Take returns a free batch with arbitrary content, or nil if the limit of batches in flight is
// reached.
func (q *Queue) Take() *Batch {
	if q.inFlight >= q.maxInFlight {
		return nil
	}
	q.inFlight++
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b
	}
	return &Batch{Buf: make([]byte, BatchBytes)}
}

// Submit hands a batch that was taken to Run.
func (q *Queue) Submit(b *Batch) {
	q.ready <- b
	q.transmitter.signal()
}

// Sent returns submitted batches once they are sent.
func (q *Queue) Sent() <-chan *Batch { return q.sent }

// Recycle takes back a batch that came through Sent, or that was taken and not submitted.
func (q *Queue) Recycle(b *Batch) {
	q.inFlight--
	q.free = append(q.free, b)
}

// InFlight is how many batches are taken and not recycled.
func (q *Queue) InFlight() int { return q.inFlight }

// SetPace sets the rate in bits a second on the wire that the queue keeps to, each batch
// counted once, wherever it goes, and the most packets of a batch. 0 is no limit beside the
// server's.
func (q *Queue) SetPace(bitsPerSec uint64, burst int) {
	q.burst = burst
	q.limit.Store(bitsPerSec)
}

// SetRate adapts the limit of batches in flight to the rate at which the queue sends packets of
// packetSize bytes.
func (q *Queue) SetRate(bitsPerSec float64, packetSize int) {
	batchBits := float64(8 * q.BurstPackets(packetSize) * udp.PacketWireBytes(q.transmitter.cfg.Group, packetSize))
	q.maxInFlight = int(min(max(bitsPerSec*inFlightTime.Seconds()/batchBits, leastInFlight), float64(mostInFlight())))
}

// Rate is the server's own rate in bits a second; 0 if none is given.
func (q *Queue) Rate() uint64 { return q.transmitter.cfg.RateBitsPerSec }

// Paced tells whether the server's own rate is given.
func (q *Queue) Paced() bool { return q.Rate() != 0 || q.transmitter.cfg.Delay != 0 }

// BurstPackets is how many packets of a size one batch should have. Under a rate, the
// server's or the queue's, that is what goes in 150 µs, since a switch's queue must hold
// them, but 16 packets or 2 ms of the rate at least: single packets cost a receiver four
// times the CPU. Where there is no rate, the interface's queue sets the pace, and what the
// kernel takes at once costs the least.
func (q *Queue) BurstPackets(packetSize int) int {
	const (
		burstTime  = 150 * time.Microsecond
		floorTime  = 2 * time.Millisecond
		burstFloor = 16
	)
	cfg := &q.transmitter.cfg
	limit := q.limit.Load()
	rate := limit
	if set := cfg.RateBitsPerSec; set != 0 && (rate == 0 || set < rate) {
		rate = set
	}
	most := min(udp.MaxSegments(packetSize), BatchBytes/packetSize)
	if rate > 0 {
		in := func(d time.Duration) float64 {
			return float64(rate) / 8 * d.Seconds() / float64(udp.PacketWireBytes(cfg.Group, packetSize))
		}
		most = int(min(max(in(burstTime), min(burstFloor, in(floorTime)), 1), float64(most)))
	}
	if cfg.Delay > 0 {
		most = min(most, int(max(burstTime/cfg.Delay, 1)))
	}
	if limit > 0 && q.burst > 0 {
		most = min(most, q.burst)
	}
	return max(1, most)
}
