package path

import (
	"slices"
	"time"
)

// check holds what was sent against the budget, by the reports alone: over 2 s, from one
// second after the first symbol, 1.5 times what the median receiver reported as
// received, and 2 MB or a second of the highest rate that it reported over 200 ms.
func (s *sim) check() {
	if s.now < s.first+3*time.Second {
		return
	}
	from := s.now - 2*time.Second
	sent := 0.0
	for i := max(0, int(from/(10*time.Millisecond))); i < len(s.ledger); i++ {
		sent += s.ledger[i]
	}
	var got, proven []float64
	for _, n := range s.nodes {
		all := n.reports
		if !slices.Contains(s.sample, n.id) || len(all) < 5 || all[len(all)-5].at < from {
			continue // it does not report in time
		}
		first := len(all) - 1
		for first > 0 && all[first].at > from {
			first--
		}
		n.reports = all[first:] // older ones are of no use
		all = n.reports
		base := all[0].received
		got = append(got, float64(all[len(all)-1].received-base))
		best, j := 0.0, 0
		for i := range all {
			for j+1 < i && all[i].at-all[j+1].at >= 200*time.Millisecond {
				j++
			}
			if d := all[i].at - all[j].at; d >= 200*time.Millisecond {
				best = max(best, float64(all[i].received-all[j].received)/d.Seconds())
			}
		}
		proven = append(proven, best)
	}
	limit := 1.5*median(got)*packetBits + max(16e6, median(proven)*packetBits)
	// A tick's worth is decided before it is sent.
	if over := sent - limit - 44*packetBits; over > 0 {
		s.result.OverBy = max(s.result.OverBy, over)
	}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
