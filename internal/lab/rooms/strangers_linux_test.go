package rooms

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
)

const (
	streamAddress = "225.0.20.10:16000"
	// floodInterval is between two rounds of a flood.
	floodInterval = 500 * time.Microsecond
)

// flood has a host send each of the packets to an address again and again, from
// one port, until stop is called or the test ends.
func (r *room) flood(host int, to string, packets ...[]byte) (stop func()) {
	r.Helper()
	address, err := net.ResolveUDPAddr("udp4", to)
	r.must(err)
	var socket *net.UDPConn
	r.must(r.Hosts[host].Do(func() error {
		conn, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		socket = conn
		return ipv4.NewPacketConn(conn).SetMulticastInterface(&net.Interface{Index: r.Hosts[host].Index})
	}))
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(floodInterval)
		defer tick.Stop()
		for {
			for _, p := range packets {
				// Refused where nobody listens yet.
				if _, err := socket.WriteToUDP(p, address); errors.Is(err, net.ErrClosed) {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	stop = func() {
		cancel()
		<-ended
		socket.Close()
	}
	r.Cleanup(stop)
	return stop
}

func packet(op mxb1.Op, size uint16, block uint32, payload []byte) []byte {
	return append(mxb1.Header{Op: op, Size: size, Block: block}.AppendTo(nil), payload...)
}

// TestStrangersOnTheStream floods a group with what is no block of the server, and
// looks at what a client counts.
func TestStrangersOnTheStream(t *testing.T) {
	const blocks = 2 * mib / 1024
	full := bytes.Repeat([]byte{0xAA}, 1024)
	garbage := make([]byte, 1400)
	_, _ = rand.NewChaCha8([32]byte{}).Read(garbage)
	var foreign [][]byte // good blocks of another server
	for id := range uint32(64) {
		foreign = append(foreign, packet(mxb1.OpBlock, 1024, id*32, full))
	}
	for _, c := range []struct {
		name    string
		packets [][]byte
		foreign bool // counted as strangers, else as bad
	}{
		{"garbage", [][]byte{garbage, garbage[:1], {}}, false},
		{"cut", [][]byte{packet(mxb1.OpBlock, 1024, 5, full[:1000]), packet(mxb1.OpBlock, 1024, 5, nil)[:11]}, false},
		{"too long", [][]byte{packet(mxb1.OpBlock, 1024, 5, append(full[:1024:1024], 0)), packet(mxb1.OpBlock, 1025, 5, append(full[:1024:1024], 0))}, false},
		{"empty", [][]byte{packet(mxb1.OpBlock, 0, 5, nil), packet(mxb1.OpBlock, 0, blocks, nil)}, false},
		{"short block in the middle", [][]byte{packet(mxb1.OpBlock, 7, 5, full[:7])}, false},
		{"past the end", [][]byte{packet(mxb1.OpBlock, 1024, blocks, full), packet(mxb1.OpBlock, 1024, 1<<32-1, full), packet(mxb1.OpBlock, 1024, 1<<31, full)}, false},
		{"other packets", [][]byte{packet(mxb1.OpMapRequest, 0, 0, nil), packet(9, 3, 0, full[:3]), mxb1.BlockRequest{Last: 9}.AppendTo(nil)}, false},
		{"another server's", foreign, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, lab.Config{Hosts: 3}, 2*mib)
			r.serve(0)
			r.flood(2, streamAddress, c.packets...)
			end := r.receive(1).finishes()
			if end.Strangers > 0 != c.foreign || end.BadPackets > 0 == c.foreign {
				t.Errorf("%d packets of strangers and %d bad ones are counted", end.Strangers, end.BadPackets)
			}
		})
	}
}

// TestStrangersAtTheServer floods the control port of a server.
func TestStrangersAtTheServer(t *testing.T) {
	const blocks = 2 * mib / 1024
	request := func(first, last uint32) []byte {
		return mxb1.BlockRequest{First: first, Last: last}.AppendTo(nil)
	}
	for _, c := range []struct {
		name    string
		packets [][]byte
		bad     bool // counted as such
	}{
		{"garbage", [][]byte{{}, {0}, bytes.Repeat([]byte{0x4D}, 1400)}, true},
		{"backwards", [][]byte{request(9, 8), request(1<<32-1, 0)}, true},
		{"past the end", [][]byte{request(blocks, blocks), request(1<<32-1, 1<<32-1)}, true},
		{"cut", [][]byte{request(0, 9)[:19], packet(mxb1.OpBlockRequest, 4, 0, make([]byte, 4))}, true},
		{"other packets", [][]byte{packet(mxb1.OpBlock, 3, 0, make([]byte, 3)), packet(77, 0, 0, nil), descriptionOf("x", 1024)}, true},
		{"map requests", [][]byte{packet(mxb1.OpMapRequest, 0, 0, nil), packet(mxb1.OpMapRequest, 1400, 0, make([]byte, 1400))}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, lab.Config{Hosts: 3}, 2*mib)
			s := r.serve(0)
			r.flood(2, "10.77.0.1:7500", c.packets...)
			finish(r.receive(1))
			end := s.stop()
			if end.BadPackets > 0 != c.bad {
				t.Errorf("%d bad packets are counted", end.BadPackets)
			}
			if end.ClientsSeen != 1 {
				t.Errorf("%d clients are counted", end.ClientsSeen)
			}
		})
	}
}

// descriptionOf is a description as an original server sends it.
func descriptionOf(name string, size uint64) []byte {
	return mxb1.Description{SizeBytes: size, Name: name}.AppendTo(nil)
}

// TestStrangersDescriptions floods the control port of a client with descriptions
// that nobody can use while it looks for a server, and with those of another image
// while it receives.
func TestStrangersDescriptions(t *testing.T) {
	const port = "40000"
	good := descriptionOf("x.img", 1<<20)
	changed := func(at int, value uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[at:], value)
		return b
	}
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	stop := r.flood(2, "10.77.0.2:"+port,
		nil, []byte("MXBP"), good[:len(good)-1], good[:20],
		changed(mxb1.HeaderSize+8, 512),       // size of a block
		changed(mxb1.HeaderSize+8, 0),         //
		changed(mxb1.HeaderSize+12, 7),        // count of blocks
		changed(mxb1.HeaderSize, 1<<31),       // size of the image
		descriptionOf("", 0),                  //
		packet(mxb1.OpDescription, 0, 0, nil), //
		packet(mxb1.OpDescription, 1400, 0, make([]byte, 1400)),
		packet(mxb1.OpBlock, 4, 0, []byte("abcd")))
	c := r.receive(1, "-f", port)
	// Long enough to have read some: it asks for a second time.
	asked := r.sentBytes(1)
	r.await("the client asks again", func() bool { return r.sentBytes(1) >= asked+6*60 })
	s := r.serve(0)
	c.found()
	stop()
	r.flood(2, "10.77.0.2:"+port, descriptionOf("other.img", imageBytes), good)
	if end := c.finishes(); end.Server != "10.77.0.1:7500" || end.BadPackets == 0 || end.Strangers == 0 {
		t.Errorf("received from %s; counted %d bad packets and %d of strangers", end.Server, end.BadPackets, end.Strangers)
	}
	s.stop()
}
