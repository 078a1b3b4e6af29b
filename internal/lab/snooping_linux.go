package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Switch is the network of every host's eth0.
func (l *Lab) Switch() *Network {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.networks[0]
}

// SetMemory tells the switch how long it remembers, from its next packet on, that a
// port reported a group, and that somebody else sent queries: 260 s and 255 s at
// first (RFC 2236 §8). A group that no port is remembered for is passed to nobody;
// once the last querier is forgotten, all groups are passed to all ports.
func (n *Network) SetMemory(report, querier time.Duration) error {
	if err := n.changeBridge(nl.IFLA_BR_MCAST_MEMBERSHIP_INTVL, hundredths(report)); err != nil {
		return err
	}
	return n.changeBridge(nl.IFLA_BR_MCAST_QUERIER_INTVL, hundredths(querier))
}

// hundredths is a time in the bridge's unit: USER_HZ is 100.
func hundredths(d time.Duration) []byte {
	return nl.Uint64Attr(uint64(d / (10 * time.Millisecond)))
}

// Forget makes the switch forget that an interface's port reported a group, of IPv4.
// It is no error if it did not.
func (n *Network) Forget(i *Interface, group netip.Addr) error {
	const setEntry = 1 // MDBA_SET_ENTRY of linux/if_bridge.h, with a struct br_mdb_entry
	entry := make([]byte, 28)
	binary.NativeEndian.PutUint32(entry, uint32(i.portIndex))
	address := group.As4()
	copy(entry[8:], address[:])
	binary.BigEndian.PutUint16(entry[24:], unix.ETH_P_IP)
	return n.lab.bridges.do(func() error {
		request := nl.NewNetlinkRequest(unix.RTM_DELMDB, unix.NLM_F_ACK)
		request.AddData(rawData(binary.NativeEndian.AppendUint32([]byte{unix.AF_BRIDGE, 0, 0, 0}, uint32(n.index))))
		request.AddData(nl.NewRtAttr(setEntry, entry))
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // it did not
			return fmt.Errorf("forget %v at %s: %w", group, i.port, err)
		}
		return nil
	})
}

// rawData is a netlink message's fixed part.
type rawData []byte

func (d rawData) Len() int          { return len(d) }
func (d rawData) Serialize() []byte { return d }
