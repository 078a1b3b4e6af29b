package udp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchMessages is how many datagrams, joined ones counted once, a system call
// takes: with joined ones 16 are a MB.
const batchMessages = 16

type receiverSystem struct {
	raw syscall.RawConn

	// What receiveMessages works on, which RawConn.Read can hand nothing to.
	batch           *Batch
	count           int           // messages received
	errno           syscall.Errno // that ended it
	receiveMessages func(fd uintptr) bool

	drops drops
}

type batchSystem struct {
	memory   []byte // batchMessages times messageSize
	messages []mmsghdr
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet6 // or, in their place, RawSockaddrInet4
	controls []byte                  // batchMessages times controlSize

	// The last source, of which mostly all are: a zone's name takes a system call.
	lastName   unix.RawSockaddrInet6
	lastSource netip.AddrPort
}

// NewBatch returns a Batch.
func NewBatch() *Batch {
	b := &Batch{
		datagrams: make([]Datagram, 0, batchMessages*maxSegments),
		batchSystem: batchSystem{
			memory:   make([]byte, batchMessages*messageSize),
			messages: make([]mmsghdr, batchMessages),
			vectors:  make([]unix.Iovec, batchMessages),
			names:    make([]unix.RawSockaddrInet6, batchMessages),
			controls: make([]byte, batchMessages*controlSize),
		},
	}
	for n := range b.messages {
		b.vectors[n].Base = &b.memory[n*messageSize]
		b.vectors[n].SetLen(messageSize)
		header := &b.messages[n].header
		header.Name = (*byte)(unsafe.Pointer(&b.names[n]))
		header.Iov = &b.vectors[n]
		header.SetIovlen(1)
		header.Control = &b.controls[n*controlSize]
	}
	return b
}

// ListenGroup binds a socket to a group and its port and joins it on each of the
// interfaces. It fails if none could be joined; Warnings has those that could not.
func ListenGroup(config ReceiverConfig) (*Receiver, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	r := &Receiver{group: config.Group, source: config.Source, method: config.Best}
	if err := r.open(config); err != nil {
		return nil, fmt.Errorf("receive %v: %w", config.Group, err)
	}
	var err error
	if r.raw, err = r.udp.SyscallConn(); err == nil {
		var warnings []error
		warnings, err = joinEach(config.Interfaces, r.Join)
		r.warnings = append(r.warnings, warnings...)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	r.receiveMessages = r.tryReceiveMessages
	return r, nil
}

// open makes the socket by hand: package net binds a group's port on all
// addresses, where other groups' datagrams arrive too.
func (r *Receiver) open(config ReceiverConfig) error {
	family, v6 := unix.AF_INET, config.Group.Addr().Is6()
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "udp "+config.Group.String())
	defer file.Close() // FilePacketConn duplicates it
	options := []option{
		{"IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0},
		{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
	}
	if v6 {
		options = []option{
			{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		}
		if err := onlyOwnGroups(fd); err != nil {
			return err
		}
	}
	if err := setOptions(fd, append(options, option{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1})); err != nil {
		return err
	}
	r.buffer.asked = config.BufferBytes
	if r.buffer.got, err = setReceiveBuffer(fd, config.BufferBytes); err != nil {
		return err
	}
	if r.buffer.got < r.buffer.asked {
		r.warnings = append(r.warnings, smallBuffer(r.buffer.got, r.buffer.asked))
	}
	r.chooseMethod(fd)
	if err := unix.Bind(fd, bindAddress(config.Group)); err != nil {
		return os.NewSyscallError("bind", err)
	}
	packets, err := net.FilePacketConn(file)
	if err != nil {
		return err
	}
	r.udp = packets.(*net.UDPConn)
	return nil
}

// FitBuffer makes the receive buffer smaller if memory has become short. What waits in it stays.
func (r *Receiver) FitBuffer() error {
	size := receiveBufferBytes(uint64(r.buffer.asked))
	if size >= r.buffer.got {
		return nil
	}
	return control(r.raw, func(fd int) (err error) {
		r.buffer.got, err = setReceiveBuffer(fd, size)
		return err
	})
}

// bindAddress is the group and its port. One that no router passes could be bound on
// one interface only: then it is all addresses, and the joins alone say what is heard.
func bindAddress(group netip.AddrPort) unix.Sockaddr {
	port := int(group.Port())
	switch addr := group.Addr(); {
	case addr.Is4():
		return &unix.SockaddrInet4{Addr: addr.As4(), Port: port}
	case passesRouters(addr):
		return &unix.SockaddrInet6{Addr: addr.As16(), Port: port}
	}
	return &unix.SockaddrInet6{Port: port}
}

// chooseMethod goes down from the best method to one that the kernel has.
func (r *Receiver) chooseMethod(fd int) {
	if r.method == ReceiveGRO {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
			r.fallBack(os.NewSyscallError("setsockopt UDP_GRO", err))
		}
	}
	if r.method != ReceiveRead {
		if _, errno := recvmmsg(uintptr(fd), nil); errno != 0 {
			r.method = ReceiveRecvmmsg
			r.fallBack(os.NewSyscallError("recvmmsg", errno))
		}
	}
}

func (r *Receiver) fallBack(reason error) {
	r.warnings = append(r.warnings, fmt.Errorf("no receiving with %v, now with %v: %w", r.method, r.method+1, reason))
	r.method++
}

// Join joins the group on i too.
func (r *Receiver) Join(i Interface) error {
	if r.joinedSource(i) {
		return nil
	}
	return membership(r.raw, unix.IP_ADD_MEMBERSHIP, r.group.Addr(), i)
}

// Leave leaves the group on i.
func (r *Receiver) Leave(i Interface) error {
	return membership(r.raw, unix.IP_DROP_MEMBERSHIP, r.group.Addr(), i)
}

// Receive waits for datagrams and puts what is there into batch, one at least. It
// ends with net.ErrClosed after Close and with os.ErrDeadlineExceeded.
func (r *Receiver) Receive(batch *Batch) error {
	batch.datagrams, batch.more = batch.datagrams[:0], false
	receive := r.receiveMany
	if r.method == ReceiveRead {
		receive = r.receiveOne
	}
	if err := receive(batch); err != nil {
		return fmt.Errorf("receive %v: %w", r.group, err)
	}
	return nil
}

func (r *Receiver) receiveOne(batch *Batch) error {
	n, controlBytes, _, src, err := r.udp.ReadMsgUDPAddrPort(batch.memory[:messageSize], batch.controls[:controlSize])
	if err != nil {
		return err
	}
	batch.add(batch.memory[:n], batch.controls[:controlBytes], unmap(src))
	batch.more = true
	return nil
}

func (r *Receiver) receiveMany(batch *Batch) error {
	for n := range batch.messages {
		header := &batch.messages[n].header
		header.Namelen = unix.SizeofSockaddrInet6
		header.SetControllen(controlSize)
	}
	r.batch, r.count, r.errno = batch, 0, 0
	err := r.raw.Read(r.receiveMessages)
	r.batch = nil
	if err != nil {
		return err
	}
	if r.errno != 0 {
		return os.NewSyscallError("recvmmsg", r.errno)
	}
	batch.more = r.count == len(batch.messages)
	for n := range r.count {
		message := &batch.messages[n]
		payload := batch.memory[n*messageSize:][:message.size]
		control := batch.controls[n*controlSize:][:message.header.Controllen]
		batch.add(payload, control, batch.source(&batch.names[n]))
	}
	return nil
}

func (b *Batch) source(name *unix.RawSockaddrInet6) netip.AddrPort {
	if *name != b.lastName {
		b.lastName, b.lastSource = *name, addrPort(name)
	}
	return b.lastSource
}

func (b *Batch) add(payload, control []byte, src netip.AddrPort) {
	segmentSize, ifIndex := parseControl(control)
	b.datagrams = split(b.datagrams, Datagram{Payload: payload, Source: src, IfIndex: ifIndex}, segmentSize)
}

// tryReceiveMessages is for RawConn.Read: it returns false to be called again once
// the socket has something.
func (r *Receiver) tryReceiveMessages(fd uintptr) bool {
	for {
		r.count, r.errno = recvmmsg(fd, r.batch.messages)
		switch r.errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			return true
		}
	}
}

func recvmmsg(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
	received, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd,
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(received), errno
}

// Drops is how often the kernel dropped what arrived for lack of room in the
// receive buffer: datagrams, joined ones counted once. After Close it is the last.
func (r *Receiver) Drops() uint64 { return r.drops.read(r.raw) }

// Close ends Receive with net.ErrClosed.
func (r *Receiver) Close() error {
	if r.raw != nil {
		r.Drops() // to remember it
	}
	return r.udp.Close()
}
