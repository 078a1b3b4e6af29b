package congestion

import "multiserver/internal/wire"

// FromWire takes what concerns the rate from a report.
func FromWire(r wire.Report) Report {
	out := Report{
		Receiver: r.Receiver,
		Number:   r.Number,
		Newest:   r.Highest,
		Timed:    r.Timed,
		Clock:    r.Clock,
		Held:     r.ClockHeld,
		Counts:   r.Counts,
		Done:     r.BlocksDone,
		Backlog:  r.Backlog,
		Room:     r.Room,
		Bound:    r.Limit == wire.LimitDisk || r.Limit == wire.LimitCPU,
		Needs:    r.NACKs.Len() > 0 || r.Phase == wire.PhaseChecking || r.Phase == wire.PhaseFinishing,
		Finished: r.Phase == wire.PhaseFinishing,
	}
	if r.Timed {
		out.Newest = r.Highest - wire.Sequence(r.Arrival.Behind)
		out.Arrived, out.Age = uint32(r.Arrival.Clock), r.Arrival.Age
	}
	return out
}
