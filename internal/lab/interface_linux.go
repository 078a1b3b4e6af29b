package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// carrierTimeout bounds the wait for a link to carry packets: milliseconds on
// an idle machine.
const carrierTimeout = 30 * time.Second

// Interface is a host's end of a link to a network's switch.
type Interface struct {
	Name    string       // eth0, eth1, …
	Address netip.Prefix // 10.77.0.1/24
	Index   int          // in the host's namespace

	// Once EnableIPv6 was called:
	Address6  netip.Prefix // fd77:0:0:1::5/64 of host 4 in the second network
	LinkLocal netip.Addr   // fe80::…%eth0

	host      *Host
	port      string // name of the switch's end
	portIndex int

	// Guarded by lab.mu; see filter_linux.go.
	lossPercent float64
	deaf        bool
}

// Counters are sums over an interface's life, as the host sees them: bytes
// with Ethernet's header of 14, and no packet that its own queue or the
// network dropped. A super-packet that crosses whole counts as one packet.
type Counters struct {
	SentBytes, ReceivedBytes     uint64
	SentPackets, ReceivedPackets uint64
}

// Counters reads the interface's counters.
func (i *Interface) Counters() (Counters, error) {
	link, err := i.host.namespace.links.LinkByIndex(i.Index)
	if err != nil {
		return Counters{}, fmt.Errorf("read counters of %s: %w", i.Name, err)
	}
	s := link.Attrs().Statistics
	return Counters{
		SentBytes: s.TxBytes, ReceivedBytes: s.RxBytes,
		SentPackets: s.TxPackets, ReceivedPackets: s.RxPackets,
	}, nil
}

// Disconnect pulls the cable: the interface stays up and keeps its address,
// but has no carrier.
func (i *Interface) Disconnect() error {
	if err := i.host.lab.bridges.links.LinkSetDown(i.portLink()); err != nil {
		return fmt.Errorf("disconnect %s: %w", i.Name, err)
	}
	return nil
}

// Connect plugs the cable in again and returns when it carries packets.
func (i *Interface) Connect() error {
	if err := i.host.lab.bridges.links.LinkSetUp(i.portLink()); err != nil {
		return fmt.Errorf("connect %s: %w", i.Name, err)
	}
	return i.awaitCarrier()
}

func (i *Interface) portLink() netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: i.port, Index: i.portIndex}}
}

// addInterface makes the link between a host and the network's bridge, and
// returns when it carries packets.
func (n *Network) addInterface(i *Interface) error {
	bridges, host := n.lab.bridges, i.host.namespace
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = i.port, n.lab.config.MTU
	port := &netlink.Veth{
		LinkAttrs:     attributes,
		PeerName:      i.Name,
		PeerMTU:       uint32(n.lab.config.MTU),
		PeerNamespace: netlink.NsFd(host.fd),
	}
	if err := bridges.links.LinkAdd(port); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	i.portIndex = port.Index
	end, err := host.links.LinkByName(i.Name)
	if err != nil {
		return fmt.Errorf("find it: %w", err)
	}
	i.Index = end.Attrs().Index
	if err := i.setOffloads(n.lab.config); err != nil {
		return err
	}

	address := &netlink.Addr{
		IPNet: &net.IPNet{IP: i.Address.Addr().AsSlice(), Mask: net.CIDRMask(i.Address.Bits(), 32)},
		// udpcast and others find their peers by it.
		Broadcast: broadcast(i.Address),
	}
	if err := host.links.AddrAdd(end, address); err != nil {
		return fmt.Errorf("add address %s: %w", i.Address, err)
	}
	if err := host.links.LinkSetUp(end); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if err := bridges.links.LinkSetMasterByIndex(port, n.index); err != nil {
		return fmt.Errorf("attach to %s: %w", n.name, err)
	}
	if err := bridges.links.LinkSetUp(port); err != nil {
		return fmt.Errorf("set %s up: %w", i.port, err)
	}
	return i.awaitCarrier()
}

// awaitCarrier returns when both ends are operational. The bridge forwards
// from the same moment: the kernel tells it under the lock that the question
// takes too.
func (i *Interface) awaitCarrier() error {
	ends := []struct {
		ns    *namespace
		index int
	}{{i.host.namespace, i.Index}, {i.host.lab.bridges, i.portIndex}}
	deadline := time.Now().Add(carrierTimeout)
	for _, end := range ends {
		for {
			link, err := end.ns.links.LinkByIndex(end.index)
			if err != nil {
				return fmt.Errorf("read state: %w", err)
			}
			if link.Attrs().OperState == netlink.OperUp {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("no carrier on %s within %v: %w", link.Attrs().Name, carrierTimeout, unix.ETIMEDOUT)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// broadcast returns the last address of an IPv4 prefix of 24 bits, as 4 bytes.
func broadcast(p netip.Prefix) net.IP {
	a := p.Addr().As4()
	return net.IPv4(a[0], a[1], a[2], 255).To4()
}
