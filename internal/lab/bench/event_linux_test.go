package main

import (
	"strings"
	"testing"
	"time"

	"multiserver/internal/lab"
)

// measureOurs has our programs do a row.
func measureOurs(t *testing.T, change func(*row)) (figures, error) {
	t.Helper()
	b := newBench(t)
	change(&b.row)
	results, err := b.measure(t.Context(), []system{multiserverSystem(ours, lab.BuildOnce(t))})
	if len(results) != 1 || results[0].failed == (err == nil) {
		t.Fatalf("results %+v, error %v", results, err)
	}
	return results[0].median, err
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name     string
		event    event
		finishes bool // the last client
	}{
		{"killed", event{at: 0.5, do: killLast}, false},
		{"stopped", event{at: 0.5, do: stopLast}, false},
		{"joined", event{at: 0.5, do: startLast, startsLast: true}, true},
		{"restarted", event{at: 0.5, do: restartServer(100 * time.Millisecond)}, true},
		{"killed and started again", event{at: 0.5, do: restartLast}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := measureOurs(t, func(r *row) { r.during = &c.event })
			if err != nil {
				t.Fatal(err)
			}
			if f.othersSeconds <= 0 || f.othersSeconds > f.wallSeconds || (f.lastSeconds > 0) != c.finishes || f.clientPeakBytes < 1<<20 {
				t.Errorf("%+v", f)
			}
			if again := c.name == "killed and started again"; (f.rest > 0) != again || f.rest >= f.sent {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestEventThatDoesNotCome(t *testing.T) {
	_, err := measureOurs(t, func(r *row) { r.during = &event{at: 1000, do: killLast} })
	if err == nil || !strings.Contains(err.Error(), "ended before 1000 of the image was sent") {
		t.Errorf("error %v", err)
	}
}

func TestPipeRow(t *testing.T) {
	const bytesPerSec = 16 << 20
	f, err := measureOurs(t, func(r *row) { r.pipeBytesPerSec = []float64{0, bytesPerSec} })
	if err != nil {
		t.Fatal(err)
	}
	// What the pipe holds and the burst are in it at the end.
	if least := float64(16<<20-2*pipeReadBytes)/bytesPerSec - pipeBurst.Seconds(); f.lastSeconds < least || f.othersSeconds <= 0 {
		t.Errorf("%+v, want at least %v s of the last", f, least)
	}
}

func TestSparseRow(t *testing.T) {
	f, err := measureOurs(t, func(r *row) {
		r.sizeBytes = 1 << 30
		r.extents = []lab.Extent{{OffsetBytes: 512<<20 + 1, SizeBytes: 2 << 20}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.sent > 0.1 {
		t.Errorf("%+v", f)
	}
}
