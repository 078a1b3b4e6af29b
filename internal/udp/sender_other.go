//go:build !linux

package udp

import "errors"

type senderSystem struct{}

func (s *Sender) begin() error {
	for s.Method() < MethodWrite {
		s.fallBack(errors.ErrUnsupported)
	}
	return nil
}

// sendBatch sends at most MaxSegments segments.
func (s *Sender) sendBatch(batch []byte, segmentSize int) error {
	for len(batch) > 0 {
		segment := batch[:min(segmentSize, len(batch))]
		if err := s.conn.WriteTo(segment, s.dst, s.ifIndex); err != nil {
			return err
		}
		batch = batch[len(segment):]
	}
	return nil
}

// readdress is false: the system chooses the address to send from.
func (s *Sender) readdress(error) bool { return false }

func (s *Sender) explain(err error) error { return err }
