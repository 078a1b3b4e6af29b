package udp

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// joinedSource joins the group on i for what Source sends alone (RFC 3678), if there is one. Where
// the system refuses that, the group is joined for any from then on.
func (r *Receiver) joinedSource(i Interface) bool {
	if !r.source.IsValid() {
		return false
	}
	on := &net.Interface{Index: i.Index, Name: i.Name}
	group := &net.UDPAddr{IP: r.group.Addr().AsSlice()}
	source := &net.UDPAddr{IP: r.source.AsSlice(), Zone: r.source.Zone()}
	var err error
	if r.group.Addr().Is6() {
		err = ipv6.NewPacketConn(r.udp).JoinSourceSpecificGroup(on, group, source)
	} else {
		err = ipv4.NewPacketConn(r.udp).JoinSourceSpecificGroup(on, group, source)
	}
	if err != nil {
		r.source = netip.Addr{}
	}
	return err == nil
}
