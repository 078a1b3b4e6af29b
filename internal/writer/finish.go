package writer

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"multiserver/internal/account"
	"multiserver/internal/failure"
	"multiserver/internal/quote"
	"multiserver/internal/target"
)

// readers is the count of goroutines that read a target back, so that its device always has a
// request.
const readers = 4

// Ending says how to finish a target that has the whole image.
type Ending struct {
	Target    target.Target
	SizeBytes uint64
	Verify    bool
	// StepBytes are read back at once: a multiple of 1 MiB, or the image's block size.
	// Matches reports whether the bytes read at an offset are the image's. Several
	// goroutines call it.
	StepBytes uint64
	Matches   func(off uint64, p []byte) bool
	Account   *account.Client
	Log       *slog.Logger
}

// Finish syncs the target and, if requested, reads it back. Then it looks at what lies behind the
// image, and has the system read the partition table again.
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
	if err := e.finishRest(); err != nil {
		return err
	}
	if p, ok := e.Target.(target.Partitioned); ok {
		if err := p.Reread(); err != nil {
			e.Log.Warn("the system did not read the new partition table; it will when it starts again", "err", err)
		}
	}
	return nil
}

// finishRest takes care of what lies behind the image on a larger target. What it alters was
// verified before.
func (e *Ending) finishRest() error {
	larger, ok := e.Target.(target.Larger)
	if !ok {
		return nil
	}
	r, err := larger.FinishRest()
	for _, done := range r.Done {
		e.Log.Info(done)
	}
	e.Account.Update(func(f *account.Figures) { f.AlteredBytes, f.CutBytes = r.AlteredBytes, r.CutBytes })
	if err != nil {
		return err
	}
	if r.Found != "" {
		e.Log.Warn("old signatures lie behind the image on "+e.Target.Name()+", and tools such as blkid may take the disk for what they name: "+r.Found,
			"advice", "ClientConfig.WipeRest clears them")
	}
	for _, advice := range r.Advice {
		e.Log.Warn(advice)
	}
	return nil
}

// verify reads the target back, past the page cache.
func (e *Ending) verify(ctx context.Context) error {
	v, ok := e.Target.(target.Verifiable)
	if !ok {
		return failure.New(failure.ErrConfig, "%s cannot be read back", quote.Name(e.Target.Name()))
	}
	back, err := v.ReadBack()
	if err != nil {
		return err
	}
	defer back.Close()
	var next atomic.Uint64
	var mu sync.Mutex // guards the two
	wrong, firstWrong := uint64(0), e.SizeBytes
	held := e.SizeBytes - target.CutBytes(e.Target)
	errs := make([]error, readers)
	var work sync.WaitGroup
	for i := range errs {
		work.Go(func() {
			p := back.Buffer(int(e.StepBytes))
			for ctx.Err() == nil {
				off := next.Add(e.StepBytes) - e.StepBytes
				if off >= held { // what comes behind it was verified and not written
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
				e.Account.Update(func(f *account.Figures) { f.BytesVerified += min(n, held-off) })
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
		return failure.New(target.ErrIO, "%s does not hold what was written: %d of %d parts of %d bytes read back differently, the first of them at offset %d; do not trust this disk",
			quote.Name(e.Target.Name()), wrong, (e.SizeBytes+e.StepBytes-1)/e.StepBytes, e.StepBytes, firstWrong)
	}
	return nil
}
