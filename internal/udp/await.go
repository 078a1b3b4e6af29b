package udp

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// awaitInterval is how often interfaces are listed while none can be used.
const awaitInterval = 200 * time.Millisecond

// Await says which interfaces to wait for.
type Await struct {
	Name  string // the only one to use; "" for any
	Group netip.Addr
	// Limit ends the waiting; 0 is none.
	Limit time.Duration
	// Tell is called when what is waited for changes. It may be nil.
	Tell func(waiting string)
	// List is ListCandidates, if it is nil. Tests alone set it.
	List func(name string, group netip.Addr) (Candidates, error)
}

// NotReadyError is returned by Await.Interfaces if no interface could be used within the limit.
type NotReadyError struct {
	Limit   time.Duration
	Waiting string // what the interfaces lack
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("no network for %s: %s", e.Limit, e.Waiting)
}

// Interfaces returns the interfaces that can be used, once there is one. The error is a
// *NotReadyError, or ctx's.
func (a *Await) Interfaces(ctx context.Context) ([]Interface, error) {
	list := a.List
	if list == nil {
		list = ListCandidates
	}
	told := ""
	start := time.Now()
	for {
		c, err := list(a.Name, a.Group)
		if err == nil && len(c.Ready) > 0 {
			return c.Ready, nil
		}
		waiting := strings.Join(c.Waiting, ", ")
		if err != nil {
			waiting = err.Error()
		}
		if a.Limit > 0 && time.Since(start) > a.Limit {
			return nil, &NotReadyError{a.Limit, waiting}
		}
		if waiting != told && a.Tell != nil {
			a.Tell(waiting)
		}
		told = waiting
		wait := awaitInterval
		if a.Limit > 0 {
			wait = min(wait, max(time.Until(start.Add(a.Limit)), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}
