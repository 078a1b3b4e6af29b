//go:build !linux

package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
)

type receiverSystem struct {
	packets *ipv4.PacketConn
}

type batchSystem struct {
	memory []byte // of one datagram
}

// NewBatch returns a Batch.
func NewBatch() *Batch {
	return &Batch{batchSystem: batchSystem{memory: make([]byte, messageSize)}}
}

// ListenGroup binds a socket to a group's port and joins it on each of the
// interfaces. It fails if none could be joined; Warnings has those that could not.
func ListenGroup(config ReceiverConfig) (*Receiver, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Group.Addr().Is6() {
		return nil, fmt.Errorf("receive %v: IPv6: %w", config.Group, errors.ErrUnsupported)
	}
	// For a group package net shares the port, and binds it on all addresses.
	var listen net.ListenConfig
	packets, err := listen.ListenPacket(context.Background(), "udp4", config.Group.String())
	if err != nil {
		return nil, err // it names the address
	}
	r := &Receiver{udp: packets.(*net.UDPConn), group: config.Group, source: config.Source, method: ReceiveRead}
	r.packets = ipv4.NewPacketConn(packets)
	if config.Best != ReceiveRead {
		r.warnings = append(r.warnings, fmt.Errorf("no receiving with %v, now with %v: %w", config.Best, r.method, errors.ErrUnsupported))
	}
	if err := r.begin(config); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Receiver) begin(config ReceiverConfig) error {
	if err := r.packets.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true); err != nil {
		return fmt.Errorf("receive %v: %w", r.group, err)
	}
	r.buffer.asked = config.BufferBytes
	for size := config.BufferBytes; size > 0; size /= 2 { // the BSDs refuse what is too large
		if r.udp.SetReadBuffer(size) == nil {
			r.buffer.got = size
			break
		}
	}
	if r.buffer.got < r.buffer.asked {
		r.warnings = append(r.warnings, fmt.Errorf("the receive buffer is %d bytes, not %d", r.buffer.got, r.buffer.asked))
	}
	warnings, err := joinEach(config.Interfaces, r.Join)
	r.warnings = append(r.warnings, warnings...)
	return err
}

// Join joins the group on i too.
func (r *Receiver) Join(i Interface) error {
	if r.joinedSource(i) {
		return nil
	}
	return join(r.packets, r.group.Addr(), i)
}

// Leave leaves the group on i.
func (r *Receiver) Leave(i Interface) error {
	err := r.packets.LeaveGroup(&net.Interface{Index: i.Index}, &net.UDPAddr{IP: r.group.Addr().AsSlice()})
	if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) { // not joined
		return fmt.Errorf("leave %v on %s: %w", r.group.Addr(), i.Name, err)
	}
	return nil
}

// Receive waits for a datagram and puts it into batch. It ends with net.ErrClosed
// after Close and with os.ErrDeadlineExceeded.
func (r *Receiver) Receive(batch *Batch) error {
	batch.datagrams, batch.more = batch.datagrams[:0], false
	for {
		n, info, addr, err := r.packets.ReadFrom(batch.memory)
		if err != nil {
			return fmt.Errorf("receive %v: %w", r.group, err)
		}
		d := Datagram{Payload: batch.memory[:n], Source: unmap(addr.(*net.UDPAddr).AddrPort())}
		if info != nil {
			if dst, ok := netip.AddrFromSlice(info.Dst); ok && dst.Unmap() != r.group.Addr() {
				continue // of another group that somebody joined, or unicast
			}
			d.IfIndex = info.IfIndex
		}
		batch.datagrams, batch.more = append(batch.datagrams, d), true
		return nil
	}
}

// Drops is 0: the count is not to be had here.
func (r *Receiver) Drops() uint64 { return 0 }

// Close ends Receive with net.ErrClosed.
func (r *Receiver) Close() error { return r.udp.Close() }

// FitBuffer leaves the receive buffer as it is: here nobody tells how much memory there is.
func (r *Receiver) FitBuffer() error { return nil }
