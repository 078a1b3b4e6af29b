package writer

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"multiserver/internal/account"
	"multiserver/internal/failure"
	"multiserver/internal/target"
)

// readers read a target back side by side, so that its device is never without a request.
const readers = 4

// Ending says how a target that has everything is finished.
type Ending struct {
	Target    target.Target
	SizeBytes uint64
	Verify    bool
	// StepBytes are read back at once, a multiple of 1 MiB or the size of the image's blocks,
	// and Matches reports whether what was read at an offset is the image. Several goroutines
	// call it.
	StepBytes uint64
	Matches   func(off uint64, p []byte) bool
	Account   *account.Client
	Log       *slog.Logger
}

// Finish returns after everything written has reached the device, was read back if that is asked
// for, and the system was asked to read the partition table again.
func (e *Ending) Finish(ctx context.Context) error {
	e.Account.Update(func(f *account.Figures) { f.Phase = account.Syncing })
	if err := e.Target.Sync(); err != nil {
		return err
	}
	if e.Verify {
		e.Account.Update(func(f *account.Figures) { f.Phase = account.Verifying })
		if err := e.verify(ctx); err != nil {
			return err
		}
		e.Account.Update(func(f *account.Figures) { f.Verified = true })
	}
	if p, ok := e.Target.(target.Partitioned); ok {
		if err := p.Reread(); err != nil {
			e.Log.Warn("the system did not read the new partition table; it will when it starts again", "err", err)
		}
	}
	return nil
}

// verify reads the target back, past the page cache.
func (e *Ending) verify(ctx context.Context) error {
	v, ok := e.Target.(target.Verifiable)
	if !ok {
		return failure.New(failure.Config, "%s cannot be read back", e.Target.Name())
	}
	back, err := v.ReadBack()
	if err != nil {
		return err
	}
	defer back.Close()
	var next atomic.Uint64
	var mu sync.Mutex // guards the two
	wrong, firstWrong := uint64(0), e.SizeBytes
	errs := make([]error, readers)
	var work sync.WaitGroup
	for i := range errs {
		work.Go(func() {
			p := back.Buffer(int(e.StepBytes))
			for ctx.Err() == nil {
				off := next.Add(e.StepBytes) - e.StepBytes
				if off >= e.SizeBytes {
					return
				}
				n := min(e.StepBytes, e.SizeBytes-off)
				if errs[i] = back.ReadAt(p[:n], off); errs[i] != nil {
					next.Store(e.SizeBytes)
					return
				}
				if !e.Matches(off, p[:n]) {
					mu.Lock()
					wrong, firstWrong = wrong+1, min(firstWrong, off)
					mu.Unlock()
				}
				e.Account.Update(func(f *account.Figures) { f.BytesVerified += n })
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
		return failure.New(target.ErrIO, "%s does not hold what was written: %d of %d parts of %d bytes read back otherwise, the first of them at offset %d; do not trust this disk",
			e.Target.Name(), wrong, (e.SizeBytes+e.StepBytes-1)/e.StepBytes, e.StepBytes, firstWrong)
	}
	return nil
}
