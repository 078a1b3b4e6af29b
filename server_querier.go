package multiserver

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"multiserver/internal/udp"
)

// interfaceInterval is how often keepGroups looks which interface is served.
const interfaceInterval = time.Second

// keepGroups keeps switches from forgetting the groups of the interfaces that are
// served, until ctx ends. Over IPv6 it does nothing: MLD's queries are left to routers.
func (r *serverRun) keepGroups(ctx context.Context) error {
	tick := time.NewTicker(interfaceInterval)
	defer tick.Stop()
	stops := map[string]func(){} // by interface
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	warned := false
	for !r.cfg.Group.Is6() {
		served := strings.FieldsFunc(r.Stats().Interface, func(c rune) bool { return c == ',' || c == ' ' })
		for _, name := range served {
			if stops[name] != nil {
				continue
			}
			var err error
			if stops[name], err = r.keepGroupsOf(ctx, name); err != nil && !warned {
				warned = true
				r.cfg.Log.Warn(withoutQueries(err), "interface", name, "err", err)
			}
		}
		for name, stop := range stops {
			if !slices.Contains(served, name) {
				stop()
				delete(stops, name)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// keepGroupsOf runs a querier on the interface of that name until stop, which waits for
// its end, is called or ctx ends. The loopback needs none: there is no switch.
func (r *serverRun) keepGroupsOf(ctx context.Context, name string) (stop func(), err error) {
	stop = func() {}
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
			r.cfg.Log.Warn(withoutQueries(err), "interface", name, "err", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}, nil
}

// withoutQueries says what it means that a querier failed with err.
func withoutQueries(err error) string {
	const meaning = "no IGMP queries from here: switches that snoop may forget the group after some minutes"
	if errors.Is(err, os.ErrPermission) {
		return meaning + "; run as root or with CAP_NET_RAW"
	}
	return meaning
}
