package wire

import (
	"testing"
	"time"
)

func TestProbeReport(t *testing.T) {
	var l List[ProbeStep]
	l = l.Append(ProbeStep{Step: 0, LargestPacket: 1472, Received: 64, Span: 7500 * time.Microsecond}).
		Append(ProbeStep{Step: 5, LargestPacket: 8972, Received: 301, Span: 3600 * time.Microsecond})
	r := ProbeReport{
		Session:   0x0123456789abcdef,
		Receiver:  0xfedcba9876543210,
		Train:     1,
		Clock:     123456789,
		ClockHeld: 40 * time.Microsecond,
		Steps:     l,
	}
	checkVector(t, "probe report", r, ParseProbeReport)
	checkCommon(t, "probe report", ParseProbeReport)
	checkRefused(t, "probe report", ParseProbeReport, []refused{
		{"more steps than bytes", set16(2, 3), ErrLength},
		{"more steps than any", set16(2, MaxProbeSteps+1), ErrBounds},
		{"step over the limit", set16(probeReportSize+12, MaxProbeSteps), ErrBounds},
		{"step twice", set16(probeReportSize+12, 0), ErrBounds},
		{"packet shorter than a probe", set16(probeReportSize+2, probeSize-1), ErrBounds},
		{"packet longer than any", set16(probeReportSize+2, MaxPacketSize+1), ErrBounds},
		{"nothing heard", set32(probeReportSize+4, 0), ErrBounds},
	})
}

func FuzzProbeReport(f *testing.F) { fuzz(f, ParseProbeReport) }
