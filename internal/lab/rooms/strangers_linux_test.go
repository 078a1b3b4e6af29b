package rooms

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
	"multiserver/internal/progress"
	"multiserver/internal/wire"
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
	return r.floodAs(host, "", to, packets...)
}

// serverAddress is that of the server in host 0, and the source of its stream.
const serverAddress = "10.77.0.1:7500"

// floodAs is flood from an address that may be another host's: "" is the host's own.
func (r *room) floodAs(host int, from, to string, packets ...[]byte) (stop func()) {
	r.Helper()
	address, err := net.ResolveUDPAddr("udp4", to)
	r.must(err)
	socket := r.sendingFrom(host, from)
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
// looks at what a client of MXB 1 counts.
func TestStrangersOnTheStream(t *testing.T) {
	t.Parallel()
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
			t.Parallel()
			r := newRoomOf(t, speaksMXB1, lab.Config{Hosts: 3}, 2*mib)
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
	t.Parallel()
	const blocks = 2 * mib / 1024
	request := func(first, last uint32) []byte {
		return mxb1.BlockRequest{First: first, Last: last}.AppendTo(nil)
	}
	for _, c := range []struct {
		name    string
		packets [][]byte
		bad     bool // counted as such
	}{
		{"of another session", [][]byte{
			wire.Report{Session: 77, Receiver: 1, Number: 1}.AppendTo(nil),
			wire.Goodbye{Session: 77, Receiver: 1, Outcome: wire.OutcomeDone}.AppendTo(nil),
			wire.Wanted{Session: 77, Receiver: 1, Pages: 1, Ranges: wire.List[wire.Range]{}.Append(wire.Range{Count: 2})}.AppendTo(nil),
		}, true},
		{"symbols", [][]byte{symbolOf(77)}, true},
		{"garbage", [][]byte{{}, {0}, bytes.Repeat([]byte{0x4D}, 1400)}, true},
		{"backwards", [][]byte{request(9, 8), request(1<<32-1, 0)}, true},
		{"past the end", [][]byte{request(blocks, blocks), request(1<<32-1, 1<<32-1)}, true},
		{"cut", [][]byte{request(0, 9)[:19], packet(mxb1.OpBlockRequest, 4, 0, make([]byte, 4))}, true},
		{"other packets", [][]byte{packet(mxb1.OpBlock, 3, 0, make([]byte, 3)), packet(77, 0, 0, nil), descriptionOf("x", 1024)}, true},
		{"map requests", [][]byte{packet(mxb1.OpMapRequest, 0, 0, nil), packet(mxb1.OpMapRequest, 1400, 0, make([]byte, 1400))}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, 2*mib)
			s := r.serve(0)
			r.flood(2, "10.77.0.1:7500", c.packets...)
			finish(r.receive(1), r.receive(3, "--mxb1"))
			end := s.stop()
			if end.BadPackets > 0 != c.bad {
				t.Errorf("%d bad packets are counted", end.BadPackets)
			}
			if end.ClientsSeen != 1 || !slices.Equal(outcomes(end), []string{"done"}) {
				t.Errorf("%d clients of MXB 1 are counted, and of MXB 2 %v", end.ClientsSeen, outcomes(end))
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
	t.Parallel()
	const port = "40000"
	good := descriptionOf("x.img", 1<<20)
	changed := func(at int, value uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[at:], value)
		return b
	}
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{Hosts: 3}, imageBytes)
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
		c.reaches(0.3) // 0.3 s at the rate of a room: other servers have had their time to answer
		stop()
		r.flood(2, "10.77.0.2:"+port, descriptionOf("other.img", imageBytes), good)
		if end := c.finishes(); end.Server != "10.77.0.1:7500" || end.BadPackets == 0 || end.Strangers == 0 {
			t.Errorf("received from %s; counted %d bad packets and %d of strangers", end.Server, end.BadPackets, end.Strangers)
		}
		s.stop()
	})
}

// dataGroup is where servers of these tests send by MXB 2.
const dataGroup = "239.192.1.1"

// symbolOf is a symbol of a session, of block 0.
func symbolOf(session wire.SessionID) []byte {
	return wire.Symbol{
		Session: session, Sequence: 5, K: 727, Symbol: 3, Data: bytes.Repeat([]byte{0xAA}, symbolBytes),
	}.AppendTo(nil)
}

// TestStrangersOnTheDataGroup floods the group of an MXB 2 stream with what is not of
// its session.
func TestStrangersOnTheDataGroup(t *testing.T) {
	t.Parallel()
	noise := func(start ...byte) []byte {
		b := make([]byte, 28+symbolBytes)
		_, _ = rand.NewChaCha8([32]byte{}).Read(b)
		copy(b, start)
		return b
	}
	symbol := symbolOf(77)
	var control [][]byte
	for _, state := range []wire.SenderState{wire.SenderStopped, wire.SenderImageChanged, wire.SenderImageFailed} {
		control = append(control, wire.Heartbeat{Session: 77, Sequence: 1 << 30, State: state, ReportInterval: time.Minute}.AppendTo(nil))
	}
	control = append(control, wire.ZeroRun{Session: 77, Sequence: 9, Count: 2}.AppendTo(nil))
	for _, c := range []struct {
		name    string
		packets [][]byte
		foreign bool // counted as strangers, else as bad
	}{
		{"garbage", [][]byte{noise(), noise()[:1], {}, []byte("MXB2")}, false},
		{"cut", [][]byte{symbol[:15], symbol[:3], control[0][:11]}, false},
		{"other packets", [][]byte{packet(mxb1.OpBlock, 1024, 5, bytes.Repeat([]byte{1}, 1024)), symbolOf(77)[1:]}, false},
		{"noise that begins as symbols do", [][]byte{noise(symbol[:2]...)}, true},
		{"another session's symbols", [][]byte{symbol}, true},
		{"another session's control packets", control, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 3}, 2*mib)
			s := r.serve(0, "--data-group", dataGroup)
			r.floodAs(2, serverAddress, dataGroup+":16000", c.packets...) // others are not even heard
			end := r.receive(1).finishes()
			if end.Strangers > 0 != c.foreign || end.BadPackets > 0 == c.foreign {
				t.Errorf("%d packets of strangers and %d bad ones are counted", end.Strangers, end.BadPackets)
			}
			if times := r.times(s.stop()); times > 1.1 {
				t.Errorf("the server sent %v times the image", times)
			}
		})
	}
}

// TestMeddler has a host that hears the stream of MXB 2 and sends along what it
// makes of each packet.
func TestMeddler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		meddle  func(n int, packet []byte) [][]byte
		counted func(end progress.ClientRecord) uint64
	}{
		{
			name: "a bit flipped",
			meddle: func(n int, packet []byte) [][]byte {
				bit := n * 7919 % (8 * len(packet))
				packet[bit/8] ^= 1 << (bit % 8)
				return [][]byte{packet}
			},
			counted: func(end progress.ClientRecord) uint64 { return end.BadPackets },
		},
		{
			name: "a bit of the data flipped",
			meddle: func(n int, packet []byte) [][]byte {
				packet[len(packet)-1-n%16] ^= 1
				return [][]byte{packet}
			},
			counted: func(end progress.ClientRecord) uint64 { return end.BadPackets },
		},
		{
			name:    "cut",
			meddle:  func(n int, packet []byte) [][]byte { return [][]byte{packet[:len(packet)*(n%8)/8]} },
			counted: func(end progress.ClientRecord) uint64 { return end.BadPackets },
		},
		{
			name:    "twice more",
			meddle:  func(n int, packet []byte) [][]byte { return [][]byte{packet, packet} },
			counted: func(end progress.ClientRecord) uint64 { return end.Duplicates },
		},
		{
			name: "all of the last hundred again, backwards",
			meddle: func() func(int, []byte) [][]byte {
				var kept [][]byte
				return func(n int, packet []byte) [][]byte {
					kept = append([][]byte{bytes.Clone(packet)}, kept...)
					if len(kept) < 100 {
						return nil
					}
					all := kept
					kept = nil
					return all
				}
			}(),
			counted: func(end progress.ClientRecord) uint64 { return end.Duplicates },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
			s := r.serve(0, "--data-group", dataGroup, "--rate", "32M")
			r.meddle(3, dataGroup+":16000", c.meddle)
			first := r.receive(1)
			first.reaches(0.3)
			late := r.receive(2)
			a, b := first.finishes(), late.finishes()
			if c.counted(a) == 0 || c.counted(b) == 0 {
				t.Errorf("not counted: %+v, %+v", a, b)
			}
			// Two passes at most, and some repair.
			if times := r.times(s.stop()); times > 2.5 {
				t.Errorf("the server sent %v times the image", times)
			}
		})
	}
}

// TestStreamOfBefore replays the stream of an earlier session of the same image while
// a server, started again, sends.
func TestStreamOfBefore(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
	s := r.serve(0, "--data-group", dataGroup)
	var mu sync.Mutex
	var before [][]byte
	done := false
	r.meddle(3, dataGroup+":16000", func(n int, packet []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			before = append(before, bytes.Clone(packet))
			return nil
		}
		return [][]byte{before[n%len(before)]}
	})
	finish(r.receive(1))
	s.stop() // its last words are of the old session, too
	mu.Lock()
	done = true
	mu.Unlock()
	r.serve(0, "--data-group", dataGroup)
	if end := r.receive(2).finishes(); end.Strangers == 0 {
		t.Error("no stranger's packets are counted")
	}
}

// meddle has a host hear a group and send there as the server, for each packet and its number, what
// change makes of it, which may keep the packet until it is called again.
func (r *room) meddle(host int, group string, change func(n int, packet []byte) [][]byte) {
	r.Helper()
	address, err := net.ResolveUDPAddr("udp4", group)
	r.must(err)
	var in, out *net.UDPConn
	r.must(r.Hosts[host].Do(func() error {
		iface := &net.Interface{Index: r.Hosts[host].Index}
		var err error
		if in, err = net.ListenMulticastUDP("udp4", iface, address); err != nil {
			return err
		}
		at, err := net.ResolveUDPAddr("udp4", serverAddress)
		if err != nil {
			return err
		}
		if out, err = listenTransparent(at); err != nil { // clients hear nobody else
			return err
		}
		p := ipv4.NewPacketConn(out)
		// It must not hear itself.
		return errors.Join(p.SetMulticastInterface(iface), p.SetMulticastLoopback(false))
	}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packet := make([]byte, 2048)
		for n := 0; ; n++ {
			size, err := in.Read(packet)
			if err != nil {
				return
			}
			for _, each := range change(n, packet[:size]) {
				_, _ = out.WriteToUDP(each, address) // a meddler may fail
			}
		}
	}()
	r.Cleanup(func() {
		in.Close()
		<-ended
		out.Close()
	})
}
