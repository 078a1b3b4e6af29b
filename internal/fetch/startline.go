package fetch

import (
	"context"
	"sync"

	"multiserver/internal/target"
)

// startLine keeps everything from the target until it may be touched and is prepared. The writer
// and the readers of the old content wait there.
type startLine struct {
	cfg      *Config
	content  *heldContent    // nil if nothing there can be of use
	prepared chan struct{}   // prepare closes it
	trusted  <-chan struct{} // closed when what arrives is known to be signed; nil: it need not be
	ended    chan struct{}   // the session closes it: who still waits then, does nothing
}

// heldContent is what the target held, unless that could not be put on the device.
type heldContent struct {
	target.ContentReader
	lost error // set before the start line is crossed
}

// ReadAt fails if what it would read may not be what the device holds.
func (c *heldContent) ReadAt(p []byte, off uint64) error {
	if c.lost != nil {
		return c.lost
	}
	return c.ContentReader.ReadAt(p, off)
}

// newStartLine returns the line of cfg's target.
func newStartLine(cfg *Config, trusted <-chan struct{}) *startLine {
	l := &startLine{cfg: cfg, trusted: trusted, prepared: make(chan struct{}), ended: make(chan struct{})}
	if held := target.Content(cfg.Target); held != nil && !cfg.Fresh {
		l.content = &heldContent{ContentReader: held}
	}
	return l
}

// held is the old content as the parts take it: nil if nothing there can be of use.
func (l *startLine) held() target.ContentReader {
	if l.content == nil {
		return nil
	}
	return l.content
}

// prepare prepares the target once settled is closed, what arrives is trusted, and Config.Confirm
// agrees. An error goes to
// fail. All of it may take long, and the session goes on meanwhile.
func (l *startLine) prepare(ctx context.Context, settled <-chan struct{}, done chan<- event, fail func(error)) {
	select {
	case <-settled:
	case <-l.ended:
		return
	}
	if !l.awaitTrust(ctx) || ctx.Err() != nil {
		return
	}
	if err := l.confirm(ctx); err != nil {
		fail(err)
		return
	}
	done <- offerStands{}
	offer := &l.cfg.Offer
	if err := l.cfg.Target.Prepare(offer.SizeBytes, offer.SectorSize()); err != nil {
		fail(err)
		return
	}
	if l.content != nil {
		if l.content.lost = l.content.FlushCache(); l.content.lost != nil {
			l.cfg.Log.Debug("what the target holds is not looked at", "err", l.content.lost)
		}
	}
	close(l.prepared)
	done <- targetPrepared{}
}

// confirm asks Config.Confirm, for as long as the session lasts.
func (l *startLine) confirm(ctx context.Context) error {
	if l.cfg.Confirm == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return l.cfg.Confirm(ctx)
}

// behind runs work on a goroutine once the target is prepared, if that is so before the session
// ends.
func (l *startLine) behind(group *sync.WaitGroup, work func()) {
	group.Go(func() {
		select {
		case <-l.prepared:
			work()
		case <-l.ended:
		}
	})
}
