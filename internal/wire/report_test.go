package wire

import (
	"testing"
	"time"

	"multiserver/internal/block"
)

func TestReport(t *testing.T) {
	r := Report{
		Session:    0x0123456789abcdef,
		Receiver:   0xfedcba9876543210,
		Highest:    100000,
		Number:     12,
		Clock:      123456789,
		ClockHeld:  1500 * time.Microsecond,
		BlocksDone: 130,
		Counts:     PacketCounts{Received: 98990, Lost: 1000, Dropped: 10},
		Backlog:    18,
		Room:       46,
		Phase:      PhaseChecking,
		Limit:      LimitDisk,
		NACKs:      testSymbolCounts(),
	}
	checkVector(t, "report", r, ParseReport)
	checkCommon(t, "report", ParseReport)
	checkRefused(t, "report", ParseReport, []refused{
		{"sequence", set64(24, uint64(MaxSequence)+1), ErrBounds},
		{"more entries than bytes", set16(2, 4), ErrLength},
		{"more entries than any", set16(2, 0xffff), ErrBounds},
		{"block over the limit", set32(reportSize+12, 1<<31|block.MaxBlockCount), ErrBounds},
		{"no symbols", set16(reportSize+4, 0), ErrBounds},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, MaxControlSize)...) }, ErrLength},
	})
	checkTaken(t, "report", ParseReport, set16(82, 0xfeff)) // reserved flags
	r.Timed, r.Arrival = true, Arrival{Behind: 3, Clock: 987654321, Age: 2500 * time.Microsecond}
	checkVector(t, "timed report", r, ParseReport)
	checkCommon(t, "timed report", ParseReport)
	checkRefused(t, "timed report", ParseReport, []refused{
		{"newest before the first", set64(24, 2), ErrBounds},
		{"one NACK more, no room for the arrival", set16(2, 4), ErrLength},
	})
	if !panics(func() {
		many := Report{Timed: true}
		for range MaxTimedNACKs + 1 {
			many.NACKs = many.NACKs.Append(SymbolCount{Symbols: 1})
		}
		many.AppendTo(nil)
	}) {
		t.Error("more NACKs than fit beside an arrival are sent")
	}
	if !panics(func() { Report{Highest: MaxSequence + 1}.AppendTo(nil) }) {
		t.Error("a sequence over the limit is sent")
	}
}

func FuzzReport(f *testing.F) { fuzz(f, ParseReport) }
