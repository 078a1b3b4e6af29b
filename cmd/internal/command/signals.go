package command

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals returns a context that ends at the first SIGINT, SIGTERM or SIGHUP, which is its
// cause then; a second one ends the program at once, as it would without us. received returns the
// first, nil before it. A signal that was ignored at the start, as by nohup, stays
// ignored. Call release at the end.
func Signals(ctx context.Context) (inner context.Context, received func() os.Signal, release func()) {
	inner, cancel := context.WithCancelCause(ctx)
	// One signal may wait: the first is all that counts.
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	var first atomic.Value // os.Signal
	go func() {
		select {
		case s := <-signals:
			first.Store(s)
			signal.Stop(signals)
			cancel(bySignal{s})
		case <-inner.Done():
			signal.Stop(signals)
		}
	}()
	received = func() os.Signal {
		s, _ := first.Load().(os.Signal)
		return s
	}
	return inner, received, func() { cancel(nil) }
}

// bySignal is the cause of a context that a signal ended; the server is told it.
type bySignal struct{ signal os.Signal }

func (b bySignal) Error() string {
	if s, ok := b.signal.(syscall.Signal); ok && unix.SignalName(s) != "" {
		return "ended by " + unix.SignalName(s)
	}
	return "ended by a signal: " + b.signal.String()
}

func (bySignal) Unwrap() error { return context.Canceled }

// SurviveReaders makes a write to stdout or stderr whose reader went away an error like
// others: lines are not worth a disk that is half written. Unlike with signal.Ignore, the
// commands that are started have SIGPIPE as ever.
func SurviveReaders() {
	// The error of the write says it all: nobody reads this channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}
