package host

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"

	"multiserver/internal/udp"
)

// owner is a part of the server that sends on an interface.
type owner int

const (
	mxb2 owner = iota
	mxb1Owner
	owners
)

// queriers records which interfaces are served, and by which owners.
type queriers struct {
	log *slog.Logger
	// changed goes from serve to runQueriers. It has room for one: runQueriers then looks at
	// all interfaces.
	changed chan struct{}

	mu     sync.Mutex // guards served
	served [owners][]int
}

func newQueriers(log *slog.Logger) *queriers {
	return &queriers{log: log, changed: make(chan struct{}, 1)}
}

// serve records the interfaces that an owner sends on from now on.
func (q *queriers) serve(o owner, interfaces []int) {
	q.mu.Lock()
	q.served[o] = interfaces
	q.mu.Unlock()
	select {
	case q.changed <- struct{}{}:
	default: // it has not looked yet
	}
}

// interfaces returns all interfaces that are served.
func (q *queriers) interfaces() (all []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, each := range q.served {
		all = append(all, each...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// runQueriers keeps switches from forgetting the groups on the interfaces that are served,
// until ctx ends. Over IPv6 it does nothing: MLD's queries are left to routers.
func (h *Host) runQueriers(ctx context.Context) error {
	stops := map[int]func(){} // by interface
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	warned := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.queriers.changed:
		}
		if h.cfg.Group.Is6() {
			continue
		}
		served := h.queriers.interfaces()
		for _, each := range served {
			if stops[each] != nil {
				continue
			}
			var err error
			if stops[each], err = h.queriers.start(ctx, each); err != nil && !warned {
				warned = true
				h.cfg.Log.Warn(withoutQueries(err), "interface", udp.InterfaceName(each), "err", err)
			}
		}
		for each, stop := range stops {
			if !slices.Contains(served, each) {
				stop()
				delete(stops, each)
			}
		}
	}
}

// start runs a querier on an interface until stop, which waits for its end, is called or
// ctx ends. The loopback needs none: there is no switch.
func (q *queriers) start(ctx context.Context, ifIndex int) (stop func(), err error) {
	stop = func() {}
	name := udp.InterfaceName(ifIndex)
	i, err := udp.InterfaceByName(name)
	if err != nil || i.Loopback {
		return stop, err
	}
	querier, err := udp.NewQuerier(i, udp.QueryInterval)
	if err != nil {
		return stop, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{}) // closed by the goroutine below
	go func() {
		defer close(ended)
		if err := querier.Run(ctx); ctx.Err() == nil {
			q.log.Warn(withoutQueries(err), "interface", name, "err", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}, nil
}

// withoutQueries is the warning for a querier that failed with err.
func withoutQueries(err error) string {
	const meaning = "no IGMP queries from here: switches that snoop may forget the group after some minutes"
	if errors.Is(err, os.ErrPermission) {
		return meaning + "; run as root or with CAP_NET_RAW"
	}
	return meaning
}
