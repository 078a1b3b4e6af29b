package udp

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"multiserver/internal/memory"
)

const (
	// defaultBufferBytes is a quarter of a second at 1 Gbit/s: the longest that a
	// client's other threads keep the receiving one from running.
	defaultBufferBytes = 32 << 20
	// leastBufferBytes is 2 ms at 1 Gbit/s.
	leastBufferBytes = 256 << 10

	// messageSize is the room of one: no IPv4 datagram is larger, so that none is cut
	// off.
	messageSize = 64 << 10
)

// ReceiverConfig says which group to receive. Group has no default.
type ReceiverConfig struct {
	Group      netip.AddrPort
	Interfaces []Interface // to join it on, at least one
	// Source, if valid, is the only host whose datagrams are wanted: where the system can, it
	// and the switches keep those of others away (RFC 4607). Rejoin ends that.
	Source netip.Addr
	// BufferBytes is the room for payload and bookkeeping that is asked of the
	// kernel: if 0, 32 MiB, or less where memory is little.
	BufferBytes int
	// Best is the method to begin with; what the system refuses is replaced by the
	// next.
	Best ReceiveMethod
}

// Receiver is a socket that receives one group and port. Several may receive the
// same one on a host. One goroutine may call Receive; the others may be called from
// any.
type Receiver struct {
	udp      *net.UDPConn
	group    netip.AddrPort
	source   netip.Addr // that the group is joined for; not valid for any
	method   ReceiveMethod
	buffer   struct{ got, asked int }
	warnings []error
	receiverSystem
}

// Datagram is what arrived. Payload is valid until the next Receive into its Batch.
type Datagram struct {
	Payload []byte
	Source  netip.AddrPort
	IfIndex int // the interface that it arrived by
}

// Batch is the memory that Receive fills: 1 MiB. Make one with NewBatch and use it
// again and again.
type Batch struct {
	datagrams []Datagram
	more      bool
	batchSystem
}

// Datagrams returns what the last Receive brought, in the order of arrival. It is
// valid until the next.
func (b *Batch) Datagrams() []Datagram { return b.datagrams }

// More tells whether more may be waiting: the last Receive took as much as it can at once.
func (b *Batch) More() bool { return b.more }

// LocalAddr is the group and port.
func (r *Receiver) LocalAddr() netip.AddrPort { return r.group }

// Warnings returns what ListenGroup could not have and did without.
func (r *Receiver) Warnings() []error { return r.warnings }

// BufferBytes is the size of the receive buffer, in the unit in which it was asked
// for: bookkeeping takes about half of what the kernel holds, which is twice that.
func (r *Receiver) BufferBytes() (got, asked int) { return r.buffer.got, r.buffer.asked }

// SetReadDeadline ends Receive at t with os.ErrDeadlineExceeded; a zero t never.
func (r *Receiver) SetReadDeadline(t time.Time) error { return r.udp.SetReadDeadline(t) }

// validate checks config and fills in its defaults.
func (config *ReceiverConfig) validate() error {
	if err := validateGroup(config.Group.Addr(), config.Interfaces); err != nil {
		return err
	}
	if config.Group.Port() == 0 {
		return fmt.Errorf("receive %v: no port", config.Group)
	}
	if config.BufferBytes < 0 {
		return fmt.Errorf("receive %v: buffer of %d bytes", config.Group, config.BufferBytes)
	}
	if config.BufferBytes == 0 {
		config.BufferBytes = receiveBufferBytes(defaultBufferBytes)
	}
	config.Best = max(config.Best, ReceiveGRO)
	return nil
}

// bufferShare: the kernel holds twice what it is asked for, a quarter of what is available.
const bufferShare = 8

// receiveBufferBytes is what to ask the kernel for, full where there is memory for it.
func receiveBufferBytes(full uint64) int {
	return int(memory.Share(memory.Available(), bufferShare, leastBufferBytes, full))
}

// split appends to dst the datagrams that were joined in whole: payloads of
// segmentSize bytes, only the last of which may be shorter. If segmentSize is not
// positive, whole is one datagram.
func split(dst []Datagram, whole Datagram, segmentSize int) []Datagram {
	rest := whole.Payload
	for segmentSize > 0 && len(rest) > segmentSize {
		whole.Payload, rest = rest[:segmentSize:segmentSize], rest[segmentSize:]
		dst = append(dst, whole)
	}
	whole.Payload = rest
	return append(dst, whole)
}
