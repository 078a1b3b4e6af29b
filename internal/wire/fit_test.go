package wire_test

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

// TestPackagesFit passes an image through block, codec, fec and wire, in real
// datagrams over a path that loses, damages, doubles and delays them in both
// directions, and compares every byte. What sends and what receives here is as
// simple as it can be; it stands in for the engines and drivers.
func TestPackagesFit(t *testing.T) {
	geometry := block.Geometry{ImageSize: 64<<20 + 12345, BlockSize: 1 << 20}
	if testing.Short() {
		geometry = block.Geometry{ImageSize: 16<<20 + 12345, BlockSize: 256 << 10} // as many blocks
	}
	image := fitImage(geometry)

	senderConn, receiverConn := listenLoopback(t), listenLoopback(t)
	s, err := newFitSender(senderConn, image, geometry)
	if err != nil {
		t.Fatal(err)
	}
	// From the sender's goroutine, once; there is room for it.
	sent := make(chan error, 1)
	go func() {
		err := s.run()
		if err != nil {
			receiverConn.Close() // it need not wait any longer
		}
		sent <- err
	}()
	r := newFitReceiver(receiverConn, senderConn.LocalAddr().(*net.UDPAddr).AddrPort())
	err = r.run()
	senderConn.Close()
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}

	got := r.objects[wire.Image]
	for id := range block.ID(geometry.BlockCount()) {
		lo := geometry.Offset(id)
		hi := lo + uint64(geometry.Size(id))
		if !bytes.Equal(got.target[lo:hi], image[lo:hi]) {
			t.Fatalf("block %d is not what was sent", id)
		}
	}
	m, err := codec.ParseManifest(r.objects[wire.Manifest].target, geometry)
	if err != nil {
		t.Fatal(err)
	}
	for id := range block.ID(geometry.BlockCount()) {
		if got.digests[id] != m.Digest(id) {
			t.Fatalf("block %d arrived with digest %v, the manifest says %v", id, got.digests[id], m.Digest(id))
		}
	}
	if m.ImageDigest() != r.completion.ImageDigest {
		t.Fatal("the manifest is of another image than the heartbeats say")
	}

	// Without these the test would show less than it claims.
	for _, count := range []struct {
		of string
		n  int
	}{
		{"packets lost", s.path.lost},
		{"packets delayed", s.path.delayed},
		{"packets damaged", r.damaged},
		{"packets of no use", r.useless},
		{"reports lost", r.path.lost},
		{"reports damaged", s.damaged},
		{"nacks served", s.nacks},
		{"blocks sent again", s.wanted},
		{"blocks repaired", r.repaired},
		{"blocks of zeros", r.zeros},
		{"goodbyes", s.goodbyes},
	} {
		if count.n == 0 {
			t.Errorf("%s: none", count.of)
		}
		t.Logf("%-18s %5d", count.of, count.n)
	}
}

const (
	fitSessionID  wire.SessionID  = 0x0f17
	fitReceiverID wire.ReceiverID = 0x0f17_0001
	// fitWindow is the packets that may be on their way: with the kernel's own bytes
	// less than 400 KiB, the usual room of a socket.
	fitWindow = 128
	// fitReportEach packets of the stream, a report lets the window move.
	fitReportEach = 32
	// fitInterval is the time after which either side speaks again into a silence.
	fitInterval = 5 * time.Millisecond
	// fitTimeout is when a silence is a fault of this test, not of the path.
	fitTimeout = 30 * time.Second
)

// What the first pass of the sender does not let through at all.
var fitDropped = []block.ID{10, 11, 12, 13, 20}

// fitImage is of bytes without a pattern, but for some blocks of zeros.
func fitImage(g block.Geometry) []byte {
	image := make([]byte, g.ImageSize)
	rand.NewChaCha8([32]byte{'f', 'i', 't'}).Read(image)
	clearBlock := func(id block.ID) []byte {
		b := image[g.Offset(id):][:g.Size(id)]
		clear(b)
		return b
	}
	for _, id := range []block.ID{0, 3, 10, 11, 12, 13, 40} {
		clearBlock(id)
	}
	b := clearBlock(30) // zeros, but for the last byte
	b[len(b)-1] = 1
	return image
}

func listenLoopback(t *testing.T) *net.UDPConn {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// badPath sends datagrams and treats some of them as a bad network does.
type badPath struct {
	conn *net.UDPConn
	to   netip.AddrPort
	rng  *rand.Rand
	late [][]byte // held back, to arrive behind others

	lost, delayed int
}

func (p *badPath) send(b []byte) error {
	times := 1
	switch dice := p.rng.Float64(); {
	case dice < 0.05:
		p.lost++
		return nil
	case dice < 0.06: // damaged
		b = bytes.Clone(b)
		b[p.rng.IntN(len(b))] ^= 1 << p.rng.IntN(8)
	case dice < 0.07:
		times = 2
	case dice < 0.08:
		p.delayed++
		p.late = append(p.late, bytes.Clone(b))
		return nil
	}
	for range times {
		if _, err := p.conn.WriteToUDPAddrPort(b, p.to); err != nil {
			return err
		}
	}
	if len(p.late) > 0 && p.rng.IntN(50) == 0 {
		return p.release()
	}
	return nil
}

// release lets go what is held back.
func (p *badPath) release() error {
	for _, b := range p.late {
		if _, err := p.conn.WriteToUDPAddrPort(b, p.to); err != nil {
			return err
		}
	}
	p.late = p.late[:0]
	return nil
}

// receive returns the next datagram in buf, and none after fitInterval.
func receive(conn *net.UDPConn, buf []byte) ([]byte, netip.AddrPort, error) {
	if err := conn.SetReadDeadline(time.Now().Add(fitInterval)); err != nil {
		return nil, netip.AddrPort{}, err
	}
	n, from, err := conn.ReadFromUDPAddrPort(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, netip.AddrPort{}, nil
	}
	return buf[:n], from, err
}

// blockKey names a block of either object.
type blockKey struct {
	object wire.Object
	id     block.ID
}

func compareKeys(a, b blockKey) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.id, b.id))
}
