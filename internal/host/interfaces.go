package host

import (
	"context"
	"slices"
	"time"

	"multiserver/internal/udp"
)

// interfacesInterval is how often the interfaces are looked at.
const interfacesInterval = 500 * time.Millisecond

// interfaces are those that clients may ask on, as they come and go. One goroutine owns it.
type interfaces struct {
	ready  []udp.Interface   // at the last look
	lacked map[string]string // what those lack that were ready once
}

// change is what a look at the interfaces has shown of one.
type change struct {
	iface udp.Interface // as it is now; as it was, if it lacks something
	was   udp.Interface // its zero value if it was not ready before
	lacks string        // "" if nothing
}

// look compares the interfaces with those of the last look.
func (i *interfaces) look(now udp.Candidates) (changes []change) {
	named := func(all []udp.Interface, name string) (udp.Interface, bool) {
		at := slices.IndexFunc(all, func(each udp.Interface) bool { return each.Name == name })
		if at < 0 {
			return udp.Interface{}, false
		}
		return all[at], true
	}
	for _, each := range now.Ready {
		was, known := named(i.ready, each.Name)
		lacks := now.Lacks(each.Name)
		if !known || !each.Same(was) || lacks != i.lacked[each.Name] {
			changes = append(changes, change{each, was, lacks})
		}
		i.lacked[each.Name] = lacks
		i.ready = append(slices.DeleteFunc(i.ready, func(one udp.Interface) bool { return one.Name == each.Name }), each)
	}
	for _, was := range i.ready {
		if _, ready := named(now.Ready, was.Name); ready || was.Loopback {
			continue // the loopback goes when another interface is up
		}
		if lacks := now.Lacks(was.Name); lacks != i.lacked[was.Name] {
			i.lacked[was.Name] = lacks
			changes = append(changes, change{was, was, lacks})
		}
	}
	return changes
}

// followInterfaces listens on interfaces that come, and goes on with what changes, until ctx ends.
func (h *Host) followInterfaces(ctx context.Context) error {
	list := h.cfg.List
	if list == nil {
		list = func() (udp.Candidates, error) { return udp.ListCandidates(h.cfg.Interface, h.cfg.Group) }
	}
	seen := interfaces{ready: slices.Clone(h.cfg.Interfaces), lacked: map[string]string{}}
	tick := time.NewTicker(interfacesInterval)
	defer tick.Stop()
	for {
		if found, err := list(); err == nil {
			for _, c := range seen.look(found) {
				h.handleChange(c)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// handleChange goes on after a change of an interface. What is sent looks for the address to send
// from itself.
func (h *Host) handleChange(c change) {
	log := h.cfg.Log
	if c.lacks != "" {
		log.Warn("this machine's network is interrupted: " + c.lacks + "; clients there are not served until it is back")
		return
	}
	if err := h.conn.Rejoin(c.iface); err != nil {
		log.Warn("cannot listen on an interface as it is now", "interface", c.iface.Name, "err", err)
	}
	if c.was.Index == 0 {
		log.Info("listening on " + c.iface.Name + " too")
		return
	}
	log.Info("this machine's network has changed; going on", "interface", c.iface.Name, "addresses", c.iface.Addrs)
	if c.was.Index != c.iface.Index && h.cfg.Interface != "" {
		if h.session != nil {
			h.session.UseInterface(c.iface.Index)
		}
		if h.legacy != nil {
			h.legacy.UseInterface(c.iface.Index)
		}
	}
}
