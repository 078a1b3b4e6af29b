package lab

import (
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// setOffloads makes the link treat super-packets as the lab's Config says.
func (i *Interface) setOffloads(c Config) error {
	bridges, host := i.host.lab.bridges, i.host.namespace
	if !c.SegmentOffload {
		if err := host.setFeatures(i.Index, false, "tx-udp-segmentation"); err != nil {
			return err
		}
	}
	if c.ReceiveOffload {
		// A veth joins packets only if its peer could not have sent them
		// joined.
		if err := bridges.setFeatures(i.portIndex, false, "tx-tcp-segmentation", "tx-tcp-ecn-segmentation",
			"tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation"); err != nil {
			return err
		}
		return host.setFeatures(i.Index, true, "rx-gro")
	}
	return nil
}

// ethtoolFamily asks once: every namespace has the same, and see genericHeader.
var ethtoolFamily = sync.OnceValues(func() (*netlink.GenlFamily, error) {
	return netlink.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
})

// genericHeader is a command, its version, and two reserved bytes. That of the
// package nl is read two bytes past its end, which the race detector sees where
// labs are side by side.
type genericHeader [nl.SizeofGenlmsg]byte

func (h genericHeader) Len() int          { return len(h) }
func (h genericHeader) Serialize() []byte { return h[:] }

// setFeatures switches features of a link, by the names that ethtool -k shows
// (kernel: Documentation/networking/ethtool-netlink.rst, FEATURES_SET).
func (ns *namespace) setFeatures(linkIndex int, on bool, names ...string) error {
	return ns.do(func() error {
		family, err := ethtoolFamily()
		if err != nil {
			return fmt.Errorf("find ethtool's netlink family: %w", err)
		}
		request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		request.AddData(genericHeader{unix.ETHTOOL_MSG_FEATURES_SET, unix.ETHTOOL_GENL_VERSION})
		header := nl.NewRtAttr(nested(unix.ETHTOOL_A_FEATURES_HEADER), nil)
		header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(linkIndex)))
		request.AddData(header)
		wanted := nl.NewRtAttr(nested(unix.ETHTOOL_A_FEATURES_WANTED), nil)
		bits := wanted.AddRtAttr(nested(unix.ETHTOOL_A_BITSET_BITS), nil)
		for _, name := range names {
			bit := bits.AddRtAttr(nested(unix.ETHTOOL_A_BITSET_BITS_BIT), nil)
			bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(name))
			if on {
				bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
			}
		}
		request.AddData(wanted)
		if _, err := request.Execute(unix.NETLINK_GENERIC, 0); err != nil {
			return fmt.Errorf("switch %v to %v: %w", names, on, err)
		}
		return nil
	})
}

func nested(attribute int) int { return attribute | unix.NLA_F_NESTED }
