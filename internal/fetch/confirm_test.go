package fetch

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestConfirm: until Confirm agrees the client receives all of the image and does nothing to its
// target, and it does not blame the disk for that. If Confirm does not agree, its error ends the
// session; a session that ends otherwise ends Confirm.
func TestConfirm(t *testing.T) {
	no := errors.New("somebody said no")
	for _, c := range []struct {
		name    string
		answer  error
		stop    bool // end the session while Confirm is asked
		outcome wire.Outcome
	}{
		{"agreed", nil, false, wire.OutcomeDone},
		{"not agreed", no, false, wire.OutcomeFailed},
		{"ended by its user", context.Canceled, true, wire.OutcomeInterrupted},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 8, 1, 4)
			p.target.content = true
			before := bytes.Clone(p.target.image)
			received := make(chan struct{})
			seen := false
			p.report = func(r wire.Report) {
				p.heartbeat()
				if !seen && r.Backlog >= 6 && r.Counts.Received > 0 { // all but the blocks of zeros
					seen = true
					if r.Limit == wire.LimitDisk {
						t.Error("it blames the disk")
					}
					close(received)
				}
			}
			_, err := p.run(func() { p.sendImage(); p.sendManifest() }, func(cfg *Config) {
				cfg.Offer.Session.ReportInterval = 20 * time.Millisecond
				cfg.Confirm = func(ctx context.Context) error {
					<-received
					if did := p.target.done(); len(did) > 0 || !bytes.Equal(p.target.image, before) {
						t.Errorf("before it was agreed to it did %q", did)
					}
					if c.stop {
						p.cancel()
						<-ctx.Done()
						return ctx.Err()
					}
					return c.answer
				}
			})
			if !errors.Is(err, c.answer) || p.goodbye.Outcome != c.outcome {
				t.Errorf("it ended with %v, and said goodbye with %v", err, p.goodbye.Outcome)
			}
			if did := p.target.done(); c.answer != nil && (len(did) > 0 || !bytes.Equal(p.target.image, before)) {
				t.Errorf("it did %q", did)
			}
			if c.answer == nil && !bytes.Equal(p.target.image, p.image) {
				t.Error("the target is not the image")
			}
		})
	}
}

// TestConfirmEndsWithSession: a session that ends, here for a server that is gone, ends the question
// too.
func TestConfirmEndsWithSession(t *testing.T) {
	p := newPeer(t, 4)
	_, err := p.run(func() {}, func(cfg *Config) {
		cfg.SilenceLimit = 300 * time.Millisecond
		cfg.Confirm = func(ctx context.Context) error {
			p.conn.Close() // it answers nothing any more
			<-ctx.Done()
			return ctx.Err()
		}
	})
	if err == nil || len(p.target.done()) > 0 {
		t.Errorf("%v; it did %q", err, p.target.done())
	}
}
