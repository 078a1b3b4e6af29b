package packed

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"multiserver/internal/block"
)

// workers is how many goroutines encode or decode.
func workers() int { return runtime.GOMAXPROCS(0) }

// inOrder calls work for each of count blocks, in parallel, and take with the results, in order
// and on one goroutine. newWorker makes what one worker's calls share. It returns the first error,
// after all goroutines have ended.
func inOrder[W, R any](ctx context.Context, count uint32, newWorker func() W, work func(W, block.ID) (R, error), take func(block.ID, R) error) error {
	type job struct {
		id     block.ID
		result chan R // room for one: a worker never waits for the taker
	}
	group, ctx := errgroup.WithContext(ctx)
	// The first goroutine sends to both and closes both. Results wait in pending, two a
	// worker: so that one block that takes long does not stop the others.
	jobs, pending := make(chan job), make(chan job, 2*workers())
	group.Go(func() error {
		defer close(jobs)
		defer close(pending)
		for id := range block.ID(count) {
			j := job{id, make(chan R, 1)}
			select {
			case pending <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers() {
		group.Go(func() error {
			w := newWorker()
			for j := range jobs {
				r, err := work(w, j.id)
				if err != nil {
					return err
				}
				j.result <- r
			}
			return nil
		})
	}
	group.Go(func() error {
		for j := range pending {
			select {
			case r := <-j.result:
				if err := take(j.id, r); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}
