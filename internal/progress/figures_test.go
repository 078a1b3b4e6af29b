package progress

import (
	"math"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{sizeText(0), "0 B"},
		{sizeText(4 << 30), "4.3 GB"},
		{exactSizeText(4 << 30), "4294967296 bytes (4.3 GB, 4.0 GiB)"},
		{rateText(117.44e6), "117.4 MB/s"},
		{rateText(0), "0.0 MB/s"},
		{rateText(meanRate(100, 0)), "0.0 MB/s"},
		{shareText(0, 0), "-"},
		{shareText(0, 10), "0.0%"},
		{shareText(9999, 10000), "99.9%"}, // never 100.0% before the end
		{shareText(10, 10), "100.0%"},
		{etaText(100, 0), "ETA -"},
		{etaText(0, 0), "ETA 0:00"},
		{etaText(1e9, 100e6), "ETA 0:10"},
		{etaText(math.MaxUint64, 1), "ETA -"},
		{clockText(59*time.Minute + 59*time.Second), "59:59"},
		{clockText(time.Hour + 2*time.Minute + 3*time.Second), "1:02:03"},
		{countText(1, "client"), "1 client"},
		{countText(0, "client"), "0 clients"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
