package routes

import (
	"slices"
	"time"
)

// A network without a receiver keeps the stream for networkMemory and four report
// intervals; these count at most maxIntervals.
const networkMemory, maxIntervals = 3 * time.Second, 10 * time.Second

// Networks are the networks that the multicast stream goes out on, by interface.
type Networks struct {
	// Fixed keeps the network that was added first: the configuration names an interface.
	Fixed bool

	list []network
}

type network struct {
	ifIndex    int
	lastPacket time.Duration // when a packet of a receiver last came in there
}

// Record records that a receiver sent a packet from a network. It reports whether the stream
// should go out there too; then the driver calls Add if it can.
func (n *Networks) Record(now time.Duration, ifIndex int) (add bool) {
	for i := range n.list {
		if n.list[i].ifIndex == ifIndex {
			n.list[i].lastPacket = now
			return false
		}
	}
	return !n.Fixed || len(n.list) == 0
}

// Add records that the stream goes out on a network.
func (n *Networks) Add(now time.Duration, ifIndex int) {
	n.list = append(n.list, network{ifIndex, now})
}

// Lapse removes the networks that no receiver has sent a packet from lately, except the last
// one. It reports whether it removed any. interval is the receivers' report interval.
func (n *Networks) Lapse(now, interval time.Duration) (changed bool) {
	oldest := now - networkMemory - min(4*interval, maxIntervals)
	for i := 0; i < len(n.list) && len(n.list) > 1; {
		if n.list[i].lastPacket < oldest {
			n.list = slices.Delete(n.list, i, i+1)
			changed = true
			continue
		}
		i++
	}
	return changed
}

// Indices appends the networks' interfaces to dst, in the order in which they were added.
func (n *Networks) Indices(dst []int) []int {
	for _, each := range n.list {
		dst = append(dst, each.ifIndex)
	}
	return dst
}
