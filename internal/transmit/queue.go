package transmit

import (
	"sync/atomic"
	"time"

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

// Queue is one owner's way to the transmitter. The owner's goroutine calls all methods but
// SetLimit.
type Queue struct {
	transmitter *Transmitter
	// ready goes from the owner to Run and sent back; each has room for all batches, so
	// that neither blocks. Nobody closes them.
	ready, sent chan *Batch
	free        []*Batch
	inFlight    int
	maxInFlight int
	limit       atomic.Uint64 // bits a second; 0: none

	// Owned by Run:
	pacer      *udp.Pacer
	pacedLimit uint64 // of pacer
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

// SetLimit sets the queue's limit in bits a second on the wire. A batch counts once, whatever
// its destinations. 0 leaves only the server's limit.
func (q *Queue) SetLimit(bitsPerSec uint64) { q.limit.Store(bitsPerSec) }

// SetRate adapts the limit of batches in flight to the rate at which the queue sends packets of
// packetSize bytes.
func (q *Queue) SetRate(bitsPerSec float64, packetSize int) {
	batchBits := float64(8 * q.BurstPackets(packetSize) * udp.PacketWireBytes(q.transmitter.cfg.Group, packetSize))
	q.maxInFlight = int(min(max(bitsPerSec*inFlightTime.Seconds()/batchBits, leastInFlight), MostInFlight))
}

// Paced reports whether the server's own rate is given.
func (q *Queue) Paced() bool {
	return q.transmitter.cfg.RateBitsPerSec != 0 || q.transmitter.cfg.Delay != 0
}

// BurstPackets is how many packets of a size one batch should have. With a configured rate or a
// limit, that is 150 µs' worth, so that they fit a switch's queue. Without one, the interface's
// queue sets the pace, and full batches cost the least.
func (q *Queue) BurstPackets(packetSize int) int {
	const burstTime = 150 * time.Microsecond
	cfg := &q.transmitter.cfg
	rate := q.limit.Load()
	if set := cfg.RateBitsPerSec; set != 0 && (rate == 0 || set < rate) {
		rate = set
	}
	most := min(udp.MaxSegments(packetSize), BatchBytes/packetSize)
	if cfg.Delay > 0 {
		most = min(most, int(max(burstTime/cfg.Delay, 1)))
	}
	if rate > 0 {
		burst := float64(rate) / 8 * burstTime.Seconds() / float64(udp.PacketWireBytes(cfg.Group, packetSize))
		most = int(min(max(burst, 1), float64(most)))
	}
	return max(1, most)
}
