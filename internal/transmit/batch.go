package transmit

import (
	"net/netip"

	"multiserver/internal/udp"
)

// BatchBytes is the memory of a batch: what the kernel takes at once.
const BatchBytes = 64<<10 - 1

// Sender is a way out: a *udp.Sender.
type Sender interface {
	// Send sends buf, which is consecutive packets of segmentSize bytes, the last one
	// perhaps shorter.
	Send(buf []byte, segmentSize int) error
	Method() udp.Method
	Fallback() error
}

// Batch is what one system call sends: packets of one size, the last one perhaps shorter,
// in one flat buffer. From Take to Submit it is its owner's.
type Batch struct {
	Buf        []byte // BatchBytes
	Bytes      int    // of Buf, in use
	Packets    int
	PacketSize int
	ImageBytes int // of Bytes, the image's
	To         []Sender
	// Unicast: each of To is one receiver, and all are on one wire.
	Unicast bool
}

// Reset empties a batch and sets its destinations.
func (b *Batch) Reset(to []Sender, unicast bool) {
	b.Bytes, b.Packets, b.PacketSize, b.ImageBytes, b.To, b.Unicast = 0, 0, 0, 0, to, unicast
}

// WireBytes is the size of the batch on an Ethernet, sent once to an address like to.
func (b *Batch) WireBytes(to netip.Addr) int {
	whole := b.Packets - 1
	return whole*udp.PacketWireBytes(to, b.PacketSize) + udp.PacketWireBytes(to, b.Bytes-whole*b.PacketSize)
}
