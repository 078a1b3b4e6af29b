package multiserver

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"multiserver/internal/image"
	"multiserver/internal/mxb1"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Constants of the server's driver.
const (
	// batchesInFlight is how many batches are read ahead of the socket. They are
	// off the list of what is owed, so that a block that is asked for while its
	// batch waits goes twice: few, and still a millisecond at 1 Gbit/s.
	batchesInFlight = 8
	// requestQueueLen holds the requests of eight clients that burst at once.
	requestQueueLen = 8 * mxb1.MaxBurst
	// settleTime is how long nobody may have asked before a request from another
	// network moves the stream there.
	settleTime = 10 * time.Second
	// sourceCheckInterval is how often the image is held against what it was.
	sourceCheckInterval = time.Second
	// sendRetryInterval spaces attempts while the interface refuses to send.
	sendRetryInterval = 200 * time.Millisecond
	// maxServedClients bounds the table of clients, clientMemory how long one that
	// is silent stays in it once it is full.
	maxServedClients = 4096
	clientMemory     = 10 * time.Minute
)

// Server serves one image. Make it by NewServer.
type Server struct {
	cfg ServerConfig

	mu        sync.Mutex // guards what follows
	started   time.Time
	stats     ServerStats // without Elapsed and Clients
	clients   map[netip.AddrPort]*ServedClient
	receivers []*Receiver
}

// NewServer checks cfg and returns a Server that has opened nothing yet. The error
// wraps ErrConfig and names the field.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, clients: map[netip.AddrPort]*ServedClient{}}, nil
}

// Stats returns the state at this moment.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	if !s.started.IsZero() {
		st.Elapsed = time.Since(s.started)
	}
	st.Clients = make([]ServedClient, 0, len(s.clients))
	for _, c := range s.clients {
		st.Clients = append(st.Clients, *c)
	}
	st.Receivers = make([]Receiver, len(s.receivers))
	for i, r := range s.receivers {
		st.Receivers[i] = *r
	}
	slices.SortFunc(st.Clients, func(a, b ServedClient) int {
		if d := a.FirstSeen.Compare(b.FirstSeen); d != 0 {
			return d
		}
		return a.Addr.Compare(b.Addr)
	})
	return st
}

// Run serves the image until ctx ends, and then returns nil. It returns an error
// if the image cannot be read or changes, or if the control port cannot be had.
func (s *Server) Run(ctx context.Context) error {
	source, err := image.Open(s.cfg.File)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := mxb1.CheckImageSize(source.Size()); err != nil {
		return fmt.Errorf("serve %s: %w", s.cfg.File, err)
	}
	if len(source.Name()) > mxb1.MaxNameLen {
		return fmt.Errorf("serve %s: the name is longer than %d bytes", s.cfg.File, mxb1.MaxNameLen)
	}
	interfaces, err := candidateInterfaces(s.cfg.Interface, s.cfg.Group)
	if err != nil {
		return err
	}
	conn, err := udp.Listen(udp.ConnConfig{
		Addr:       netip.AddrPortFrom(s.cfg.ControlHost, s.cfg.ControlPort),
		Group:      s.cfg.Group,
		Interfaces: interfaces,
		TTL:        s.cfg.TTL,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, warning := range conn.Warnings() {
		s.cfg.Log.Warn("control socket", "err", warning)
	}

	r := &serverRun{
		Server:   s,
		source:   source,
		conn:     conn,
		engine:   mxb1.NewSender(source.Size()),
		requests: make(chan request, requestQueueLen),
		empty:    make(chan *batch, batchesInFlight),
		full:     make(chan *batch, batchesInFlight),
	}
	for range batchesInFlight {
		r.empty <- newBatch(burstPackets(s.cfg.Group, s.cfg.RateBitsPerSec, s.cfg.Delay, mxb1.MaxPacketSize))
	}
	if r.symbols, err = newSymbolServer(r); err != nil {
		return err
	}
	s.mu.Lock()
	s.receivers = nil
	s.started = time.Now()
	s.stats = ServerStats{
		Name:      source.Name(),
		SizeBytes: source.Size(),
		Group:     netip.AddrPortFrom(s.cfg.Group, s.cfg.Port),
		Control:   conn.LocalAddr(),
	}
	s.mu.Unlock()
	if s.cfg.Interface != "" {
		if err := r.serveOn(interfaces[0].Index); err != nil {
			return err
		}
	}
	s.cfg.Log.Info(fmt.Sprintf("serving %s to %s", source.Name(), s.Stats().Group),
		"bytes", source.Size(), "control", conn.LocalAddr().String(), "interfaces", interfaceNames(interfaces))

	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return r.listen(inner) })
	group.Go(func() error { return r.fill(inner) })
	group.Go(func() error { return r.send(inner) })
	group.Go(func() error { return r.symbols.run(inner) })
	group.Go(func() error { return r.keepGroups(inner) })
	for range loaders {
		group.Go(func() error { r.symbols.loader(inner.Done()); return nil })
	}
	group.Go(func() error { // ends the blocking calls of the others
		<-inner.Done()
		<-r.symbols.gone
		return conn.Close()
	})
	err = group.Wait()
	if errors.Is(err, errAllDone) {
		return nil
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// request is what a client asked for and where it was heard.
type request struct {
	blocks  mxb1.BlockRequest
	from    netip.AddrPort
	ifIndex int
}

// batch is what one system call sends: packets of one size, the last one perhaps
// shorter, in one flat buffer.
type batch struct {
	buf     []byte
	packets int
	size    int // bytes of a packet
	bytes   int // of buf, in use
	image   int // of them, bytes of the image
	to      []*udp.Sender
	stream  *stream  // of MXB 2; nil: the batch is of MXB 1
	slots   [][]byte // scratch: where blocks are read to
}

func newBatch(packets int) *batch {
	return &batch{buf: make([]byte, packets*mxb1.MaxPacketSize), slots: make([][]byte, 0, packets)}
}

// wireBytes is what the batch takes of an Ethernet, sent to addresses like to.
func (b *batch) wireBytes(to netip.Addr) int {
	whole := b.packets - 1
	return whole*udp.PacketWireBytes(to, b.size) + udp.PacketWireBytes(to, b.bytes-whole*b.size)
}

// serverRun is one run of a Server. The goroutine of fill owns the engine.
type serverRun struct {
	*Server
	source *image.File
	conn   *udp.Conn
	engine *mxb1.Sender

	// requests go from listen to fill; when it is full, listen waits and the
	// socket's buffer takes, or drops, what comes.
	requests chan request
	// empty goes from send to fill and full from fill to send; each has room for
	// all batches, so that neither blocks. Nobody closes them.
	empty, full chan *batch
	symbols     *symbolServer

	// Owned by fill:
	to            []*udp.Sender // the one of the interface that is settled on
	servedIndex   int           // its interface
	lastRequest   time.Time
	elsewhereSaid map[int]bool // interfaces whose requests were warned about

	// Owned by send:
	refused  bool // the interface did not take the last batch
	fellBack bool // the way of sending that was meant was refused, and that was said
}

// listen answers map requests and passes on requests for blocks.
func (r *serverRun) listen(ctx context.Context) error {
	line, err := r.source.Identity()
	if err != nil {
		return err
	}
	identity := fnv.New64a()
	identity.Write([]byte(line))
	answer := mxb1.Description{SizeBytes: r.source.Size(), Name: r.source.Name()}
	toOriginal := answer.AppendTo(nil)
	answer.HasTrailer, answer.Identity = true, identity.Sum64()
	toOurs := answer.AppendTo(nil)

	buf := make([]byte, 2048)
	for {
		n, from, ifIndex, err := r.conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return ctx.Err()
			}
			return fmt.Errorf("read requests: %w", err)
		}
		h, payload, err := mxb1.Parse(buf[:n])
		if err != nil {
			r.forMXB2(feedback{buf[:n], from, ifIndex})
			continue
		}
		if _, err := wire.ParseOffer(payload); err == nil && h.Op == mxb1.OpMapRequest {
			r.forMXB2(feedback{payload, from, ifIndex})
			continue
		}
		switch h.Op {
		case mxb1.OpMapRequest:
			out := toOriginal
			if mxb1.IsOffer(payload) {
				out = toOurs
			}
			r.answer(out, from, ifIndex)
		case mxb1.OpBlockRequest:
			blocks, err := mxb1.ParseBlockRequest(payload)
			if err != nil {
				r.countBad()
				continue
			}
			select {
			case r.requests <- request{blocks, from, ifIndex}:
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			r.countBad()
		}
	}
}

// forMXB2 passes on what may be a packet of MXB 2.
func (r *serverRun) forMXB2(f feedback) {
	f.packet = append([]byte(nil), f.packet...)
	select {
	case r.symbols.feedback <- f:
	default: // lost, as any packet may be
	}
}

// answer sends a packet back where the question came in; a question that was routed
// may need another way back.
func (r *serverRun) answer(packet []byte, to netip.AddrPort, ifIndex int) {
	if r.conn.WriteTo(packet, to, ifIndex) == nil {
		return
	}
	if err := r.conn.WriteTo(packet, to, 0); err != nil {
		r.cfg.Log.Debug("no way to answer", "client", to, "err", err)
	}
}

// fill owns the engine: it takes requests in and hands full batches out.
func (r *serverRun) fill(ctx context.Context) error {
	check := time.NewTicker(sourceCheckInterval)
	defer check.Stop()
	for {
		// A batch is taken only when there is something to put in.
		var empty chan *batch
		if r.engine.Pending() > 0 {
			empty = r.empty
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-check.C:
			if err := r.source.Changed(); err != nil {
				return err
			}
		case q := <-r.requests:
			r.take(q)
			r.publishOwed()
		case b := <-empty:
			if err := r.read(b); err != nil {
				return err
			}
			r.full <- b
			r.publishOwed()
		}
	}
}

func (r *serverRun) publishOwed() {
	r.mu.Lock()
	r.stats.ImageBytesOwed = r.engine.Pending() * mxb1.BlockSize
	r.mu.Unlock()
}

// take hands a request to the engine.
func (r *serverRun) take(q request) {
	now := time.Now()
	if !r.settle(now, q) {
		return
	}
	blocks, err := r.engine.Request(q.blocks)
	if err != nil {
		r.countBad()
		return
	}
	r.lastRequest = now
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Requests++
	c := r.clients[q.from]
	if c == nil {
		if len(r.clients) >= maxServedClients {
			r.forgetClients(now)
		}
		if len(r.clients) >= maxServedClients {
			return
		}
		c = &ServedClient{Addr: q.from, FirstSeen: now}
		r.clients[q.from] = c
	}
	c.LastSeen = now
	c.Requests++
	c.AskedBytes += blocks * mxb1.BlockSize
}

// forgetClients drops those that have not asked for a while. Call it with mu held.
func (r *serverRun) forgetClients(now time.Time) {
	for addr, c := range r.clients {
		if now.Sub(c.LastSeen) > clientMemory {
			delete(r.clients, addr)
		}
	}
}

// settle makes sure that the stream goes where q was heard and tells whether it
// does. With an interface named, it always goes there. Otherwise the first to ask
// decides, until nobody has asked for a while.
func (r *serverRun) settle(now time.Time, q request) bool {
	if r.cfg.Interface != "" || r.to != nil && q.ifIndex == r.servedIndex {
		return true
	}
	if r.to == nil || r.engine.Pending() == 0 && now.Sub(r.lastRequest) > settleTime {
		if err := r.serveOn(q.ifIndex); err != nil {
			r.cfg.Log.Warn("cannot serve the network that a client asks from", "client", q.from, "err", err)
			return false
		}
		return true
	}
	if !r.elsewhereSaid[q.ifIndex] {
		r.elsewhereSaid[q.ifIndex] = true
		r.cfg.Log.Warn("a client asks from another network than the one that is served: start a second server there, with -i and its own -s port",
			"client", q.from, "served", r.Stats().Interface)
	}
	return false
}

// serveOn sends from now on through the interface of that index.
func (r *serverRun) serveOn(ifIndex int) error {
	sender, err := r.conn.NewSender(netip.AddrPortFrom(r.cfg.Group, r.cfg.Port), ifIndex, udp.MethodAuto)
	if err != nil {
		return err
	}
	r.to, r.servedIndex = []*udp.Sender{sender}, ifIndex
	r.elsewhereSaid = map[int]bool{}
	r.mu.Lock()
	r.stats.Interface = interfaceName(ifIndex)
	r.mu.Unlock()
	return nil
}

// read fills b with what the engine owes next.
func (r *serverRun) read(b *batch) error {
	b.packets, b.bytes, b.size, b.image, b.to = 0, 0, mxb1.MaxPacketSize, 0, r.to
	size := r.source.Size()
	for room := len(b.buf) / mxb1.MaxPacketSize; room > 0; {
		run := r.engine.Next(uint64(room))
		if run.Len() == 0 {
			break
		}
		b.slots = b.slots[:0]
		for id := run.Lo; id < run.Hi; id++ {
			n := mxb1.BlockLen(size, id)
			slot := b.buf[b.bytes : b.bytes+mxb1.HeaderSize+n]
			mxb1.Header{Op: mxb1.OpBlock, Size: uint16(n), Block: uint32(id)}.AppendTo(slot[:0])
			b.slots = append(b.slots, slot[mxb1.HeaderSize:])
			b.bytes += len(slot)
			b.image += n
		}
		if err := r.source.ReadScattered(b.slots, run.Lo*mxb1.BlockSize); err != nil {
			return err
		}
		b.packets += int(run.Len())
		room -= int(run.Len())
		if b.bytes < b.packets*mxb1.MaxPacketSize {
			break // only the last packet of a batch may be short
		}
	}
	return nil
}

// send paces and sends full batches.
func (r *serverRun) send(ctx context.Context) error {
	pacer := udp.NewPacer(r.cfg.RateBitsPerSec, r.cfg.Delay)
	found, foundPacer := uint64(0), udp.NewPacer(0, 0)
	for turn := 0; ; turn++ {
		// Where both protocols have something to send, they take turns.
		var b *batch
		first, second := r.full, r.symbols.fullSymbols
		if turn%2 == 0 {
			first, second = second, first
		}
		select {
		case b = <-first:
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case b = <-first:
			case b = <-second:
			}
		}
		wire, copies := b.wireBytes(r.cfg.Group), 1
		if b.stream != nil && b.stream.unicast {
			copies = len(b.to) // all on one wire
		}
		if err := pacer.Wait(ctx, copies*wire, copies*b.packets); err != nil {
			return err
		}
		if b.stream != nil {
			if limit := r.symbols.limit.Load(); limit != found {
				found, foundPacer = limit, udp.NewPacer(limit, 0)
			}
			if err := foundPacer.Wait(ctx, wire, b.packets); err != nil {
				return err
			}
		}
		failed := 0
		for _, to := range b.to {
			if !r.sendTo(b, to, wire) {
				failed++
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		// A cable that is out for a moment must not end the session: clients ask again for
		// what is not sent. One network of several, or one client, holds nobody up.
		if failed > 0 && failed == len(b.to) && (b.stream == nil || !b.stream.unicast) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(sendRetryInterval):
			}
		}
		if b.stream == nil {
			r.empty <- b
		} else {
			b.stream.sent.Add(uint64(b.packets))
			r.symbols.emptySymbols <- b
		}
	}
}

// sendTo sends a batch one way, where it takes wireBytes, and tells whether that went.
func (r *serverRun) sendTo(b *batch, to *udp.Sender, wireBytes int) bool {
	if err := to.Send(b.buf[:b.bytes], b.size); err != nil {
		if !r.refused && !errors.Is(err, net.ErrClosed) {
			r.refused = true
			r.cfg.Log.Warn("the interface does not take packets; trying on", "err", err)
		}
		return false
	}
	r.refused = false
	r.mu.Lock()
	r.stats.PacketsSent += uint64(b.packets)
	r.stats.ImageBytesSent += uint64(b.image)
	r.stats.WireBytesSent += uint64(wireBytes)
	r.stats.SendMethod = to.Method().String()
	r.mu.Unlock()
	if reason := to.Fallback(); reason != nil && !r.fellBack {
		r.fellBack = true
		r.cfg.Log.Warn("sending costs more CPU than it need", "err", reason)
	}
	return true
}

func (r *serverRun) countBad() {
	r.mu.Lock()
	r.stats.BadPackets++
	r.mu.Unlock()
}

// burstPackets is how many packets of a size go to addresses like to in one system
// call at a rate, in bits a second, or with a pause after each packet: what goes in
// 150 µs, since a switch's queue must hold them. Where neither is given, the
// interface's queue sets the pace, and what the kernel takes at once costs the least.
func burstPackets(to netip.Addr, rate uint64, pause time.Duration, size int) int {
	const burstTime = 150 * time.Microsecond
	most := udp.MaxSegments(size)
	if pause > 0 {
		most = min(most, int(max(burstTime/pause, 1)))
	}
	if rate > 0 {
		burst := float64(rate) / 8 * burstTime.Seconds() / float64(udp.PacketWireBytes(to, size))
		most = int(min(max(burst, 1), float64(most)))
	}
	return most
}

func (c *ServerConfig) validate() error {
	if c.File == "" {
		return fail(ErrConfig, "File: no file to serve")
	}
	if c.TTL < 0 || c.TTL > math.MaxUint8 {
		return fail(ErrConfig, "TTL: %d is not within 0 to 255", c.TTL)
	}
	if c.Delay < 0 {
		return fail(ErrConfig, "Delay: %v is negative", c.Delay)
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return fail(ErrConfig, "MTU: %d is not within %d to %d", c.MTU, minMTU, maxMTU)
	}
	if c.MinReceivers < 0 || c.MinWait < 0 || c.MaxWait < 0 {
		return fail(ErrConfig, "MinReceivers, MinWait, MaxWait: %d, %v, %v: one is negative", c.MinReceivers, c.MinWait, c.MaxWait)
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	setLogDefault(&c.Log)
	if err := setGroupDefaults(&c.Group, &c.Port, &c.ControlPort); err != nil {
		return err
	}
	if c.DataGroup = c.DataGroup.Unmap(); c.DataGroup.IsValid() {
		if err := validateGroup("DataGroup", c.DataGroup); err != nil {
			return err
		}
		if c.DataGroup == c.Group || c.DataGroup.Is6() != c.Group.Is6() {
			return fail(ErrConfig, "DataGroup: %s is not a group of its own, of %s like the group %s", c.DataGroup, family(c.Group), c.Group)
		}
	}
	if !c.ControlHost.IsValid() {
		if c.ControlHost = netip.IPv4Unspecified(); c.Group.Is6() {
			c.ControlHost = netip.IPv6Unspecified()
		}
	}
	var err error
	c.ControlHost, err = controlAddr(c.ControlHost, c.Group, c.Interface)
	return err
}

// setGroupDefaults checks and completes the fields that both programs have.
func setGroupDefaults(group *netip.Addr, port, controlPort *uint16) error {
	if !group.IsValid() {
		*group = DefaultGroup
	}
	*group = group.Unmap()
	if err := validateGroup("Group", *group); err != nil {
		return err
	}
	if *port == 0 {
		*port = DefaultPort
	}
	if *controlPort == 0 {
		*controlPort = DefaultControlPort
	}
	return nil
}

func setLogDefault(log **slog.Logger) {
	if *log == nil {
		*log = slog.Default()
	}
}
