package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"multiserver"
	"multiserver/internal/quote"
)

// countdown is the time that a person at a terminal has to end it before a disk is written.
const countdown = 5 * time.Second

// lastLook says what lies on a disk before the first byte of it is written. At a terminal it
// gives a person the time to end the program.
type lastLook struct {
	log   *slog.Logger
	level slog.Level // of its lines
	wait  bool       // at a terminal, unless --yes or --force say otherwise

	mu       sync.Mutex // guards what follows
	agreed   string     // the device that the countdown has passed for
	waiting  string     // for the end of the countdown, with how long that is; "" if it does not run
	deadline time.Time
}

// newLastLook returns one for the terminal that the program has, if it has one. The lines of a
// countdown are shown with --quiet too: it is no progress.
func newLastLook(o *options, log *slog.Logger) *lastLook {
	l := &lastLook{log: log, level: slog.LevelWarn}
	l.wait = term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())) && !o.yes && !o.config.Force
	if l.wait && o.output.Quiet {
		l.level = slog.LevelError
	}
	return l
}

// beforeWrite is a ClientConfig.BeforeWrite. A disk that was agreed to is not asked for again by
// the next try.
func (l *lastLook) beforeWrite(ctx context.Context, p multiserver.Plan) error {
	device := p.Device()
	l.mu.Lock()
	agreed := l.agreed == device
	l.mu.Unlock()
	if p.Blank || agreed {
		return nil
	}
	if !l.wait {
		l.log.Log(ctx, l.level, quote.Line("all that is on "+device+" will be lost: "+strings.Join(p.Holds(), "; ")))
		l.agree(device)
		return nil
	}
	l.log.Log(ctx, l.level, quote.Line("all that is on "+device+" will be lost:"))
	for _, line := range p.Holds() {
		l.log.Log(ctx, l.level, quote.Line("  "+line))
	}
	l.log.Log(ctx, l.level, fmt.Sprintf("writing begins in %s; Ctrl-C ends this before a byte is written (--yes does not wait)", countdown))
	l.mu.Lock()
	l.waiting, l.deadline = quote.Name(p.Output), time.Now().Add(countdown)
	l.mu.Unlock()
	timer := time.NewTimer(countdown)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	l.agree(device)
	return nil
}

func (l *lastLook) agree(device string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agreed, l.waiting = device, ""
}

// remaining is what a display says while the countdown runs, and "" otherwise.
func (l *lastLook) remaining(now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == "" {
		return ""
	}
	left := max(0, l.deadline.Sub(now)+time.Second-1) / time.Second
	return fmt.Sprintf("writing to %s begins in %d s; Ctrl-C ends this before", l.waiting, left)
}

// untouched is the device whose countdown was ended, "" if none was.
func (l *lastLook) untouched() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}
