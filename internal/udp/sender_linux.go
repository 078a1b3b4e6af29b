package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
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
	source     netip.Addr // sent from; unspecified leaves the choice to the kernel
	packetInfo []byte     // control message that names the interface and source, or empty

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
	s.sendFrom(s.conn.source(s.dst.Addr(), s.ifIndex))
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

// sendFrom sends from that address from now on.
func (s *Sender) sendFrom(source netip.Addr) {
	s.source, s.packetInfo = source, appendPacketInfo(nil, s.ifIndex, source)
	s.segmentSize, s.messages = 0, nil // they contain packetInfo
}

// readdress reports whether the interface has another address than the one from which a send
// failed. It is sent from then.
func (s *Sender) readdress(err error) bool {
	if !NetworkLost(err) {
		return false
	}
	fresh, changed := s.conn.sourceAgain(s.dst.Addr(), s.ifIndex, s.source)
	if changed {
		s.sendFrom(fresh)
	}
	return changed
}

// explain names a lost address as the reason of an error, if it is.
func (s *Sender) explain(err error) error {
	if !NetworkLost(err) {
		return err
	}
	return lostAddress(err, s.source, s.ifIndex)
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
		if !refusesGSO(err) || s.isFrom(err) {
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

// refusesGSO reports whether the error means that the kernel or the interface cannot
// cut this buffer: EIO without checksums by the interface, EINVAL and EMSGSIZE for
// limits that differ between kernels. Nothing of the buffer has been sent then.
func refusesGSO(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EMSGSIZE)
}

// isFrom reports whether EINVAL is about the address that s sends from: the host has it no more.
func (s *Sender) isFrom(err error) bool {
	return errors.Is(err, syscall.EINVAL) && !s.source.IsUnspecified() && !ownsAddress(s.source)
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
	name, nameSize := socketAddress(s.dst)
	for n := range messages {
		header := &messages[n].header
		header.Name = (*byte)(unsafe.Pointer(name))
		header.Namelen = nameSize
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

// socketAddress is a as the kernel reads it, of size bytes.
func socketAddress(a netip.AddrPort) (name *unix.RawSockaddrInet6, size uint32) {
	name = &unix.RawSockaddrInet6{Family: unix.AF_INET6}
	if a.Addr().Is6() {
		name.Addr = a.Addr().As16()
		name.Scope_id = zoneIndex(a.Addr().Zone())
		setPort(&name.Port, a.Port())
		return name, unix.SizeofSockaddrInet6
	}
	name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name)) // which is smaller
	*name4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	setPort(&name4.Port, a.Port())
	return name, unix.SizeofSockaddrInet4
}

// addrPort is what the kernel wrote as an address.
func addrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(name4.Addr), getPort(&name4.Port))
	}
	addr := netip.AddrFrom16(name.Addr)
	if name.Scope_id != 0 {
		addr = addr.WithZone(zoneName(name.Scope_id))
	}
	return netip.AddrPortFrom(addr, getPort(&name.Port))
}

// zoneIndex is the index of the interface that a zone names, or that it is; 0 if
// there is none.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	index, _ := strconv.ParseUint(zone, 10, 32) // 0 fails later, and is told
	return uint32(index)
}

// zoneName is the contrary of zoneIndex, as package net has it.
func zoneName(index uint32) string {
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}

// setPort stores a port in network order; getPort reads one.
func setPort(dst *uint16, port uint16) {
	*(*[2]byte)(unsafe.Pointer(dst)) = [2]byte{byte(port >> 8), byte(port)}
}

func getPort(src *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(src))
	return uint16(b[0])<<8 | uint16(b[1])
}
