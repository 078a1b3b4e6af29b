package target

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/memory"
)

// writebackBytes is how much is written before the kernel is told to write it to the device.
// docs/benchmarks.md has the figures. Where memory is little it is one in writebackShare of what is
// available, leastWritebackBytes at least: dirty pages count, in a control group too.
const (
	writebackBytes      = 8 << 20
	leastWritebackBytes = 1 << 20
	writebackShare      = 16
	// fitEvery is how often the memory is looked at.
	fitEvery = time.Second
)

// writeback keeps the disk busy while data arrives, and the page cache small: at most two
// batches are dirty at any time, and clean pages are dropped.
type writeback struct {
	fd       int
	disabled bool
	batch    uint64    // bytes that are dirty before they are sent on; 0 at first
	fitted   time.Time // when the batch was last adapted
	dirty    extent    // written, not yet sent on
	sent     extent    // on its way
}

// pending is the extent that may not be on the device yet.
func (w *writeback) pending() extent {
	switch {
	case w.sent.n == 0:
		return w.dirty
	case w.dirty.n == 0:
		return w.sent
	}
	return extent{min(w.sent.lo, w.dirty.lo), max(w.sent.hi, w.dirty.hi), w.sent.n + w.dirty.n}
}

// wrote records n written bytes at off. Its errors are the device's, from somewhere in the
// pending extent. It returns none if the file does not support this.
func (w *writeback) wrote(off, n uint64) error {
	d := &w.dirty
	if d.n == 0 {
		d.lo, d.hi = off, off
	}
	d.lo, d.hi, d.n = min(d.lo, off), max(d.hi, off+n), d.n+n
	if w.batch == 0 {
		w.fit()
	}
	if d.n < w.batch || w.disabled {
		return nil
	}
	// This wait consumes the error of a page that could not be written; fsync would not
	// report it again.
	err := w.sync(*d, unix.SYNC_FILE_RANGE_WRITE)
	if err == nil && w.sent.n != 0 {
		err = w.sync(w.sent, unix.SYNC_FILE_RANGE_WRITE_AND_WAIT)
	}
	if err == nil && w.sent.n != 0 {
		// Reused memory is cheaper than fresh memory. It is no failure if the pages stay.
		unix.Fadvise(w.fd, int64(w.sent.lo), int64(w.sent.hi-w.sent.lo), unix.FADV_DONTNEED)
	}
	switch {
	case err == nil:
		w.sent, w.dirty = w.dirty, extent{}
		w.fit()
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESPIPE), errors.Is(err, unix.EPERM):
		w.disabled = true
		return nil
	}
	return err
}

// fit adapts the batch to the memory that there is now, once in a while.
func (w *writeback) fit() {
	if time.Since(w.fitted) < fitEvery {
		return
	}
	w.fitted = time.Now()
	w.batch = memory.Share(memory.Available(), writebackShare, leastWritebackBytes, writebackBytes)
}

func (w *writeback) sync(e extent, flags int) error {
	for {
		err := unix.SyncFileRange(w.fd, int64(e.lo), int64(e.hi-e.lo), flags)
		if err != unix.EINTR {
			return err
		}
	}
}
