package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"multiserver"
	"multiserver/cmd/internal/command"
)

const (
	// longestPause is short beside the start of a server, and long beside the work that one
	// request makes for it.
	longestPause = time.Minute
	// forever is --retry without a number.
	forever = "forever"
	endless = -1
)

// firstPause comes before the second try; each pause is twice as long as the one before.
// A variable, so that tests need not wait.
var firstPause = 5 * time.Second

// parseRetries accepts how many tries may follow the first.
func parseRetries(s string) (int, error) {
	if s == forever {
		return endless, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, errors.New("want a number of tries, or " + forever)
	}
	return int(n), nil
}

// pause is how long to wait after so many failures. It is random within a tenth, so that
// machines that failed together do not all ask again at once.
func pause(failures int) time.Duration {
	p := min(firstPause<<min(failures-1, 10), longestPause)
	return p - p/10 + rand.N(p/5+1)
}

// retryable reports whether another try may succeed although nobody changes anything on this
// machine. A server may come, or come back, and a disk may appear. A target that was
// refused stays refused. What stdout took of an image cannot be taken back: reached is how
// far the try came.
func retryable(err error, toStdout bool, reached multiserver.ClientPhase) bool {
	if toStdout && reached != multiserver.PhaseFinding {
		return false
	}
	if errors.Is(err, multiserver.ErrNoDisk) { // its driver may come late
		return true
	}
	for _, final := range []error{multiserver.ErrConfig, multiserver.ErrTargetRefused, multiserver.ErrTargetIO} {
		if errors.Is(err, final) {
			return false
		}
	}
	return err != nil
}

// tries are Clients one after another, until one succeeds or no other may follow.
type tries struct {
	config  multiserver.ClientConfig
	dryRun  bool
	retries int // after the first; endless
	look    *lastLook

	mu     sync.Mutex // guards what follows
	client *multiserver.Client
	// found is the last state of the last Client that found a server.
	found   multiserver.ClientStats
	plan    multiserver.Plan // of a dry run that succeeded
	waiting string           // for the next try; "" while one is made
}

// run returns how the last try ended. started is called once there is a Client.
func (t *tries) run(ctx context.Context, started func()) error {
	for failures := 1; ; failures++ {
		config := t.config
		config.TriesAgain = func(err error) bool { return t.follows(err, failures, multiserver.PhaseFinding) }
		client, err := multiserver.NewClient(config)
		if err != nil {
			return err
		}
		t.set(func() { t.client, t.waiting = client, "" })
		if failures == 1 {
			started()
		}
		err = t.try(ctx, client)
		stats := client.Stats()
		if stats.Phase != multiserver.PhaseFinding {
			t.set(func() { t.found = stats })
		}
		if ctx.Err() != nil || !t.follows(err, failures, stats.Phase) {
			return err
		}
		p := pause(failures)
		again := fmt.Sprintf("try %d in %s", failures+1, p.Round(100*time.Millisecond))
		t.config.Log.Warn(fmt.Sprintf("%v; %s", err, again))
		t.set(func() { t.waiting = again })
		timer := time.NewTimer(p)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// follows reports whether another try follows one that failed, after so many failures.
func (t *tries) follows(err error, failures int, reached multiserver.ClientPhase) bool {
	return retryable(err, t.config.Stream != nil, reached) && (t.retries == endless || failures <= t.retries)
}

// try runs a Client, and lists the disks if it cannot tell which is meant.
func (t *tries) try(ctx context.Context, client *multiserver.Client) (err error) {
	if t.dryRun {
		t.plan, err = client.Plan(ctx)
	} else {
		err = client.Run(ctx)
	}
	var failed *multiserver.Error
	if errors.As(err, &failed) {
		for _, disk := range failed.Disks {
			t.config.Log.Error(disk) // half of what the refusal says
		}
	}
	return err
}

func (t *tries) set(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// stats is the state of the present try, for a reporter.
func (t *tries) stats() multiserver.ClientStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := command.FlagClientStats(t.client.Stats())
	switch remaining := t.look.remaining(time.Now()); {
	case t.waiting != "":
		stats.WaitingFor = t.waiting
	case remaining != "":
		stats.WaitingFor = remaining
	}
	return stats
}

// reached is the state of the last try that found a server, or of the last one if none
// did: what is on the target now.
func (t *tries) reached() multiserver.ClientStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.found.Phase != multiserver.PhaseFinding:
		return t.found
	case t.client != nil:
		return t.client.Stats()
	}
	return multiserver.ClientStats{}
}
