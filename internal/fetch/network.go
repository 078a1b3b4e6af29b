package fetch

import (
	"context"
	"fmt"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/discover"
	"multiserver/internal/twins"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// networkInterval is how often the session's interface is looked at.
const networkInterval = 250 * time.Millisecond

// network is this machine's side of the way to the server.
type network struct {
	lacks  string // what the client's interface lacks; "" if nothing
	unsent bool   // the last packet to the server found no network
}

// watchNetwork tells of each change of the interface that the stream comes in on, until ended is
// closed or ctx ends. list is udp.ListCandidates for that interface.
func watchNetwork(ctx context.Context, was udp.Interface, list func() (udp.Candidates, error), tell func(networkChanged), ended <-chan struct{}) {
	tick := time.NewTicker(networkInterval)
	defer tick.Stop()
	lacked := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-tick.C:
		}
		found, err := list()
		if err != nil {
			continue
		}
		lacks := found.Lacks(was.Name)
		now := was
		if len(found.Ready) > 0 {
			now = found.Ready[0]
		}
		if lacks != lacked || !now.Same(was) {
			tell(networkChanged{now, lacks})
		}
		was, lacked = now, lacks
	}
}

// handleNetwork goes on after a change of this client's interface. The control socket needs no
// change: it looks for the address to send from itself.
func (s *session) handleNetwork(n networkChanged) {
	s.network.lacks = n.lacks
	if n.lacks != "" {
		s.cfg.Log.Warn(s.lostNetwork() + "; waiting for it")
		return
	}
	s.useInterface(n.iface)
	s.reach.Moved(s.now())
	s.cfg.Log.Info("this machine's network has changed; going on", "interface", n.iface.Name, "addresses", fmt.Sprint(n.iface.Addrs))
}

// useInterface goes on with an interface as it is now.
func (s *session) useInterface(i udp.Interface) {
	offer := &s.cfg.Offer
	offer.IfIndex = i.Index
	if offer.AskFrom != 0 {
		offer.AskFrom = i.Index
	}
	if err := s.streams.rejoin(i); err != nil {
		s.cfg.Log.Debug("join the group on the interface as it is now", "interface", i.Name, "err", err)
	}
}

// isServers reports whether an answer is the server's. An answer from another address is, if
// nothing has come from the server's own for a while, and it is of the same session, or, if no
// host was named, of the same image: then the server's address has changed, and the session goes
// on there. So while the server is where it was, nobody else can take its place.
func (s *session) isServers(o *discover.Offer) bool {
	offer, d := &s.cfg.Offer, &s.description
	if o.Server == offer.Server && (o.IfIndex == offer.IfIndex || s.network.lacks == "") {
		return true
	}
	if o.Server != offer.Server && !s.reach.Lost(s.now()) || o.Session.Identity != d.Identity || o.Session.Geometry != d.Geometry ||
		o.Session.Data != d.Data || o.Session.SymbolSize != d.SymbolSize ||
		o.Session.Session != d.Session && s.cfg.Search.ControlHost != "" {
		s.blocks.counts.Strangers++
		return false
	}
	if !o.Private { // it may be anybody's: ask there, with the number that only the server knows
		packet := s.cfg.Search.AppendPrivate(nil, packetMTU(d, s.cfg.Search.Group), s.receiver(), d.Answer.Private, o.Server.Addr())
		if err := s.cfg.Conn.WriteTo(packet, o.Server, o.IfIndex); err != nil {
			s.cfg.Log.Debug("ask at another address", "server", o.Server, "err", err)
		}
		return false
	}
	if o.Session.Session == d.Session && d.Answer.Private != 0 && !offer.IsOfSameServer(o) {
		s.blocks.counts.Strangers++
		return false
	}
	if o.Server != offer.Server {
		s.cfg.Log.Info(fmt.Sprintf("the server's address is now %s; going on", o.Server), "was", offer.Server.String())
	}
	offer.Server = o.Server
	server := o.Server
	s.streams.server.Store(&server)
	s.reader.Follow(o.Server)
	if i, err := udp.InterfaceByName(udp.InterfaceName(o.IfIndex)); err == nil && i.Index != offer.IfIndex {
		s.useInterface(i)
	}
	s.cfg.Account.Update(func(f *account.Figures) {
		f.Server, f.Interface = o.Server, s.streams.iface.Name
	})
	return true
}

// warnOfTwin warns once if the server says that another machine has this one's address.
func (s *session) warnOfTwin(d *wire.Description) {
	if d.Answer.Notice == wire.SharedAddress && !s.twin {
		s.twin = true
		s.cfg.Log.Warn(twins.Text(twins.Toward(s.cfg.Offer.Server.Addr()).Addr, discover.HostName(), string(d.Answer.OtherName)))
	}
}
