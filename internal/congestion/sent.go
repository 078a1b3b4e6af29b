package congestion

import (
	"sort"
	"time"
)

// transmissions remembers when each sequence number was sent: a ring of entries, one a
// millisecond at most.
type transmissions struct {
	ring  []transmission
	start int // of the oldest
	count int
	last  uint64
	bits  float64 // of all
}

type transmission struct {
	at       time.Duration // when the first packet of the entry was sent
	sequence uint64        // of the last one
	bits     float64       // sent until then, of all
}

func (t *transmissions) at(i int) *transmission { return &t.ring[(t.start+i)%len(t.ring)] }

// add notes that packets up to sequence were sent.
func (t *transmissions) add(now time.Duration, sequence uint64, bits float64) {
	if t.ring == nil {
		t.ring = make([]transmission, transmissionsKept)
	}
	t.bits += bits
	t.last = max(t.last, sequence)
	if t.count > 0 {
		if last := t.at(t.count - 1); now < last.at+time.Millisecond {
			last.sequence, last.bits = t.last, t.bits
			return
		}
	}
	if t.count == len(t.ring) {
		t.start = (t.start + 1) % len(t.ring)
		t.count--
	}
	t.count++
	*t.at(t.count - 1) = transmission{now, t.last, t.bits}
}

// timeOf is when a packet was sent; ok is false if it was not, or too long ago.
func (t *transmissions) timeOf(sequence uint64) (at time.Duration, ok bool) {
	i := sort.Search(t.count, func(i int) bool { return t.at(i).sequence >= sequence })
	if i == t.count || i == 0 && t.count == len(t.ring) {
		return 0, false
	}
	return t.at(i).at, true
}

// since is the bits sent after a time, or a millisecond before it.
func (t *transmissions) since(at time.Duration) float64 {
	i := sort.Search(t.count, func(i int) bool { return t.at(i).at+time.Millisecond > at })
	if i == 0 {
		if t.count > 0 && t.count == len(t.ring) {
			return t.bits - t.at(0).bits
		}
		return t.bits
	}
	return t.bits - t.at(i-1).bits
}
