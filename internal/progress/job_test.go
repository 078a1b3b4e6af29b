package progress

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// playJob is play for a job.
func playJob(opts Options, err error, states ...JobStats) {
	now := noon
	r := New(opts)
	r.now = func() time.Time { return now }
	var stats JobStats
	r.subject = &jobSubject{read: func() JobStats { return stats }, clock: r.now, started: noon}
	r.stop, r.ended = make(chan struct{}), make(chan struct{})
	close(r.ended)
	for i, s := range states {
		stats, now = s, noon.Add(time.Duration(i)*5*time.Second)
		r.step(now)
	}
	r.End(err, 0)
}

func TestJob(t *testing.T) {
	at := func(phase string, done, stored uint64) JobStats {
		return JobStats{Phase: phase, Name: "a.img", SizeBytes: 4e9, BytesDone: done, PackedBytes: stored, Ended: "a.img is packed into b.zst"}
	}
	states := []JobStats{at("packing", 0, 0), at("packing", 1e9, 3e8), at("packing", 4e9, 1e9), at("verifying", 2e9, 1e9), at("verifying", 4e9, 1e9)}
	var out bytes.Buffer
	playJob(Options{Program: "multiserver", Stderr: &out}, nil, states...)
	const want = `multiserver: 0.0%, packing, 0.0 MB/s, ETA -, 0 B of 4.0 GB
multiserver: 25.0%, packing, 200.0 MB/s, ETA 0:15, 1.0 GB of 4.0 GB, 300 MB packed
multiserver: 100.0%, packing, 600.0 MB/s, ETA 0:00, 4.0 GB of 4.0 GB, 1.0 GB packed
multiserver: 50.0%, verifying, 0.0 MB/s, ETA -, 2.0 GB of 4.0 GB, 1.0 GB packed
multiserver: 100.0%, verifying, 400.0 MB/s, ETA 0:00, 4.0 GB of 4.0 GB, 1.0 GB packed
multiserver: a.img is packed into b.zst: 4000000000 bytes (4.0 GB, 3.7 GiB) in 1000000000 bytes, 4.00 : 1, 20.0 s, 200.0 MB/s
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	out.Reset()
	playJob(Options{Program: "multiserver", Stderr: &out, Quiet: true}, errors.New("no room"), states...)
	if got := out.String(); got != "multiserver: no room\n" {
		t.Errorf("quiet and failed: %q", got)
	}
	out.Reset()
	playJob(Options{Program: "multiserver", Stderr: &out, Records: &out}, nil, states[1])
	const record = `"phase":"packing","name":"a.img","size_bytes":4000000000,"bytes_done":1000000000,"packed_bytes":300000000,`
	if got := out.String(); !bytes.Contains(out.Bytes(), []byte(record)) || !bytes.Contains(out.Bytes(), []byte(`"event":"done"`)) {
		t.Errorf("as objects: %s", got)
	}
}
