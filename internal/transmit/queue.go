package transmit

import (
	"sync/atomic"
	"time"

	"multiserver/internal/udp"
)

const (
	// inFlightTime is how much, at the rate of the moment, is on its way to the socket:
	// what a server that is not scheduled for a while has to send.
	inFlightTime = 6 * time.Millisecond
	// leastInFlight and MostInFlight bound it in batches, and FirstInFlight is that of
	// 1 Gbit/s.
	leastInFlight = 3
	MostInFlight  = 64
	FirstInFlight = 12
)

// Queue is one owner's way to the transmitter. All methods but SetLimit are its owner's
// goroutine's.
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

// Take returns a free batch, whose content is not needed; nil if as many are on their way
// as may be.
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

// Sent is where batches come back that were submitted.
func (q *Queue) Sent() <-chan *Batch { return q.sent }

// Recycle takes back a batch that came through Sent, or that was taken and not submitted.
func (q *Queue) Recycle(b *Batch) {
	q.inFlight--
	q.free = append(q.free, b)
}

// InFlight is how many batches are taken and not recycled.
func (q *Queue) InFlight() int { return q.inFlight }

// SetLimit sets the rate in bits a second on the wire that the queue keeps to, each batch
// counted once, wherever it goes. 0 is no limit beside the server's.
func (q *Queue) SetLimit(bitsPerSec uint64) { q.limit.Store(bitsPerSec) }

// SetRate adapts how many batches may be on their way to the rate that the queue sends
// packets of packetSize bytes at.
func (q *Queue) SetRate(bitsPerSec float64, packetSize int) {
	batchBits := float64(8 * q.BurstPackets(packetSize) * udp.PacketWireBytes(q.transmitter.cfg.Group, packetSize))
	q.maxInFlight = int(min(max(bitsPerSec*inFlightTime.Seconds()/batchBits, leastInFlight), MostInFlight))
}

// Paced reports whether the server's own rate is given.
func (q *Queue) Paced() bool {
	return q.transmitter.cfg.RateBitsPerSec != 0 || q.transmitter.cfg.Delay != 0
}

// BurstPackets is how many packets of a size one batch should have: what goes in 150 µs at
// the rate that is given or that is the limit, since a switch's queue must hold them.
// Where neither is given, the interface's queue sets the pace, and what the kernel takes at
// once costs the least.
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
