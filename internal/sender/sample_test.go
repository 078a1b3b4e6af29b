package sender

import (
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestSampleIsNamed: each heartbeat names the sample, and no more than fit.
func TestSampleIsNamed(t *testing.T) {
	e := New(0, Config{Session: 1, Image: block.Geometry{ImageSize: 4 << 20, BlockSize: 1 << 20}})
	e.Join(0, 5)
	ids := make([]wire.ReceiverID, wire.MaxSample+3)
	for i := range ids {
		ids[i] = wire.ReceiverID(i + 5)
	}
	for _, n := range []int{0, 2, len(ids)} {
		e.SetSample(100*time.Millisecond, ids[:n])
		e.beat(0) // due
		b, ok := e.Poll(0, nil)
		h, err := wire.ParseHeartbeat(b)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if want := min(n, wire.MaxSample); h.Sample.Receivers.Len() != want || h.Sample.Interval != 100*time.Millisecond || h.Sample.Has(5) != (n > 0) {
			t.Errorf("of %d named: %+v", n, h.Sample)
		}
	}
}
