package original

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
)

// unicastServer returns a server of the file at path whose blocks go to the
// socket returned alone: nothing else on the host can make a test lose one.
func unicastServer(t *testing.T, path string) (s *Server, blocks *net.UDPConn, printed *lines) {
	t.Helper()
	blocks, printed = socket(t), newLines()
	s = newServer(t, ServerConfig{File: path, Group: localhost, Port: portOf(blocks), Output: printed})
	return s, blocks, printed
}

func TestMapRequest(t *testing.T) {
	path, _ := image(t, 100000)
	s, _, _ := unicastServer(t, path)
	start(t, s.Run)
	asker := socket(t)
	want := description{100000, 1024, 98, path}.packet()
	for _, payload := range []string{"", "anything", string(make([]byte, 1400))} {
		send(t, asker, packet(opMapRequest, 0, []byte(payload)), at(s.controlPort()))
		got, from := receive(t, asker)
		if !bytes.Equal(got, want) {
			t.Errorf("with %d bytes of payload: got %x, want %x", len(payload), got, want)
		}
		if from.Port() != s.controlPort() {
			t.Errorf("answer from port %d, want the control port %d", from.Port(), s.controlPort())
		}
	}
}

func TestBlockRequests(t *testing.T) {
	path, b := image(t, 2*1024+5)
	s, blocks, _ := unicastServer(t, path)
	start(t, s.Run)
	asker := socket(t)
	send(t, asker, []byte("not a packet at all"), at(s.controlPort()))
	send(t, asker, blockRequest(1, 2)[:headerSize+7], at(s.controlPort()))
	block := [][]byte{
		packet(opBlock, 0, b[:1024]),
		packet(opBlock, 1, b[1024:2048]),
		packet(opBlock, 2, b[2048:]),
		packet(opBlock, 3, nil), // one past the end
	}
	expect := func(ids ...int) {
		t.Helper()
		for i, id := range ids {
			got, from := receive(t, blocks)
			if !bytes.Equal(got, block[id]) {
				t.Fatalf("block %d of the answers: got\n%x, want\n%x", i, got, block[id])
			}
			if from.Port() == s.controlPort() {
				t.Errorf("block %d comes from the control port", id)
			}
		}
	}
	for _, each := range []*net.UDPConn{asker, socket(t)} { // the same twice: not merged
		send(t, each, blockRequest(1, 2), at(s.controlPort()))
	}
	expect(1, 2, 1, 2)
	send(t, asker, blockRequest(0, 3), at(s.controlPort()))
	expect(0, 1, 2, 3)
}

func TestWedge(t *testing.T) {
	path, _ := image(t, 1)
	s, blocks, printed := unicastServer(t, path)
	stop, ended := start(t, s.Run)
	asker := socket(t)
	send(t, asker, packet(opMapRequest, 0, nil), at(s.controlPort()))
	receive(t, asker)
	send(t, asker, blockRequest(1, 0), at(s.controlPort()))
	send(t, asker, packet(opMapRequest, 0, nil), at(s.controlPort()))
	send(t, asker, blockRequest(0, 0), at(s.controlPort()))
	printed.wait("wedged", 2)
	stop()
	ended.wait()
	nothingMore(t, asker)
	nothingMore(t, blocks)
}

// held is an image whose reads wait until released.
type held struct {
	io.ReadSeeker
	reached func()        // called by each read
	release chan struct{} // closed by the test
}

func (h held) Read(b []byte) (int, error) {
	h.reached()
	<-h.release
	return h.ReadSeeker.Read(b)
}

// TestSecondRequestWhileOneWaits holds the server in the first request's first read
// and sends it more of them.
func TestSecondRequestWhileOneWaits(t *testing.T) {
	const a, b, c = 0, 1, 2
	for _, test := range []struct {
		name   string
		askers []int
		hangs  bool
	}{
		{"one client", []int{a}, false},
		{"one client, twice", []int{a, a}, true},
		{"two clients", []int{a, b}, false},
		{"two clients, one of them twice", []int{a, b, b}, true},
		{"three clients", []int{a, b, c}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, _ := image(t, 3*blockSize)
			s, blocks, printed := unicastServer(t, path)
			reached, release := make(chan struct{}), make(chan struct{})
			s.image = held{s.image, sync.OnceFunc(func() { close(reached) }), release}
			stop, ended := start(t, s.Run)
			askers := []*net.UDPConn{socket(t), socket(t), socket(t)}
			for i, each := range test.askers {
				send(t, askers[each], blockRequest(0, 1), at(s.controlPort()))
				if i == 0 {
					<-reached
				}
			}
			// The map request comes behind them, and so do its answer or its refusal.
			send(t, askers[a], packet(opMapRequest, 0, nil), at(s.controlPort()))
			s.awaitArrived(len(test.askers))
			close(release)
			if test.hangs {
				printed.wait("wedged, not served", len(test.askers))
				printed.wait("wedged while", 1)
			} else {
				for range test.askers {
					receive(t, blocks)
					receive(t, blocks)
				}
				receive(t, askers[a])
				// Answered, it takes the next one.
				send(t, askers[a], blockRequest(2, 2), at(s.controlPort()))
				receive(t, blocks)
			}
			stop()
			ended.wait()
			nothingMore(t, askers[a])
		})
	}
}

// awaitArrived returns when so many block requests are under way.
func (s *Server) awaitArrived(count int) {
	for arrived := 0; arrived < count; runtime.Gosched() {
		s.requests.mu.Lock()
		arrived = s.requests.count
		s.requests.mu.Unlock()
	}
}

func TestReceiveBuffer(t *testing.T) {
	path, _ := image(t, 1)
	s, blocks, printed := unicastServer(t, path)
	reached, release := make(chan struct{}), make(chan struct{})
	s.image = held{s.image, sync.OnceFunc(func() { close(reached) }), release}
	stop, ended := start(t, s.Run)
	asker := socket(t)
	send(t, asker, blockRequest(0, 0), at(s.controlPort()))
	<-reached
	const queued, lost = 128, 7
	for range queued + lost {
		send(t, asker, packet(opMapRequest, 0, nil), at(s.controlPort()))
	}
	printed.wait("receive buffer full", lost)
	close(release)
	receive(t, blocks)
	for range queued {
		receive(t, asker)
	}
	stop()
	ended.wait()
	nothingMore(t, asker)
}

func TestNeverJoins(t *testing.T) {
	path, _ := image(t, 1)
	group, witnessed := freshGroup(), freshGroup()
	s := newServer(t, ServerConfig{File: path, Group: group, Interface: loopback(t)})
	stop, ended := start(t, s.Run)
	byMulticast, byUnicast, witness := socket(t), socket(t), anywhere(t)
	if err := sendVia(byMulticast, loopback(t)); err != nil {
		t.Fatal(err)
	}
	// The witness shows that this socket's multicast arrives where it is joined.
	if err := join(witness, witnessed, loopback(t)); err != nil {
		t.Fatal(err)
	}
	request := packet(opMapRequest, 0, nil)
	send(t, byMulticast, request, netip.AddrPortFrom(witnessed, portOf(witness)))
	receive(t, witness)

	send(t, byMulticast, request, netip.AddrPortFrom(group, s.controlPort()))
	send(t, byUnicast, request, at(s.controlPort()))
	receive(t, byUnicast)
	stop()
	ended.wait()
	nothingMore(t, byMulticast)
}

var errRead = errors.New("bad sector")

// faulty is an image of which chosen reads fail.
type faulty struct {
	io.ReadSeeker
	reads int
	fails func(read int) bool
}

func (f *faulty) Read(b []byte) (int, error) {
	f.reads++
	if f.fails(f.reads - 1) {
		return 0, errRead
	}
	return f.ReadSeeker.Read(b)
}

func TestReadErrorShiftsData(t *testing.T) {
	path, b := image(t, 4*1024)
	s, blocks, _ := unicastServer(t, path)
	s.image = &faulty{ReadSeeker: s.image, fails: func(read int) bool { return read == 1 }}
	start(t, s.Run)
	send(t, socket(t), blockRequest(0, 3), at(s.controlPort()))
	for _, want := range [][]byte{
		packet(opBlock, 0, b[:1024]),
		packet(opBlock, 2, b[1024:2048]),
		packet(opBlock, 3, b[2048:3072]),
	} {
		if got, _ := receive(t, blocks); !bytes.Equal(got, want) {
			t.Fatalf("got\n%x, want\n%x", got, want)
		}
	}
}

func TestEndsAfterReadErrors(t *testing.T) {
	path, _ := image(t, blockSize)
	s, blocks, _ := unicastServer(t, path)
	// 100 in a row, then one that works, then 101 in a row.
	image := &faulty{ReadSeeker: s.image, fails: func(read int) bool { return read != maxReadErrors }}
	s.image = image
	_, ended := start(t, s.Run)
	send(t, socket(t), blockRequest(0, 1000), at(s.controlPort()))
	receive(t, blocks)
	if err := ended.wait(); !errors.Is(err, errRead) {
		t.Errorf("ended with %v, want %v", err, errRead)
	}
	if want := maxReadErrors + 1 + maxReadErrors + 1; image.reads != want {
		t.Errorf("ended after %d reads, want %d", image.reads, want)
	}
}

func TestEndsOnFailingSend(t *testing.T) {
	path, _ := image(t, 1)
	s, _, _ := unicastServer(t, path)
	s.blocks.Close()
	_, ended := start(t, s.Run)
	send(t, socket(t), blockRequest(0, 0), at(s.controlPort()))
	if err := ended.wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v, want %v", err, net.ErrClosed)
	}
}
