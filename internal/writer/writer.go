package writer

import (
	"bytes"

	"multiserver/internal/block"
	"multiserver/internal/target"
)

// Config says what to write, and where. The functions are called on Run's goroutine. Prefix may be
// nil if the target takes any order, and Present if Compare is 0.
type Config struct {
	Target target.Target
	// SizeBytes is the image's size. UnitBytes is the size of a unit: a job of data has one
	// unit, a job of zeros one or more. The image's last unit may be shorter.
	SizeBytes, UnitBytes uint64
	// Queue is how many jobs are under way at most.
	Queue int
	// Remember keeps the digest of each run written, for Matches.
	Remember bool
	// Compare is how many of the first jobs of data are compared with Content before they are
	// written. The first that matches ends the comparison; it is not written, and Present
	// is called.
	Compare int
	Content target.ContentReader
	Present func()

	// Written gives a job back. If the target takes the image in order only, a job of zeros
	// may come back before it is written.
	Written func(Job)
	// Prefix reports how many units from the first on are written, if the target takes the
	// image in order only.
	Prefix func(units uint64)
	// Failed takes the first error.
	Failed func(error)
}

// Job is one part of the image to be written.
type Job struct {
	// Units of the image. Data has the bytes of one unit; if it is nil, they become zeros.
	Units block.Range
	Data  []byte
	// Parts are the ranges of Data that are written, ascending; nil means all.
	Parts []block.Range
	Tag   int // the caller's
}

// Writer writes to one target.
type Writer struct {
	cfg     Config
	inOrder bool
	units   uint64
	// jobs go from Submit to Run; Close closes it. It has room for Queue jobs, so that Submit
	// never waits.
	jobs    chan Job
	compare int
	failed  bool
	written digests
}

// New returns a Writer to a prepared target.
func New(cfg Config) *Writer {
	return &Writer{
		cfg: cfg, inOrder: target.InOrder(cfg.Target), compare: cfg.Compare,
		units: (cfg.SizeBytes + cfg.UnitBytes - 1) / cfg.UnitBytes,
		jobs:  make(chan Job, cfg.Queue),
	}
}

// Submit hands a job over. Its memory is the Writer's until Written.
func (w *Writer) Submit(j Job) { w.jobs <- j }

// Waiting is the count of jobs that Run has not begun.
func (w *Writer) Waiting() int { return len(w.jobs) }

// Close ends Run after the last job.
func (w *Writer) Close() { close(w.jobs) }

// Run writes until Close.
func (w *Writer) Run() {
	if w.inOrder {
		w.runInOrder()
		return
	}
	for j := range w.jobs {
		w.put(j)
		w.cfg.Written(j)
	}
}

// runInOrder writes jobs in order: other jobs wait. Zeros take no memory while they wait.
func (w *Writer) runInOrder() {
	zeros := block.NewSet(w.units)
	waiting := map[uint64]Job{}
	next := uint64(0)
	for j := range w.jobs {
		if j.Data == nil {
			zeros.Add(j.Units)
			w.cfg.Written(j)
		} else {
			waiting[j.Units.Lo] = j
		}
		for next < w.units {
			if data, ok := waiting[next]; ok {
				w.put(data)
				delete(waiting, next)
				next++
				w.cfg.Written(data)
				w.cfg.Prefix(next)
			} else if run, ok := zeros.Next(next); ok && run.Lo == next {
				w.put(Job{Units: run})
				next = run.Hi
				w.cfg.Prefix(next)
			} else {
				break
			}
		}
	}
}

// put writes one job, unless an earlier one failed.
func (w *Writer) put(j Job) {
	if w.failed {
		return
	}
	if err := w.write(j); err != nil {
		w.failed = true
		w.cfg.Failed(err)
	}
}

func (w *Writer) write(j Job) error {
	off := j.Units.Lo * w.cfg.UnitBytes
	switch {
	case j.Data == nil:
		return w.cfg.Target.WriteZeros(off, min(j.Units.Hi*w.cfg.UnitBytes, w.cfg.SizeBytes)-off)
	case j.Parts == nil:
		return w.writeData(j.Data, off)
	}
	for _, part := range j.Parts {
		if err := w.writeData(j.Data[part.Lo:part.Hi], off+part.Lo); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) writeData(p []byte, off uint64) error {
	if w.compare > 0 {
		if w.compare--; w.isThere(p, off) {
			w.compare = 0
			w.cfg.Present()
			return nil
		}
	}
	if w.cfg.Remember {
		w.written.add(off, p)
	}
	return w.cfg.Target.WriteAt(p, off)
}

// isThere reports whether the target has these bytes at their place already.
func (w *Writer) isThere(p []byte, off uint64) bool {
	there := make([]byte, len(p))
	return w.cfg.Content.ReadAt(there, off) == nil && bytes.Equal(there, p)
}

// Matches reports whether p, read back at off, is what was written there: all of it. It needs
// Config.Remember, and is called after Run has returned, by any number of goroutines.
func (w *Writer) Matches(off uint64, p []byte) bool { return w.written.match(off, p) }
