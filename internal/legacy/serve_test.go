package legacy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multiserver/internal/guard"
	"multiserver/internal/image"
	"multiserver/internal/mxb1"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
)

// testTimeout is when a test gives up on what has to come.
const testTimeout = 20 * time.Second

// TestChoose: the first to ask decides which network is served, until nobody has asked for
// ten seconds and all is sent.
func TestChoose(t *testing.T) {
	now := time.Unix(1000, 0)
	served := []transmit.Sender{nil}
	for _, c := range []struct {
		name    string
		network network
		after   time.Duration // the last request
		owed    uint64
		want    choice
	}{
		{"the first request", network{}, 0, 0, move},
		{"an interface is named", network{fixed: true, ifIndex: 2, to: served}, time.Hour, 0, stay},
		{"the same network", network{ifIndex: 3, to: served}, 0, 5, stay},
		{"another network, at once", network{ifIndex: 2, to: served}, 0, 0, refuse},
		{"another network, after 10 s", network{ifIndex: 2, to: served}, quietTime, 0, refuse},
		{"another network, later", network{ifIndex: 2, to: served}, quietTime + 1, 0, move},
		{"another network, and blocks are owed", network{ifIndex: 2, to: served}, time.Hour, 1, refuse},
	} {
		c.network.asked = now.Add(-c.after)
		if got := c.network.choose(now, 3, c.owed); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// room runs a Server on the loopback interface.
type room struct {
	*testing.T
	*Server
	lo     udp.Interface
	client *net.UDPConn
	ended  chan error
}

func newRoom(t *testing.T, source image.Source, group netip.Addr) *room {
	all, err := udp.CandidateInterfaces("lo", group)
	if err != nil {
		t.Skipf("no loopback interface: %v", err)
	}
	t.Cleanup(func() { goleak.VerifyNone(t) })
	conn, err := udp.Listen(udp.ConnConfig{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	transmitter := transmit.New(transmit.Config{Group: group, RateBitsPerSec: 300e6, Log: log})
	r := &room{T: t, lo: all[0], ended: make(chan error, 1)}
	// Nobody else binds the control port to that group, as long as we have it.
	r.Server, err = NewServer(ServerConfig{
		Source: source, Conn: conn, Queue: transmitter.NewQueue(BatchesInFlight, transmit.Place{}), Group: group, Port: conn.LocalAddr().Port(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.client, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { transmitter.Run(ctx) })
	running.Go(func() { r.ended <- r.Server.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		conn.Close()
		r.client.Close()
	})
	return r
}

func randomGroup() netip.Addr {
	var b [2]byte
	rand.Read(b[:])
	return netip.AddrFrom4([4]byte{239, 255, b[0], b[1]})
}

// ask hands a packet to the server as if the client had sent it.
func (r *room) ask(packet []byte) {
	r.Helper()
	h, payload, err := mxb1.Parse(packet)
	if err != nil {
		r.Fatal(err)
	}
	r.Handle(r.Context(), h, payload, udp.Arrival{From: r.client.LocalAddr().(*net.UDPAddr).AddrPort(), IfIndex: r.lo.Index})
}

func (r *room) askBlocks(first, last uint32) {
	r.ask(mxb1.BlockRequest{First: first, Last: last}.AppendTo(nil))
}

// TestServes: a client that asks gets the description and then every block, the last one
// short; what there is not is refused and counted.
func TestServes(t *testing.T) {
	content := make([]byte, 100*mxb1.BlockSize+7)
	rand.Read(content)
	source, err := image.FromReader(bytes.NewReader(content), uint64(len(content)), "an.img")
	if err != nil {
		t.Fatal(err)
	}
	group := randomGroup()
	r := newRoom(t, source, group)
	buf := make([]byte, 2048)
	for _, c := range []struct {
		offer   []byte
		trailer bool
	}{{nil, false}, {mxb1.Offer(), true}} {
		r.ask(mxb1.AppendMapRequest(nil, c.offer))
		r.client.SetReadDeadline(time.Now().Add(testTimeout))
		n, err := r.client.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		_, payload, _ := mxb1.Parse(buf[:n])
		d, err := mxb1.ParseDescription(payload)
		if err != nil || d.SizeBytes != source.Size() || d.Name != "an.img" || d.HasTrailer != c.trailer {
			t.Errorf("offer %x: %+v, %v", c.offer, d, err)
		}
	}
	stream, err := udp.ListenGroup(udp.ReceiverConfig{Group: netip.AddrPortFrom(group, r.cfg.Port), Interfaces: []udp.Interface{r.lo}})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	r.askBlocks(101, 200) // there are none
	r.askBlocks(0, 101)   // one too many, as an original client asks
	got, have := make([]byte, len(content)), map[uint32]bool{}
	for batch := udp.NewBatch(); len(have) < 101; {
		stream.SetReadDeadline(time.Now().Add(testTimeout))
		if err := stream.Receive(batch); err != nil {
			t.Fatalf("after %d blocks: %v", len(have), err)
		}
		for _, datagram := range batch.Datagrams() {
			h, payload, err := mxb1.Parse(datagram.Payload)
			if err != nil || h.Op != mxb1.OpBlock {
				t.Fatalf("in the stream: %+v, %v", h, err)
			}
			have[h.Block] = true
			copy(got[int(h.Block)*mxb1.BlockSize:], payload)
		}
	}
	if !bytes.Equal(got, content) {
		t.Error("the blocks are not the image's")
	}
	f := r.Figures()
	if f.Requests != 1 || f.BadPackets != 1 || f.PendingBytes != 0 || f.Network != r.lo.Name || len(f.Requesters) != 1 || f.Requesters[0].AskedBytes != 101*mxb1.BlockSize {
		t.Errorf("figures: %+v", f)
	}
	r.ask(mxb1.Header{Op: mxb1.OpBlock}.AppendTo(nil))
	if got := r.Figures().BadPackets; got != 2 {
		t.Errorf("%d bad packets after a block from a client", got)
	}
}

// changing is an image that somebody writes to.
type changing struct{ *bytes.Reader }

func (changing) Changed() error { return errors.New("somebody wrote") }

// TestChanged: an image that has changed is not described, and none of it is sent.
func TestChanged(t *testing.T) {
	source, err := image.FromReader(changing{bytes.NewReader(make([]byte, 5000))}, 5000, "an.img")
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, source, randomGroup())
	r.ask(mxb1.AppendMapRequest(nil, nil))
	r.askBlocks(0, 4)
	select {
	case err := <-r.ended:
		if !errors.Is(err, image.ErrChanged) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(testTimeout):
		t.Fatal("it does not end")
	}
	// What the server sent lies before what is sent now.
	addr := r.client.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := r.client.WriteToUDPAddrPort([]byte("end"), addr); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	if n, err := r.client.Read(buf); err != nil || string(buf[:n]) != "end" {
		t.Errorf("an answer of %d bytes, %v", n, err)
	}
}

// TestUnreadable: an image that cannot be read ends the service.
func TestUnreadable(t *testing.T) {
	source, err := image.FromReader(bytes.NewReader(make([]byte, 100)), 5000, "an.img") // it has shrunk
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, source, randomGroup())
	r.askBlocks(0, 4)
	select {
	case err := <-r.ended:
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(testTimeout):
		t.Error("it does not end")
	}
}

// TestUseInterface: the configured interface comes back under another index.
func TestUseInterface(t *testing.T) {
	source, err := image.FromReader(bytes.NewReader(make([]byte, 5000)), 5000, "an.img")
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, source, randomGroup())
	r.UseInterface(r.lo.Index + 1000)
	r.UseInterface(r.lo.Index) // the newest counts
	for limit := time.Now().Add(testTimeout); r.Figures().Network != r.lo.Name; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it sends on %q", r.Figures().Network)
		}
	}
}

// TestBesideMXB2: while MXB 2 has something to send, who asks again and again gets one pass, and
// later as many as he likes.
func TestBesideMXB2(t *testing.T) {
	const blocks = 1000
	content := make([]byte, blocks*mxb1.BlockSize)
	source, err := image.FromReader(bytes.NewReader(content), uint64(len(content)), "an.img")
	if err != nil {
		t.Fatal(err)
	}
	for _, busy := range []bool{true, false} {
		s := &Server{
			cfg:    ServerConfig{Source: source, Busy: func() bool { return busy }, Log: slog.New(slog.DiscardHandler)},
			engine: mxb1.NewSender(source.Size()), passes: guard.NewPasses(blocks), network: network{fixed: true}, began: time.Now(),
		}
		sent := 0
		hog := request{blocks: mxb1.BlockRequest{Last: blocks - 1}, from: netip.MustParseAddrPort("10.0.0.9:40000")}
		for n := range 10 {
			hog.from = netip.AddrPortFrom(hog.from.Addr(), uint16(40000+n)) // the port does not matter
			s.handleRequest(s.began, hog)
			for run := s.engine.Next(blocks); run.Len() > 0; run = s.engine.Next(blocks) {
				sent += int(run.Len())
			}
		}
		if want := map[bool]int{true: blocks + blocks/8, false: 10 * blocks}[busy]; sent != want {
			t.Errorf("beside MXB 2 %v: %d blocks are sent, want %d", busy, sent, want)
		}
	}
}
