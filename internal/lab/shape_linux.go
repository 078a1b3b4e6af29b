package lab

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Line rates for ShapeUplink and ShapeDownlink, in bits a second.
const (
	FastEthernet       = 100_000_000
	GigabitEthernet    = 1_000_000_000
	TenGigabitEthernet = 10_000_000_000
)

const (
	// The shaper counts 14 bytes of header with a packet; on the wire it takes
	// 38: preamble 8, header 14, checksum 4, gap 12. At GigabitEthernet and an
	// MTU of 1500, that is 984395 kbit/s to the shaper.
	countedHeaderBytes = 14
	wireHeaderBytes    = 38

	// A super-packet that does not fit the burst is cut by the shaper, which
	// costs a core at 1 Gbit/s.
	superPacketBytes = 72 << 10
	// uplinkQueueBytes is a NIC's queue. It must be more than the default
	// SO_SNDBUF of 212,992: a blocking sender then waits and loses nothing.
	uplinkQueueBytes = 1 << 20

	// What may pass at once, in seconds of the line. It covers how late the
	// kernel's timer comes; on the switch it must be small beside the queue.
	uplinkBurstSeconds   = 2e-3
	downlinkBurstSeconds = 250e-6

	// Below, the burst as a time overflows what the kernel is told.
	minBytesPerSec = 1000
)

// ShapeUplink makes the host's own interface send at the line rate of
// Ethernet: full packets of the lab's MTU and their overhead on the wire
// together take bitsPerSec. A blocking sender is paced by it. 0 takes the
// limit away.
func (i *Interface) ShapeUplink(bitsPerSec int64) error {
	return i.host.namespace.shape(i.Index, tbf{
		bytesPerSec: i.wireRate(bitsPerSec),
		burstBytes:  max(superPacketBytes, uplinkBurstSeconds*float64(bitsPerSec)/8),
		queueBytes:  uplinkQueueBytes,
	})
}

// ShapeDownlink makes the switch send to the host at a line rate, as in
// ShapeUplink, and drop what a queue of queueBytes cannot take (a small switch
// has some 100 KB a port): a bottleneck that the sender does not see. 0
// bitsPerSec takes the limit away.
func (i *Interface) ShapeDownlink(bitsPerSec int64, queueBytes int) error {
	return i.host.lab.bridges.shape(i.portIndex, tbf{
		bytesPerSec: i.wireRate(bitsPerSec),
		burstBytes:  max(2*float64(i.host.lab.config.MTU+countedHeaderBytes), downlinkBurstSeconds*float64(bitsPerSec)/8),
		queueBytes:  queueBytes,
	})
}

// wireRate returns the bytes a second that the shaper is to count for a line
// of bitsPerSec.
func (i *Interface) wireRate(bitsPerSec int64) float64 {
	mtu := float64(i.host.lab.config.MTU)
	return float64(bitsPerSec) / 8 * (mtu + countedHeaderBytes) / (mtu + wireHeaderBytes)
}

type tbf struct {
	bytesPerSec float64
	burstBytes  float64
	queueBytes  int
}

// shape puts a token bucket before a link, or takes it away if its rate is 0.
func (ns *namespace) shape(linkIndex int, t tbf) error {
	root := netlink.QdiscAttrs{LinkIndex: linkIndex, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)}
	if t.bytesPerSec == 0 {
		err := ns.links.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: root, QdiscType: "tbf"})
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EINVAL) { // had none
			return fmt.Errorf("remove shaper: %w", err)
		}
		return nil
	}
	if t.bytesPerSec < minBytesPerSec || t.queueBytes <= 0 || t.queueBytes > math.MaxInt32 {
		return fmt.Errorf("shape to %.0f bytes/s with a queue of %d bytes: the least are %d and 1", t.bytesPerSec, t.queueBytes, minBytesPerSec)
	}
	rate := uint64(t.bytesPerSec)
	err := ns.links.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: root,
		Rate:       rate,
		Buffer:     netlink.Xmittime(rate, uint32(t.burstBytes)),
		Limit:      uint32(t.queueBytes),
	})
	if err != nil {
		return fmt.Errorf("shape to %.0f bytes/s: %w", t.bytesPerSec, err)
	}
	return nil
}
