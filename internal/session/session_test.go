package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"multiserver/internal/block"
	"multiserver/internal/blockstore"
	"multiserver/internal/codec"
	"multiserver/internal/congestion"
	"multiserver/internal/failure"
	"multiserver/internal/image"
	"multiserver/internal/roster"
	"multiserver/internal/routes"
	"multiserver/internal/sender"
	"multiserver/internal/startgate"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout is when a test gives up on what has to come.
const testTimeout = 20 * time.Second

// disk is an image in memory.
type disk struct {
	*bytes.Reader
	changed, broken atomic.Bool
}

func newDisk(size int) *disk {
	b := make([]byte, size)
	rand.Read(b)
	clear(b[min(size, block.DefaultBlockSize):min(size, 2*block.DefaultBlockSize)]) // the second block
	return &disk{Reader: bytes.NewReader(b)}
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	if d.broken.Load() {
		return 0, errors.New("input/output error")
	}
	return d.Reader.ReadAt(p, off)
}

func (d *disk) Changed() error {
	if d.changed.Load() {
		return errors.New("somebody wrote")
	}
	return nil
}

// room runs a session on the loopback interface, by a host of the test's own.
type room struct {
	*testing.T
	*Session
	lo        int
	stop      func()
	ended     chan error // of Run
	mu        sync.Mutex // guards what follows
	receivers []roster.Row
	networks  [][]int
}

func newRoom(t *testing.T, d *disk, cfg Config) *room {
	t.Helper()
	all, err := udp.CandidateInterfaces("lo", netip.MustParseAddr("239.255.0.1"))
	if err != nil {
		t.Skipf("no loopback interface: %v", err)
	}
	lo := all[0]
	var random [2]byte
	rand.Read(random[:])
	cfg.Group = netip.AddrFrom4([4]byte{239, 255, random[0], random[1]})
	cfg.DataGroup = netip.AddrFrom4([4]byte{239, 254, random[0], random[1]})
	cfg.Interface = lo.Index
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Conn, err = udp.Listen(udp.ConnConfig{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	// Nobody else binds this port to that group, as long as we have it.
	cfg.Port = cfg.Conn.LocalAddr().Port()
	transmitter := transmit.New(transmit.Config{Group: cfg.Group, RateBitsPerSec: 300e6, Log: cfg.Log})
	cfg.Transmitter = transmitter
	if cfg.Source == nil {
		if cfg.Source, err = image.FromReader(d, uint64(d.Size()), "an.img"); err != nil {
			t.Fatal(err)
		}
	}
	r := &room{T: t, lo: lo.Index, ended: make(chan error, 1)}
	cfg.OnReceiver = func(row roster.Row) {
		r.mu.Lock()
		r.receivers = append(r.receivers, row)
		r.mu.Unlock()
	}
	cfg.OnNetworks = func(interfaces []int) {
		r.mu.Lock()
		r.networks = append(r.networks, interfaces)
		r.mu.Unlock()
	}
	if r.Session, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	var running sync.WaitGroup
	running.Go(func() { transmitter.Run(ctx) })
	running.Go(func() { r.ended <- r.Session.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		cfg.Conn.Close()
	})
	return r
}

// end is how Run ended.
func (r *room) end() error {
	r.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(testTimeout):
		r.Fatal("the session does not end")
		return nil
	}
}

// until waits until the figures are as wanted.
func (r *room) until(what string, ok func(Figures) bool) Figures {
	r.Helper()
	for limit := time.Now().Add(testTimeout); ; time.Sleep(time.Millisecond) {
		f := r.Figures()
		if ok(f) {
			return f
		}
		if time.Now().After(limit) {
			r.Fatalf("%s: not so after %v: %+v", what, testTimeout, f)
		}
	}
}

// peer is a receiver: it says what a test lets it say, and answers probes.
type peer struct {
	*room
	id          wire.ReceiverID
	socket      *net.UDPConn // of its own address
	stream      *udp.Receiver
	batch       *udp.Batch
	waiting     []udp.Datagram
	description wire.Description
	train       uint32
}

func (r *room) join(id wire.ReceiverID) *peer {
	r.Helper()
	return r.joinWith(id, 1<<codec.Raw)
}

// joinWith joins with codecs, in the group that it is described.
func (r *room) joinWith(id wire.ReceiverID, codecs wire.Codecs) *peer {
	r.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		r.Fatal(err)
	}
	lo, err := udp.InterfaceByName(udp.InterfaceName(r.lo))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { socket.Close() })
	p := &peer{room: r, id: id, socket: socket, batch: udp.NewBatch()}
	p.send(wire.Offer{Version: 1, Receiver: id, Codecs: codecs, LargestPacket: 1472, HostName: []byte("pc")}.AppendTo(nil))
	if p.description, err = wire.ParseDescription(p.read()); err != nil {
		r.Fatal(err)
	}
	group := p.description.Data
	if !group.IsValid() { // all goes by unicast
		group = r.facts.data
	}
	if p.stream, err = udp.ListenGroup(udp.ReceiverConfig{Group: group, Interfaces: []udp.Interface{lo}}); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { p.stream.Close() })
	return p
}

func (p *peer) addr() netip.AddrPort { return p.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p *peer) arrival() udp.Arrival { return p.from(p.addr().String()) }

// from is the way of a packet from an address.
func (r *room) from(addr string) udp.Arrival {
	return udp.Arrival{From: netip.MustParseAddrPort(addr), IfIndex: r.lo}
}

func (p *peer) send(packet []byte) { p.Handle(packet, p.arrival()) }

// read returns the next packet that came to the peer's own address.
func (p *peer) read() []byte {
	p.Helper()
	buf := make([]byte, 65536)
	p.socket.SetReadDeadline(time.Now().Add(testTimeout))
	n, err := p.socket.Read(buf)
	if err != nil {
		p.Fatalf("nothing comes to the receiver: %v", err)
	}
	return buf[:n]
}

// receive returns the next packet of the stream; it answers probes.
func (p *peer) receive() []byte {
	p.Helper()
	for {
		for len(p.waiting) == 0 {
			p.stream.SetReadDeadline(time.Now().Add(testTimeout))
			if err := p.stream.Receive(p.batch); err != nil {
				p.Fatalf("nothing comes of the stream: %v", err)
			}
			p.waiting = p.batch.Datagrams()
		}
		b := p.waiting[0].Payload
		p.waiting = p.waiting[1:]
		if q, err := wire.ParseProbe(b); err == nil {
			if q.Step == 1 && q.Train > p.train {
				p.train = q.Train
				report := wire.ProbeReport{Session: q.Session, Receiver: p.id, Train: q.Train}
				report.Steps = report.Steps.Append(wire.ProbeStep{Step: 1, LargestPacket: q.Size, Received: 1})
				p.send(report.AppendTo(nil))
			}
			continue
		}
		return b
	}
}

// requestAll asks for all blocks of the image.
func (p *peer) requestAll() {
	w := wire.Wanted{Session: p.description.Session, Receiver: p.id, Generation: 1, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: p.description.Geometry.BlockCount()})
	p.send(w.AppendTo(nil))
}

func (p *peer) goodbye(o wire.Outcome) {
	p.send(wire.Goodbye{Session: p.description.Session, Receiver: p.id, Outcome: o, BlocksDone: p.description.Geometry.BlockCount()}.AppendTo(nil))
}

// state is that of the next heartbeat.
func (p *peer) state() wire.SenderState {
	for {
		if h, err := wire.ParseHeartbeat(p.receive()); err == nil {
			return h.State
		}
	}
}

// TestServes: a receiver that joins gets the image, symbol by symbol, zeros as such, and the
// session ends when it has said that it is done.
func TestServes(t *testing.T) {
	d := newDisk(2*block.DefaultBlockSize + 5000)
	r := newRoom(t, d, Config{ExitAfterDone: true})
	p := r.join(7)
	if got := p.description; got.Session != r.ID() || got.Receiver != 7 || got.Geometry.ImageSize != uint64(d.Size()) || string(got.FileName) != "an.img" || got.Data != r.facts.data || got.Token == 0 {
		t.Errorf("it is described as %+v", got)
	}
	p.requestAll()
	zero, got := false, map[block.ID]int{}
	size := int(p.description.SymbolSize)
	blockSymbols := (codec.HeaderSize + block.DefaultBlockSize + size - 1) / size
	for got[0] < blockSymbols || got[2] < 4 || !zero {
		b := p.receive()
		if z, err := wire.ParseZeroRun(b); err == nil {
			zero = zero || z.First == 1 && z.Count == 1
		}
		var y wire.Symbol
		if wire.ParseSymbol(b, &y) != nil || y.Object != wire.Image || !y.Symbol.IsSource(int(y.K)) {
			continue
		}
		got[y.Block]++
		plain := make([]byte, size)
		off := int(y.Symbol)*size - codec.HeaderSize
		n, err := d.Reader.ReadAt(plain[max(0, -off):], int64(y.Block)*block.DefaultBlockSize+int64(max(off, 0)))
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		lo, hi := max(0, -off), max(0, -off)+n
		if y.Block == 0 {
			hi = min(hi, block.DefaultBlockSize-off)
		}
		if !bytes.Equal(y.Data[lo:hi], plain[lo:hi]) {
			t.Fatalf("block %d: symbol %d is not the image's", y.Block, y.Symbol)
		}
	}
	p.goodbye(wire.OutcomeDone)
	for acked := false; !acked; {
		ack, err := wire.ParseGoodbyeAck(p.receive())
		acked = err == nil && ack.Receivers.Len() == 1 && ack.Receivers.At(0) == 7
	}
	if err := r.end(); !errors.Is(err, ErrAllDone) {
		t.Errorf("it ends with %v", err)
	}
	f := r.Figures()
	if len(f.Receivers) != 1 || f.Receivers[0].Outcome != roster.Done || f.Receivers[0].Name != "pc" || f.Receivers[0].BytesDone != uint64(d.Size()) || f.BadPackets != 0 {
		t.Errorf("in the end: %+v", f)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.receivers) != 2 || r.receivers[0].Outcome != roster.Pending || r.receivers[1].Outcome != roster.Done {
		t.Errorf("events: %+v", r.receivers)
	}
	if len(r.networks) != 1 || len(r.networks[0]) != 1 || r.networks[0][0] != r.lo {
		t.Errorf("networks: %v", r.networks)
	}
}

// TestFailedReceiver: a session that was to end when all are done fails with one of them.
func TestFailedReceiver(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{ExitAfterDone: true})
	p := r.join(7)
	p.requestAll()
	p.goodbye(wire.OutcomeTargetIO)
	if err := r.end(); !errors.Is(err, failure.ErrReceiversFailed) || err.Error() != "1 of 1 clients did not get the image" {
		t.Errorf("it ends with %v", err)
	}
}

// TestOtherSession: a packet counts only in its session, and an offer alone makes no
// receiver.
func TestOtherSession(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{})
	stray := wire.Report{Session: r.ID(), Receiver: 9, Number: 1}
	r.Handle(stray.AppendTo(nil), r.from("127.0.0.1:9"))
	r.until("a packet before the first offer", func(f Figures) bool { return f.BadPackets == 1 })
	p := r.join(7)
	stray.Session++
	p.send(stray.AppendTo(nil))
	p.send(wire.Goodbye{Session: r.ID() + 1, Receiver: 7}.AppendTo(nil))
	p.send([]byte("nothing of ours"))
	damaged := wire.Report{Session: r.ID(), Receiver: 9, Number: 1}.AppendTo(nil)
	damaged[len(damaged)-1] ^= 1
	p.send(damaged)
	f := r.until("four packets that are not this session's", func(f Figures) bool { return f.BadPackets == 5 })
	if len(f.Receivers) != 0 {
		t.Errorf("they make receivers: %+v", f.Receivers)
	}
	p.send(wire.Report{Session: r.ID(), Receiver: 7, Number: 1}.AppendTo(nil))
	f = r.until("a packet of this session", func(f Figures) bool { return len(f.Receivers) > 0 })
	if len(f.Receivers) != 1 || f.Receivers[0].Addr != p.addr() || f.BadPackets != 5 {
		t.Errorf("receivers: %+v", f)
	}
}

// TestWaits: the stream waits for the receivers that the gate wants.
func TestWaits(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{Gate: startgate.Gate{MinReceivers: 2}})
	first := r.join(1)
	first.requestAll()
	r.until("one of two is there", func(f Figures) bool { return len(f.Receivers) == 1 && f.Waiting })
	for range 5 {
		if got := first.state(); got != wire.SenderWaiting || first.train != 0 {
			t.Fatalf("for one of two receivers the state is %d, after %d trains of probes", got, first.train)
		}
	}
	second := r.join(2)
	second.requestAll()
	for symbol := (wire.Symbol{}); ; {
		if wire.ParseSymbol(first.receive(), &symbol) == nil {
			break
		}
	}
	if n := len(r.Figures().Receivers); n != 2 {
		t.Errorf("the stream begins for %d receivers", n)
	}
	r.until("both are there", func(f Figures) bool { return !f.Waiting })
}

// TestStartNow: the stream begins without those that have not come.
func TestStartNow(t *testing.T) {
	for name, before := range map[string]bool{"before the first": true, "after it": false} {
		r := newRoom(t, newDisk(5000), Config{Gate: startgate.Gate{MinReceivers: 5}})
		if before {
			r.StartNow()
			for len(r.start) > 0 { // until it is taken in
				runtime.Gosched()
			}
		}
		p := r.join(1)
		p.requestAll()
		if !before {
			r.until("one of five is there", func(f Figures) bool { return len(f.Receivers) == 1 && f.Waiting })
			r.StartNow()
		}
		for symbol := (wire.Symbol{}); wire.ParseSymbol(p.receive(), &symbol) != nil; {
		}
		r.until(name, func(f Figures) bool { return !f.Waiting })
	}
}

// TestUnicast: who has a token gets the symbols at its own address; who has none changes
// nothing.
func TestUnicast(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{})
	p := r.join(7)
	p.requestAll()
	forged := wire.UnicastRequest{Session: r.ID(), Receiver: 7, Token: p.description.Token + 1, Wanted: true}
	p.send(forged.AppendTo(nil))
	r.until("a forged token", func(f Figures) bool { return f.BadPackets == 1 })
	request := forged
	request.Token--
	r.Handle(request.AppendTo(nil), r.from("127.0.0.1:9")) // from another address
	r.until("another's token", func(f Figures) bool { return f.BadPackets == 2 })
	p.send(request.AppendTo(nil))
	if d, err := wire.ParseDescription(p.read()); err != nil || d.Session != r.ID() {
		t.Fatalf("the first that comes is no description: %v", err)
	}
	w := wire.Wanted{Session: r.ID(), Receiver: 7, Generation: 2, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: 1})
	p.send(w.AppendTo(nil))
	for symbol := (wire.Symbol{}); ; {
		if wire.ParseSymbol(p.read(), &symbol) == nil {
			if !symbol.Sequence.Unicast() {
				t.Errorf("it has the number %d, which is not unicast's", symbol.Sequence)
			}
			break
		}
	}
}

// TestGoodbyeToBothStreams: a receiver that has said goodbye is not taken in again by what it
// said before, whichever stream it had then.
func TestGoodbyeToBothStreams(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{})
	p := r.join(7)
	p.requestAll()
	request := wire.UnicastRequest{Session: r.ID(), Receiver: 7, Token: p.description.Token, Wanted: true}
	p.send(request.AppendTo(nil))
	p.read() // the description, or what follows it: it is served
	p.goodbye(wire.OutcomeDone)
	request.Wanted = false
	p.send(request.AppendTo(nil))
	p.requestAll() // as before, late
	if n := r.join(8).description.Receivers; n != 0 {
		t.Errorf("%d receivers are unfinished", n)
	}
}

// TestAlwaysUnicast: nothing goes to a group.
func TestAlwaysUnicast(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{Unicast: routes.Always})
	if p := r.join(7); p.description.Data.IsValid() {
		t.Errorf("a data group is described: %v", p.description.Data)
	}
}

// TestImageEnds: an image that changes, or that cannot be read, ends the session with an
// error, and the receivers are told which.
func TestImageEnds(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*disk)
		want  wire.SenderState
	}{
		"changed":    {func(d *disk) { d.changed.Store(true) }, wire.SenderImageChanged},
		"unreadable": {func(d *disk) { d.broken.Store(true) }, wire.SenderImageFailed},
	} {
		d := newDisk(5000)
		r := newRoom(t, d, Config{Gate: startgate.Gate{MinReceivers: 2}})
		p := r.join(7)
		c.spoil(d)
		p.requestAll()
		err := r.end()
		if changed := errors.Is(err, image.ErrChanged); err == nil || changed != (name == "changed") {
			t.Errorf("%s: it ends with %v", name, err)
		}
		for p.state() != c.want {
		}
		for range lastWords - 1 {
			if got := p.state(); got != c.want {
				t.Errorf("%s: last words %d, want %d", name, got, c.want)
			}
		}
	}
}

// TestChangedBeforeJoin: who asks after a change, within the second that watch takes to see
// it, is not told of the image that was.
func TestChangedBeforeJoin(t *testing.T) {
	for name, joinFirst := range map[string]bool{"the first": false, "the second": true} {
		d := newDisk(5000)
		r := newRoom(t, d, Config{Gate: startgate.Gate{MinReceivers: 3}})
		if joinFirst {
			r.join(7)
		}
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		addr := socket.LocalAddr().(*net.UDPAddr).AddrPort()
		d.changed.Store(true)
		r.Handle(wire.Offer{Version: 1, Receiver: 8, Codecs: 1, LargestPacket: 1472}.AppendTo(nil), r.from(addr.String()))
		if err := r.end(); !errors.Is(err, image.ErrChanged) {
			t.Errorf("%s: it ends with %v", name, err)
		}
		// What the session sent lies before what is sent now.
		if _, err := socket.WriteToUDPAddrPort([]byte("end"), addr); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 65536)
		if n, err := socket.Read(buf); err != nil || string(buf[:n]) != "end" {
			t.Errorf("%s: an answer of %d bytes, %v", name, n, err)
		}
	}
}

// TestStopped: receivers are told that the server was stopped.
func TestStopped(t *testing.T) {
	r := newRoom(t, newDisk(5000), Config{})
	p := r.join(7)
	p.requestAll()
	r.until("it is there", func(f Figures) bool { return len(f.Receivers) == 1 })
	r.stop()
	if err := r.end(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	for p.state() != wire.SenderStopped {
	}
}

// TestFullInbox: what finds no room is lost, and nobody waits.
func TestFullInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which ends a Handle that waits for ever
		s := &Session{inbox: make(chan packet, 2)}
		for range 3 {
			s.Handle([]byte("packet"), udp.Arrival{IfIndex: 1})
		}
		if len(s.inbox) != 2 {
			t.Errorf("%d packets wait", len(s.inbox))
		}
	})
}

type discard struct{}

func (discard) Send([]byte, int) error { return nil }
func (discard) Method() udp.Method     { return udp.MethodGSO }
func (discard) Fallback() error        { return nil }

// newComposer is a composer of an image of so many blocks, which one receiver wants, and all
// are read.
func newComposer(tb testing.TB, blocks int) *composer {
	d := newDisk(blocks * block.DefaultBlockSize)
	source, err := image.FromReader(d, uint64(d.Size()), "an.img")
	if err != nil {
		tb.Fatal(err)
	}
	const symbolSize = 1440
	g := block.Geometry{ImageSize: source.Size(), BlockSize: block.DefaultBlockSize}
	log := slog.New(slog.DiscardHandler)
	transmitter := transmit.New(transmit.Config{Group: netip.MustParseAddr("239.1.2.3"), Log: log})
	rates := congestion.Config{PacketBits: 12304, BlockBits: 727 * 12304, PacketSize: 1472}
	s := newStreams(&Config{Log: log, Transmitter: transmitter}, rates, &facts{id: 5, geometry: g, origin: time.Now()}, nil, func([]int) {})
	store, err := blockstore.New(blockstore.Config{
		Source: source, Geometry: g, SymbolSize: symbolSize, Compress: blockstore.CompressNever, Log: log,
		Ready: s.ready, Zero: s.zero, Complete: func(wire.Completion) {},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	var running sync.WaitGroup
	running.Go(func() { store.Run(ctx) })
	tb.Cleanup(func() { cancel(); running.Wait() })
	s.group.to = []transmit.Sender{discard{}}
	s.group.data = s.group.to
	s.group.engine.Join(0, 7)
	w := wire.Wanted{Session: 5, Receiver: 7, Generation: 1, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: uint32(blocks)})
	s.group.engine.HandleWanted(0, w)
	for id := range blocks {
		store.ReadAhead([]sender.Ref{{Object: wire.Image, Block: block.ID(id)}}, false)
		if err := store.HandleLoaded(<-store.Loaded()); err != nil {
			tb.Fatal(err)
		}
	}
	return &composer{session: 5, symbolSize: symbolSize, group: netip.MustParseAddr("239.1.2.3"), store: store, streams: s}
}

// TestComposeAllocations: to fill a batch with symbols allocates nothing.
func TestComposeAllocations(t *testing.T) {
	c := newComposer(t, 2)
	st := c.streams.group
	st.control.decision = congestion.Decision{Rate: 1e10, Burst: 44}
	st.control.allowed, st.control.credit = 1e12, 1e12
	b := st.queue.Take()
	for b.Packets < 2 { // past what is said first
		if filled, err := c.fill(0, b, st); err != nil || !filled {
			t.Fatalf("nothing to send: %v", err)
		}
	}
	symbols := 0
	if n := testing.AllocsPerRun(12, func() {
		if filled, err := c.fill(0, b, st); err != nil || !filled {
			t.Fatalf("nothing to send: %v", err)
		}
		symbols += b.Packets
	}); n != 0 {
		t.Errorf("%.0f allocations for a batch", n)
	}
	if symbols < 300 { // 13 batches, of which some are control packets
		t.Errorf("13 batches have %d symbols", symbols)
	}
}
