package progress

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"
)

// unknown stands for a figure that cannot be told yet.
const unknown = "-"

// maxETA is the longest time left that is worth a figure.
const maxETA = 100 * time.Hour

// sizeText gives a size as "4.3 GB", with decimal prefixes.
func sizeText(sizeBytes uint64) string { return humanize.Bytes(sizeBytes) }

// exactSizeText gives a size as dd does: "4294967296 bytes (4.3 GB, 4.0 GiB)".
func exactSizeText(sizeBytes uint64) string {
	return fmt.Sprintf("%d bytes (%s, %s)", sizeBytes, humanize.Bytes(sizeBytes), humanize.IBytes(sizeBytes))
}

// rateText gives a rate in MB/s of 10^6 bytes, always in that unit, so that the
// figures of a column compare.
func rateText(bytesPerSec float64) string {
	return fmt.Sprintf("%.1f MB/s", bytesPerSec/1e6)
}

// meanRate is in bytes a second, 0 if no time has passed.
func meanRate(bytes uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) / d.Seconds()
}

// shareText gives done of total in per cent, rounded down: 100.0% is all of it.
func shareText(done, total uint64) string {
	if total == 0 {
		return unknown
	}
	return fmt.Sprintf("%.1f%%", math.Floor(float64(done)/float64(total)*1000)/10)
}

// timeLeft says how long the rest takes at a rate; ok is false if nobody knows.
func timeLeft(restBytes uint64, bytesPerSec float64) (left time.Duration, ok bool) {
	if bytesPerSec <= 0 {
		return 0, restBytes == 0
	}
	seconds := float64(restBytes) / bytesPerSec
	if seconds >= maxETA.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

func etaText(restBytes uint64, bytesPerSec float64) string {
	left, ok := timeLeft(restBytes, bytesPerSec)
	if !ok {
		return "ETA " + unknown
	}
	return "ETA " + clockText(left)
}

// clockText gives a duration as "0:05" or "1:02:03".
func clockText(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

func secondsText(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// countText gives "1 client", "2 clients".
func countText(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
