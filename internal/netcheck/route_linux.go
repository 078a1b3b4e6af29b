package netcheck

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is the index of the interface that the routing table sends packets to addr by;
// 0 if it has no route. It fails if the table does not tell.
func Route(addr netip.Addr) (ifIndex int, err error) {
	routes, err := netlink.RouteGet(addr.AsSlice())
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return 0, nil
	case err != nil:
		return 0, err
	case len(routes) == 0:
		return 0, nil
	}
	return routes[0].LinkIndex, nil
}

// Queue is the kind of the queue that an interface sends by, such as fq_codel; "noqueue"
// if it has none, so that nothing slows a sender down. It is "" if that is not known.
func Queue(ifIndex int) string {
	queues, err := netlink.QdiscList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifIndex}})
	if err != nil {
		return ""
	}
	for _, each := range queues {
		if each.Attrs().Parent == netlink.HANDLE_ROOT {
			return each.Type()
		}
	}
	return ""
}
