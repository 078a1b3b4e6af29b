package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Sender sends buffers of equal segments from a Conn's socket to one address
// through one interface. Its methods may be called from several goroutines.
type Sender struct {
	conn     *Conn
	dst      netip.AddrPort
	ifIndex  int
	method   atomic.Int32
	fallback atomic.Pointer[error]

	mu sync.Mutex // one Send at a time
	senderSystem
}

// NewSender returns a Sender to dst by the interface with that index (0: the
// routing table's choice). best is the method to begin with; what the system
// refuses is replaced by the next.
func (c *Conn) NewSender(dst netip.AddrPort, ifIndex int, best Method) (*Sender, error) {
	if err := c.validateDestination(dst); err != nil {
		return nil, err
	}
	s := &Sender{conn: c, dst: dst, ifIndex: ifIndex}
	s.method.Store(int32(max(best, MethodGSO)))
	if err := s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

// Send sends buf, which is consecutive segments of segmentSize bytes, of which
// only the last may be shorter, each as one datagram. It takes any number of them
// in system calls of up to MaxSegments, and blocks while the interface's queue is
// full: that is the pace. It does not keep buf.
//
// A segment that the interface's MTU does not hold with its HeaderBytes is
// fragmented, and ends GSO. After an error some of the segments may have been sent:
// net.ErrClosed, os.ErrDeadlineExceeded, or the system's, with the interface's name.
func (s *Sender) Send(buf []byte, segmentSize int) error {
	if segmentSize < 1 || segmentSize > MaxPayload {
		return fmt.Errorf("send to %v: segment size %d is not in 1 to %d", s.dst, segmentSize, MaxPayload)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	batchSize := MaxSegments(segmentSize) * segmentSize
	for len(buf) > 0 {
		batch := buf[:min(batchSize, len(buf))]
		err := s.sendBatch(batch, segmentSize)
		if err != nil && s.readdress(err) {
			err = s.sendBatch(batch, segmentSize)
		}
		if err != nil {
			return s.explain(err)
		}
		buf = buf[len(batch):]
	}
	return nil
}

// Method is the method in use now, never MethodAuto.
func (s *Sender) Method() Method { return Method(s.method.Load()) }

// Fallback tells why Method is not the one that was asked for; nil if it is.
func (s *Sender) Fallback() error {
	if reason := s.fallback.Load(); reason != nil {
		return *reason
	}
	return nil
}

// fallBack goes to the next method.
func (s *Sender) fallBack(reason error) {
	from := s.Method()
	err := fmt.Errorf("no sending with %v, now with %v: %w", from, from+1, reason)
	if earlier := s.Fallback(); earlier != nil {
		err = errors.Join(earlier, err)
	}
	s.fallback.Store(&err)
	s.method.Store(int32(from + 1))
}

// segmentCount is how many segments of size bytes hold length bytes.
func segmentCount(length, size int) int { return (length + size - 1) / size }
