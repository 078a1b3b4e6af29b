package transmit

import (
	"net/netip"
	"time"

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
	// Sequence is the highest sequence number in the batch; 0: there is none.
	Sequence uint64

	// Run sets these before the batch comes back: when the last way out had taken the
	// batch, and whether any way did.
	SentAt time.Time
	Taken  bool
}

// Reset empties a batch and sets its destinations.
func (b *Batch) Reset(to []Sender, unicast bool) {
	*b = Batch{Buf: b.Buf, To: to, Unicast: unicast}
}

// WireBytes is the size of the batch on an Ethernet, sent once to an address like to.
func (b *Batch) WireBytes(to netip.Addr) int {
	whole := b.Packets - 1
	return whole*udp.PacketWireBytes(to, b.PacketSize) + udp.PacketWireBytes(to, b.Bytes-whole*b.PacketSize)
}

// copies is how often the batch goes on one wire.
func (b *Batch) copies() int {
	if b.Unicast {
		return len(b.To)
	}
	return 1
}
