package command

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// Signals returns a context that ends at the first SIGINT, SIGTERM or SIGHUP; a
// second one ends the program at once, as it would without us. received returns the
// first, nil before it. A signal that was ignored at the start, as by nohup, stays
// ignored. Call release at the end.
func Signals(ctx context.Context) (inner context.Context, received func() os.Signal, release func()) {
	inner, cancel := context.WithCancel(ctx)
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
			cancel()
		case <-inner.Done():
			signal.Stop(signals)
		}
	}()
	received = func() os.Signal {
		s, _ := first.Load().(os.Signal)
		return s
	}
	return inner, received, cancel
}
