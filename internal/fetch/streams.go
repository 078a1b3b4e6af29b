package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// unicastRoom is for packets that come by unicast while the session is busy.
	unicastRoom = 4096
	// acksRoom is for acknowledgements of goodbyes that come by unicast, and for refusals.
	acksRoom = 8
	// answersRoom is for packets of proofs: those of the greatest block are 28.
	answersRoom = 256
	// maxJoined is how many packets the kernel joins to one datagram at most. It drops
	// such a datagram as one (net/ipv4/udp_offload.c, UDP_GRO_CNT_MAX).
	maxJoined = 64
)

// streams receives the session's packets: from the group, or by unicast from the control
// socket. The session's goroutine calls all methods but divert.
type streams struct {
	group  *udp.Receiver // nil if everything comes by unicast from the start
	iface  udp.Interface // that the group is joined on
	server atomic.Pointer[netip.AddrPort]
	source netip.AddrPort // of the group's stream
	conn   *udp.Conn      // the control socket
	batch  *udp.Batch
	inbox  [][]byte // of the last receive

	strangers uint64 // packets of the group that came from elsewhere

	// unicast goes from divert to receive. Packets that do not fit are dropped and counted.
	unicast chan []byte
	// acks goes from divert to the session; those that do not fit are dropped. Nobody closes it.
	acks    chan wire.GoodbyeAck
	wanted  atomic.Bool // by unicast
	dropped atomic.Uint64

	// answers goes from divert to the session. Packets that do not fit are dropped; they are asked
	// for again.
	answers chan []byte
}

// newStreams joins the session's group, unless everything comes by unicast.
func newStreams(cfg *Config, byUnicast bool) (*streams, error) {
	iface, err := udp.InterfaceByName(udp.InterfaceName(cfg.Offer.IfIndex))
	if err != nil {
		return nil, err
	}
	s := &streams{iface: iface, source: cfg.Offer.Source(), conn: cfg.Conn, batch: udp.NewBatch(), unicast: make(chan []byte, unicastRoom), acks: make(chan wire.GoodbyeAck, acksRoom), answers: make(chan []byte, answersRoom)}
	s.server.Store(&cfg.Offer.Server)
	if byUnicast {
		s.wanted.Store(true)
		return s, nil
	}
	s.group, err = udp.ListenGroup(udp.ReceiverConfig{
		Group: cfg.Offer.Session.Data, Interfaces: []udp.Interface{iface}, Source: s.source.Addr(),
	})
	return s, err
}

func (s *streams) close() {
	if s.group != nil {
		s.group.Close()
	}
}

// follow goes on with a server that has another address now, or sends its stream from another one.
// The caller has held its description against the one before: discover.Offer.IsOfSameServer.
func (s *streams) follow(o *discover.Offer) error {
	s.source = o.Source()
	return s.rejoin(s.iface) // for any source: others are dropped in receive
}

// divert takes a packet of the stream that came to the control socket. It runs on that
// socket's reading goroutine.
func (s *streams) divert(from netip.AddrPort, packet []byte) bool {
	if from != *s.server.Load() {
		return false
	}
	kind, _, err := wire.Peek(packet)
	if err == nil && kind == wire.TypeGoodbyeAck {
		if a, err := wire.ParseGoodbyeAck(bytes.Clone(packet)); err == nil {
			select {
			case s.acks <- a:
			default:
			}
		}
		return true
	}
	if err == nil && (kind == wire.TypeBlockProof || kind == wire.TypeSignature) {
		select {
		case s.answers <- bytes.Clone(packet):
		default:
		}
		return true
	}
	if err != nil || kind == wire.TypeDescription || !s.wanted.Load() {
		return false
	}
	select {
	case s.unicast <- bytes.Clone(packet):
	default:
		s.dropped.Add(1)
	}
	return true
}

// receive waits for packets, and tells whether more may be waiting. They are valid until the next
// call.
func (s *streams) receive(wait time.Duration) (packets [][]byte, more bool, err error) {
	s.inbox = s.inbox[:0]
	if s.wanted.Load() {
		s.receiveUnicast(wait)
		return s.inbox, false, nil
	}
	s.group.SetReadDeadline(time.Now().Add(wait))
	if err := s.group.Receive(s.batch); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false, fmt.Errorf("receive the stream: %w", err)
	}
	for _, datagram := range s.batch.Datagrams() {
		if datagram.Source != s.source {
			s.strangers++
			continue
		}
		s.inbox = append(s.inbox, datagram.Payload)
	}
	return s.inbox, s.batch.More(), nil
}

// rejoin joins the group on an interface as it is now, which may be another one.
func (s *streams) rejoin(i udp.Interface) error {
	s.iface = i
	if s.group == nil {
		return nil
	}
	return s.group.Rejoin(i)
}

// mayHold tells whether there is room where packets would wait.
func (s *streams) mayHold() bool { return !s.wanted.Load() || len(s.unicast) <= cap(s.unicast)/2 }

func (s *streams) receiveUnicast(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case packet := <-s.unicast:
		s.inbox = append(s.inbox, packet)
	case <-timer.C:
		return
	}
	for len(s.inbox) < cap(s.unicast) {
		select {
		case packet := <-s.unicast:
			s.inbox = append(s.inbox, packet)
		default:
			return
		}
	}
}

// switchTo changes between the group and unicast.
func (s *streams) switchTo(unicast bool) { s.wanted.Store(unicast) }

// drops returns how often this host had no room for a datagram, and how many packets a
// datagram may have held.
func (s *streams) drops() (times, packetsEach uint64) {
	times, packetsEach = s.dropped.Load()+s.conn.Drops(), 1
	if s.group != nil {
		times += s.group.Drops()
	}
	if !s.wanted.Load() {
		packetsEach = maxJoined
	}
	return times, packetsEach
}
