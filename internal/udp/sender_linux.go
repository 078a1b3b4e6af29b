package udp

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr (sendmmsg(2), recvmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32 // bytes moved
}

type senderSystem struct {
	packetInfo []byte // control message that names the interface, or empty

	segmentControl []byte // packetInfo and the segment size, for GSO
	segmentSize    int    // in segmentControl

	// sendmmsg is the system call; tests replace it.
	sendmmsg func(fd uintptr, messages []mmsghdr) (int, syscall.Errno)

	// What sendMessages works on, which RawConn.Write can hand nothing to.
	messages     []mmsghdr
	vectors      []unix.Iovec
	next, count  int           // messages[next:count] are still to be sent
	errno        syscall.Errno // that ended it
	sendMessages func(fd uintptr) bool
}

func (s *Sender) begin() error {
	s.packetInfo = appendPacketInfo(nil, s.ifIndex, s.conn.source(s.ifIndex))
	s.sendmmsg = sendmmsg
	s.sendMessages = s.trySendMessages
	if s.Method() == MethodGSO {
		// A kernel before 4.18 would ignore the control message and send one huge
		// datagram; it does not know the option either.
		err := control(s.conn.raw, func(fd int) error {
			_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
			return err
		})
		if errors.Is(err, os.ErrClosed) {
			return err
		}
		if err != nil {
			s.fallBack(os.NewSyscallError("getsockopt UDP_SEGMENT", err))
		}
	}
	return nil
}

// sendBatch sends at most MaxSegments segments, by a lesser method from now on if
// this one is refused.
func (s *Sender) sendBatch(batch []byte, segmentSize int) error {
	if len(batch) <= segmentSize {
		return s.write(batch, s.packetInfo)
	}
	if s.Method() == MethodGSO {
		if segmentSize != s.segmentSize {
			s.segmentControl = appendSegmentSize(append(s.segmentControl[:0], s.packetInfo...), segmentSize)
			s.segmentSize = segmentSize
		}
		err := s.write(batch, s.segmentControl)
		if !refusesGSO(err) {
			return err
		}
		s.fallBack(err)
	}
	if s.Method() == MethodSendmmsg {
		rest, err := s.sendMany(batch, segmentSize)
		if !errors.Is(err, errNoSendmmsg) {
			return err
		}
		s.fallBack(err)
		batch = rest
	}
	for len(batch) > 0 {
		segment := batch[:min(segmentSize, len(batch))]
		if err := s.write(segment, s.packetInfo); err != nil {
			return err
		}
		batch = batch[len(segment):]
	}
	return nil
}

func (s *Sender) write(b, control []byte) error {
	return s.conn.write(b, control, s.dst, s.ifIndex)
}

// refusesGSO tells whether the error means that the kernel or the interface cannot
// cut this buffer: EIO without checksums by the interface, EINVAL and EMSGSIZE for
// limits that differ between kernels. Nothing of the buffer has been sent then.
func refusesGSO(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EMSGSIZE)
}

var errNoSendmmsg = errors.New("the system call is refused")

// sendMany sends the batch with sendmmsg and returns what is not sent yet.
func (s *Sender) sendMany(batch []byte, segmentSize int) (rest []byte, err error) {
	s.point(batch, segmentSize)
	defer clear(s.vectors) // batch is not kept
	for r := (retry{conn: s.conn}); ; {
		s.errno = 0
		err := s.conn.raw.Write(s.sendMessages)
		rest := batch[min(s.next*segmentSize, len(batch)):]
		switch {
		case err != nil:
			return rest, sendError(err, s.dst, s.ifIndex) // closed, or past its deadline
		case s.errno == 0:
			return nil, nil
		case s.errno == unix.ENOSYS || s.errno == unix.EOPNOTSUPP:
			return rest, fmt.Errorf("%w: %w", errNoSendmmsg, s.errno)
		case !r.again(s.errno):
			return rest, sendError(os.NewSyscallError("sendmmsg", s.errno), s.dst, s.ifIndex)
		}
	}
}

// point makes messages[:count] point to the segments of batch.
func (s *Sender) point(batch []byte, segmentSize int) {
	s.next, s.count = 0, segmentCount(len(batch), segmentSize)
	if s.messages == nil {
		s.messages, s.vectors = s.newMessages()
	}
	for n := range s.count {
		segment := batch[n*segmentSize : min((n+1)*segmentSize, len(batch))]
		s.vectors[n].Base = &segment[0]
		s.vectors[n].SetLen(len(segment))
	}
}

func (s *Sender) newMessages() ([]mmsghdr, []unix.Iovec) {
	messages, vectors := make([]mmsghdr, maxSegments), make([]unix.Iovec, maxSegments)
	name := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: s.dst.Addr().As4()}
	setPort(&name.Port, s.dst.Port())
	for n := range messages {
		header := &messages[n].header
		header.Name = (*byte)(unsafe.Pointer(name))
		header.Namelen = unix.SizeofSockaddrInet4
		header.Iov = &vectors[n]
		header.SetIovlen(1)
		if len(s.packetInfo) > 0 {
			header.Control = &s.packetInfo[0]
			header.SetControllen(len(s.packetInfo))
		}
	}
	return messages, vectors
}

// trySendMessages is for RawConn.Write: it returns false to be called again once
// the socket takes more.
func (s *Sender) trySendMessages(fd uintptr) bool {
	for s.next < s.count {
		sent, errno := s.sendmmsg(fd, s.messages[s.next:s.count])
		switch errno {
		case 0:
			s.next += sent
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			s.errno = errno
			return true
		}
	}
	return true
}

func sendmmsg(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd,
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), 0, 0, 0)
	return int(sent), errno
}

// setPort stores a port in network order; getPort reads one.
func setPort(dst *uint16, port uint16) {
	*(*[2]byte)(unsafe.Pointer(dst)) = [2]byte{byte(port >> 8), byte(port)}
}

func getPort(src *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(src))
	return uint16(b[0])<<8 | uint16(b[1])
}
