package multiserver

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"multiserver/internal/codec"
	"multiserver/internal/target"
)

// verifiers read a target back side by side, so that its device is never without a
// request.
const verifiers = 4

// finish waits until everything written has reached the device, verifies it if that is
// asked for, and lets the system read the partition table anew. right tells whether the
// bytes at an offset, step of them but for the image's end, are the image's.
func (c *Client) finish(ctx context.Context, out target.Target, step uint64, right func(off uint64, p []byte) bool) error {
	if err := out.Sync(); err != nil {
		return err
	}
	file, ok := out.(*target.File)
	if !ok {
		return nil
	}
	if c.cfg.Verify {
		c.update(func(st *ClientStats) { st.Phase = PhaseVerifying })
		if err := c.verify(ctx, file, step, right); err != nil {
			return err
		}
		c.update(func(st *ClientStats) { st.Verified = true })
	}
	if err := file.Reread(); err != nil {
		c.cfg.Log.Warn("the system did not read the new partition table; it will when it starts again", "err", err)
	}
	return nil
}

// verify reads the target back, past the page cache.
func (c *Client) verify(ctx context.Context, file *target.File, step uint64, right func(off uint64, p []byte) bool) error {
	back, err := file.ReadBack()
	if err != nil {
		return err
	}
	defer back.Close()
	size := c.Stats().SizeBytes
	var next atomic.Uint64
	wrong, firstWrong := uint64(0), size // guarded as the figures are
	errs := make([]error, verifiers)
	var work sync.WaitGroup
	for i := range errs {
		work.Go(func() {
			p := back.Buffer(int(step))
			for ctx.Err() == nil {
				off := next.Add(step) - step
				if off >= size {
					return
				}
				n := min(step, size-off)
				if errs[i] = back.ReadAt(p[:n], off); errs[i] != nil {
					next.Store(size)
					return
				}
				isRight := right(off, p[:n])
				c.update(func(st *ClientStats) {
					st.BytesVerified += n
					if !isRight {
						wrong, firstWrong = wrong+1, min(firstWrong, off)
					}
				})
			}
		})
	}
	work.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	if wrong > 0 {
		return fail(ErrTargetIO, "%s does not hold what was written: %d of %d parts of %d bytes read back otherwise, the first of them at offset %d; do not trust this disk",
			file.Name(), wrong, (size+step-1)/step, step, firstWrong)
	}
	return nil
}

// writtenRun is what was written at once, within one chunk of the gatherer.
type writtenRun struct {
	off    uint64
	n      uint32
	digest codec.Digest
}

// remembering notes the digest of each run that is written to a target, for images that
// come without digests.
type remembering struct {
	target.Target
	runs []writtenRun
}

// WriteAt writes and takes note.
func (r *remembering) WriteAt(p []byte, off uint64) error {
	r.runs = append(r.runs, writtenRun{off, uint32(len(p)), codec.Sum(p)})
	return r.Target.WriteAt(p, off)
}

// sort puts the runs into order, for right.
func (r *remembering) sort() {
	slices.SortFunc(r.runs, func(a, b writtenRun) int { return cmp.Compare(a.off, b.off) })
}

// right tells whether p, read at off, is what was written there: all of it.
func (r *remembering) right(off uint64, p []byte) bool {
	end := off + uint64(len(p))
	i, _ := slices.BinarySearchFunc(r.runs, off, func(w writtenRun, off uint64) int { return cmp.Compare(w.off, off) })
	for at := off; at < end; i++ {
		if i == len(r.runs) || r.runs[i].off != at || at+uint64(r.runs[i].n) > end {
			return false
		}
		w := r.runs[i]
		if codec.Sum(p[at-off:][:w.n]) != w.digest {
			return false
		}
		at += uint64(w.n)
	}
	return true
}
