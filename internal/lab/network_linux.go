package lab

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// queryResponseInterval is how long the switch waits for answers to its
// queries before it trusts what it has learnt. The usual 10 s would make every
// test wait as long.
const queryResponseInterval = time.Second

// Network is a switch with its links.
type Network struct {
	Interfaces []*Interface // in the order of the hosts given to AddNetwork

	lab   *Lab
	name  string
	index int // of the bridge, in the switch's namespace
}

// SetSnooping tells the switch whether to learn from IGMP reports which ports
// want which groups. It does from the start, as most switches; but as long as
// nobody sends queries, it floods all ports all the same.
func (n *Network) SetSnooping(on bool) error {
	return n.setBridge(nl.IFLA_BR_MCAST_SNOOPING, on)
}

// SetQuerier tells the switch whether to send IGMP queries; not at first.
// About a second after it began, a snooping switch passes a group's packets
// only to the ports that joined it.
func (n *Network) SetQuerier(on bool) error {
	return n.setBridge(nl.IFLA_BR_MCAST_QUERIER, on)
}

func (n *Network) addBridge() error {
	links := n.lab.bridges.links
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = n.name, n.lab.config.MTU
	bridge := &netlink.Bridge{LinkAttrs: attributes}
	if err := links.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w", n.name, err)
	}
	n.index = bridge.Index
	if err := n.changeBridge(nl.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, hundredths(queryResponseInterval)); err != nil {
		return err
	}
	if err := links.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("set %s up: %w", n.name, err)
	}
	return nil
}

func (n *Network) setBridge(attribute int, on bool) error {
	value := []byte{0}
	if on {
		value[0] = 1
	}
	return n.changeBridge(attribute, value)
}

// changeBridge sets one of IFLA_BR_…, for most of which the library has no
// call.
func (n *Network) changeBridge(attribute int, value []byte) error {
	return n.lab.bridges.do(func() error {
		request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		message := nl.NewIfInfomsg(unix.AF_UNSPEC)
		message.Index = int32(n.index)
		request.AddData(message)
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
		info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(attribute, value)
		request.AddData(info)
		if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("set attribute %d of %s: %w", attribute, n.name, err)
		}
		return nil
	})
}
