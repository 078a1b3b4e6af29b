package multiserver

import (
	"time"

	"multiserver/internal/wire"
)

// Constants of the rate behind a bottleneck. They are coarse on purpose: what is
// lost at random is repaired, and only a path that takes far less than is sent
// makes the stream slower.
const (
	// heavyLoss is the share of packets lost from which a path counts as too narrow.
	heavyLoss = 0.25
	// lightLoss is the share under which the rate grows again.
	lightLoss = 0.02
	// growth of the rate, each time that nothing is lost.
	growth = 1.15
	// minLossSample is how many packets a loss is judged by.
	minLossSample = 50
	// minRateBitsPerSec keeps the stream from drying up.
	minRateBitsPerSec = 1_000_000
)

// narrows finds the rate of a bottleneck behind the server's own link, if three
// quarters of the unfinished receivers are behind it. The goroutine of run owns it.
type narrows struct {
	limit   uint64 // bits a second; 0: none found
	last    map[wire.ReceiverID]wire.PacketCounts
	loss    map[wire.ReceiverID]float64 // of the last report
	judged  time.Duration               // when the limit was last set
	reports int                         // since
}

// report takes in what a receiver counted.
func (n *narrows) report(id wire.ReceiverID, c wire.PacketCounts) {
	if n.last == nil {
		n.last, n.loss = map[wire.ReceiverID]wire.PacketCounts{}, map[wire.ReceiverID]float64{}
	}
	was := n.last[id]
	received, lost := c.Received-was.Received, c.Lost+c.Dropped-was.Lost-was.Dropped
	if c.Received < was.Received || c.Lost+c.Dropped < was.Lost+was.Dropped {
		n.last[id] = c // it began anew
		return
	}
	if received+lost < minLossSample {
		return
	}
	n.last[id] = c
	n.loss[id] = float64(lost) / float64(received+lost)
	n.reports++
}

// judge sets the limit, given the rate that is sent at. unfinished tells of a
// receiver whether it still counts. It waits for what the last change brought: a
// report of each.
func (n *narrows) judge(now, interval time.Duration, bitsPerSec float64, unfinished func(wire.ReceiverID) bool) {
	count, heavy, light, least := 0, 0, 0, 1.0
	for id, loss := range n.loss {
		if !unfinished(id) {
			delete(n.loss, id)
			delete(n.last, id)
			continue
		}
		count++
		switch {
		case loss > heavyLoss:
			heavy++
			least = min(least, loss)
		case loss < lightLoss:
			light++
		}
	}
	if count == 0 || now-n.judged < interval || n.reports < count {
		return
	}
	n.judged, n.reports = now, 0
	switch {
	case 4*heavy >= 3*count:
		n.limit = max(minRateBitsPerSec, uint64(bitsPerSec*(1-least)))
	case n.limit != 0 && 4*light >= 3*count:
		n.limit = uint64(float64(n.limit) * growth)
	}
}
