package wire

import (
	"testing"
	"time"
)

func TestHeartbeat(t *testing.T) {
	h := Heartbeat{
		Session:        0x0123456789abcdef,
		Sequence:       3000000,
		State:          SenderStalled,
		Pass:           2,
		PassEnded:      true,
		Receivers:      30,
		ReportInterval: 250 * time.Millisecond,
		RoundTrip:      200 * time.Microsecond,
		Clock:          123456789,
		Completion:     testDescription().Completion,
		CarouselBlock:  4032,
	}
	checkVector(t, "heartbeat", h, ParseHeartbeat)
	checkCommon(t, "heartbeat", ParseHeartbeat)
	checkRefused(t, "heartbeat", ParseHeartbeat, []refused{
		{"sequence", set64(16, uint64(MaxSequence)+1), ErrBounds},
		{"interval 0", set32(32, 0), ErrBounds},
		{"interval below a tenth of a second", set32(32, 99_999), ErrBounds},
		{"interval over a minute", set32(32, 60_000_001), ErrBounds},
		{"round trip over a minute", set32(36, 60_000_001), ErrBounds},
		{"manifest too large for any image", set64(44, 1<<63), ErrBounds},
		{"walk behind every block", set32(84, 1<<26), ErrBounds},
	})
	checkTaken(t, "heartbeat", ParseHeartbeat, set8(3, 0xfd)) // reserved flags
	h.Sample.Interval = 100 * time.Millisecond
	h.Sample.Receivers = h.Sample.Receivers.Append(0xfedcba9876543210).Append(42)
	checkVector(t, "heartbeat with a sample", h, ParseHeartbeat)
	checkCommon(t, "heartbeat with a sample", ParseHeartbeat)
	checkRefused(t, "heartbeat with a sample", ParseHeartbeat, []refused{
		{"interval 0", set32(heartbeatSize, 0), ErrBounds},
		{"interval over a minute", set32(heartbeatSize, 60_000_001), ErrBounds},
		{"more receivers than bytes", set16(heartbeatSize+4, 3), ErrLength},
		{"more receivers than any", set16(heartbeatSize+4, MaxSample+1), ErrBounds},
	})
	checkTaken(t, "heartbeat with a sample", ParseHeartbeat, set16(heartbeatSize+6, 0xffff))
	if !h.Sample.Has(42) || h.Sample.Has(43) {
		t.Error("the sample is not who was named")
	}
	h.RoundTrip = -1
	if !panics(func() { h.AppendTo(nil) }) {
		t.Error("a negative round trip is sent")
	}
}

func TestHeartbeatOfUnknownState(t *testing.T) {
	if h, err := ParseHeartbeat(sealed(set8(2, 200)(append([]byte{}, vectors["heartbeat"]...)))); err != nil || h.State != 200 {
		t.Errorf("%v, %v", h.State, err)
	}
}

func FuzzHeartbeat(f *testing.F) { fuzz(f, ParseHeartbeat) }
