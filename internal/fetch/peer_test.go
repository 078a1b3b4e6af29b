package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multiserver/internal/account"
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/discover"
	"multiserver/internal/mxb1"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	blockBytes  = 8192
	symbolBytes = 1024
	us          = wire.ReceiverID(77)
	ourSession  = wire.SessionID(5)
)

// memoryTarget is a target that keeps what is done to it, in its order.
type memoryTarget struct {
	mu      sync.Mutex
	image   []byte
	did     []string
	content bool // what it held may be read
	inOrder bool

	refuses, flushFails error
}

func (m *memoryTarget) log(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = append(m.did, fmt.Sprintf(format, args...))
}

// done is what was done so far.
func (m *memoryTarget) done() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.did)
}

func (m *memoryTarget) Prepare(uint64, uint32) error {
	m.log("prepare")
	return m.refuses
}

func (m *memoryTarget) Close() error       { return nil }
func (m *memoryTarget) Name() string       { return "memory" }
func (m *memoryTarget) InOrder() bool      { return m.inOrder }
func (m *memoryTarget) HoldsContent() bool { return m.content }

func (m *memoryTarget) FlushCache() error {
	m.log("flush")
	return m.flushFails
}

func (m *memoryTarget) DropCache(uint64, uint64) {}

func (m *memoryTarget) ReadAt(p []byte, off uint64) error {
	m.log("read %d", off/blockBytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if copy(p, m.image[off:]) < len(p) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (m *memoryTarget) WriteAt(p []byte, off uint64) error {
	m.log("write %d", off/blockBytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.image[off:], p)
	return nil
}

func (m *memoryTarget) WriteZeros(off, n uint64) error {
	m.log("zeros %d", off/blockBytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.image[off:][:n])
	return nil
}

func (m *memoryTarget) Sync() error {
	m.log("sync")
	return nil
}

var _ target.ContentReader = (*memoryTarget)(nil)

// peer is a fake server on the loopback interface, which serves by unicast.
type peer struct {
	t        *testing.T
	conn     *net.UDPConn
	image    []byte
	g        block.Geometry
	manifest *codec.Manifest
	target   *memoryTarget

	cancel   func()         // ends the client
	client   netip.AddrPort // once it has asked
	sequence wire.Sequence
	session  wire.SessionID
	number   wire.ReceiverID // the client's own
	goodbye  wire.Goodbye
	told     wire.Completion     // what descriptions tell of the manifest
	bytes    []byte              // of the manifest
	answer   func() *wire.Answer // if not nil, what answers to offers have besides
	offers   int
	report   func(wire.Report) // if not nil, takes each report
	atEnd    []string          // what had been done to the target when the goodbye came

	private  wire.PrivateNumber // tells it, and proves blocks
	damaged  bool               // what it has of the image's blocks
	signed   func() []byte      // if not nil, what it answers is signed
	proofs   int
	deaf     bool             // to requests for proofs
	requests []wire.SessionID // of those for unicast, after the first
	reports  []wire.ProbeReport
	// holds reports, at each packet of the client, that it gets nothing yet. nil: it gets all.
	holds func() bool
}

// newPeer serves an image of count blocks, of which those in zeros are zeros.
func newPeer(t *testing.T, count int, zeros ...uint32) *peer {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{
		t: t, conn: conn, image: make([]byte, count*blockBytes), session: ourSession, number: us,
		g: block.Geometry{ImageSize: uint64(count * blockBytes), BlockSize: blockBytes}, sequence: wire.UnicastSequence,
	}
	rand.NewChaCha8([32]byte{7}).Read(p.image)
	for _, z := range zeros {
		clear(p.plain(z))
	}
	p.manifest = manifestOf(t, p.image)
	p.target = &memoryTarget{image: bytes.Repeat([]byte{0xEE}, len(p.image))}
	return p
}

func manifestOf(t *testing.T, image []byte) *codec.Manifest {
	t.Helper()
	builder, err := codec.NewManifestBuilder(block.Geometry{ImageSize: uint64(len(image)), BlockSize: blockBytes})
	if err != nil {
		t.Fatal(err)
	}
	for id := range block.ID(len(image) / blockBytes) {
		plain := image[id*blockBytes:][:blockBytes]
		set := func() error { return builder.Set(id, codec.Sum(plain)) }
		if codec.IsZero(plain) {
			set = func() error { return builder.SetZero(id) }
		}
		if err := set(); err != nil {
			t.Fatal(err)
		}
	}
	return builder.Manifest()
}

func (p *peer) plain(id uint32) []byte { return p.image[id*blockBytes:][:blockBytes] }

func (p *peer) completion() wire.Completion {
	return wire.Completion{ManifestSize: uint64(len(p.manifest.Bytes())), ImageDigest: p.manifest.ImageDigest()}
}

// description is the session's, without what it knows of its manifest.
func (p *peer) description() wire.Description {
	return wire.Description{
		Session: p.session, Receiver: p.number, Token: 99, Codecs: 1, Geometry: p.g, Identity: wire.Identity{1},
		SymbolSize: symbolBytes, ReportInterval: time.Second, Receivers: 1, FileName: []byte("the.img"), Completion: p.told,
		Answer: wire.Answer{Given: p.private != 0, Private: p.private, Sequence: p.sequence},
	}
}

// proveBlock answers a request for a proof.
func (p *peer) proveBlock(w wire.WantedProof) {
	if p.proofs++; p.deaf || w.Private != p.private {
		return
	}
	var plain []byte
	if w.Object == wire.Image {
		plain = p.plain(uint32(w.Block))
	} else {
		b := p.manifest.Bytes()
		plain = b[int(w.Block)*blockBytes : min(int(w.Block+1)*blockBytes, len(b))]
	}
	answer := wire.BlockProof{Session: p.session, Private: p.private, Object: w.Object, Block: w.Block}
	if w.Object == wire.Manifest || !codec.IsZero(plain) {
		encoded := p.encode(w.Object, plain)
		answer.K = uint16((len(encoded) + symbolBytes - 1) / symbolBytes)
		encoded = append(encoded, make([]byte, int(answer.K)*symbolBytes-len(encoded))...)
		for _, d := range codec.AppendGroupDigests(nil, encoded, symbolBytes) {
			answer.Digests = answer.Digests.Append(wire.SymbolGroup(d))
		}
	}
	p.send(answer.AppendTo(nil))
}

// send sends a packet of the stream, or an answer.
func (p *peer) send(packet []byte) {
	if _, err := p.conn.WriteToUDPAddrPort(packet, p.client); err != nil && !errors.Is(err, net.ErrClosed) {
		p.t.Errorf("send: %v", err)
	}
}

func (p *peer) next() wire.Sequence {
	p.sequence++
	return p.sequence
}

// encode encodes a block.
func (p *peer) encode(object wire.Object, plain []byte) []byte {
	encoded := append(make([]byte, codec.HeaderSize), plain...)
	codec.EncodeHeaderInto(encoded[:codec.HeaderSize], encoded[codec.HeaderSize:])
	if p.damaged && object == wire.Image {
		encoded[codec.HeaderSize+5000] ^= 1
	}
	return encoded
}

// symbols are the packets of a block.
func (p *peer) symbols(object wire.Object, id block.ID, plain []byte) (packets [][]byte) {
	encoded := p.encode(object, plain)
	k := (len(encoded) + symbolBytes - 1) / symbolBytes
	for i := range k {
		packets = append(packets, wire.Symbol{
			Session: p.session, Sequence: p.next(), Object: object, Block: id, Symbol: block.SymbolID(i), K: uint16(k),
			Data: encoded[i*symbolBytes : min((i+1)*symbolBytes, len(encoded))],
		}.AppendTo(nil))
	}
	return packets
}

func (p *peer) sendBlock(object wire.Object, id block.ID, plain []byte) {
	for _, packet := range p.symbols(object, id, plain) {
		p.send(packet)
	}
}

// sendImage sends all blocks, those of zeros as such.
func (p *peer) sendImage() {
	for id := range p.g.BlockCount() {
		if plain := p.plain(id); codec.IsZero(plain) {
			p.sendZeros(id)
		} else {
			p.sendBlock(wire.Image, block.ID(id), plain)
		}
	}
}

func (p *peer) sendZeros(id uint32) {
	p.send(wire.ZeroRun{Session: p.session, Sequence: p.next(), First: block.ID(id), Count: 1}.AppendTo(nil))
}

// sendManifest tells of the manifest and sends it.
func (p *peer) sendManifest() {
	if p.bytes == nil {
		p.bytes = p.manifest.Bytes()
	}
	p.sendManifestOf(p.bytes)
}

// sendManifestOf sends that one, and again when it is asked for.
func (p *peer) sendManifestOf(b []byte) {
	p.told, p.bytes = p.completion(), b
	p.heartbeat()
	for id := 0; id*blockBytes < len(b); id++ {
		p.sendBlock(wire.Manifest, block.ID(id), b[id*blockBytes:min((id+1)*blockBytes, len(b))])
	}
}

func (p *peer) heartbeat() {
	p.send(wire.Heartbeat{
		Session: p.session, Sequence: p.sequence, State: wire.SenderStreaming, Pass: 1, Receivers: 1,
		ReportInterval: time.Second, Completion: p.completion(),
	}.AppendTo(nil))
}

// sendSubblocks sends the digests of a block's sub-blocks.
func (p *peer) sendSubblocks(id block.ID) {
	d := wire.SubblockDigests{Session: p.session, Block: id, K: (codec.HeaderSize + blockBytes + symbolBytes - 1) / symbolBytes}
	for _, digest := range codec.AppendSubblockDigests(nil, p.plain(uint32(id))) {
		d.Digests = d.Digests.Append(wire.SubblockDigest(digest))
	}
	p.send(d.AppendTo(nil))
}

// serve runs script once the client has asked for unicast, and acknowledges its goodbye. If
// the client asks for what is missing, it gets all of the image again.
func (p *peer) serve(script func()) {
	buf := make([]byte, 4096)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		kind, _, err := wire.Peek(buf[:n])
		if err != nil {
			p.answerOffer(buf[:n], from)
			continue
		}
		if r, err := wire.ParseProbeReport(buf[:n]); err == nil {
			p.reports = append(p.reports, r)
		}
		if r, err := wire.ParseUnicastRequest(buf[:n]); err == nil && p.client.IsValid() {
			p.requests = append(p.requests, r.Session)
		}
		if p.holds != nil && p.client.IsValid() && p.holds() {
			continue
		}
		switch kind {
		case wire.TypeUnicastRequest:
			if p.client.IsValid() {
				p.heartbeat() // it lives, and tells how much was sent
				continue
			}
			p.client = from
			script()
		case wire.TypeReport:
			r, err := wire.ParseReport(buf[:n])
			if err != nil {
				p.t.Errorf("a report: %v", err)
			} else if p.report != nil {
				p.report(r)
			}
		case wire.TypeWanted, wire.TypeWantedSymbols:
			p.sendWanted(buf[:n])
		case wire.TypeWantedSubblocks:
			w, err := wire.ParseWantedSubblocks(buf[:n])
			if err != nil {
				p.t.Errorf("a request for sub-blocks: %v", err)
				continue
			}
			for r := range w.Blocks.All() {
				for i := range r.Count {
					p.sendSubblocks(r.First + block.ID(i))
				}
			}
		case wire.TypeWantedProof:
			w, err := wire.ParseWantedProof(buf[:n])
			if err != nil {
				p.t.Errorf("a request for a proof: %v", err)
				continue
			}
			p.proveBlock(w)
		case wire.TypeWantedSignature:
			w, err := wire.ParseWantedSignature(buf[:n])
			if err != nil || w.Token != 99 {
				p.t.Errorf("a request for a signature: %+v, %v", w, err)
			} else if p.signed != nil {
				before := p.client // it may ask before it asks for unicast
				p.client = from
				p.send(wire.Signature{Session: p.session, Private: p.private, Signed: p.signed()}.AppendTo(nil))
				p.client = before
			}
		case wire.TypeGoodbye:
			g, err := wire.ParseGoodbye(buf[:n])
			if err != nil {
				p.t.Errorf("a goodbye: %v", err)
				continue
			}
			p.goodbye, p.atEnd = g, p.target.done()
			p.goodbye.Reason = bytes.Clone(g.Reason)
			p.send(wire.GoodbyeAck{Session: g.Session, Receivers: wire.List[wire.ReceiverID]{}.Append(p.number)}.AppendTo(nil))
		}
	}
}

// sendWanted sends all of the image, if some of it is asked for, and of the manifest.
func (p *peer) sendWanted(b []byte) {
	var objects [2]bool
	if w, err := wire.ParseWanted(b); err == nil {
		for r := range w.Ranges.All() {
			objects[r.Object] = true
		}
	}
	if w, err := wire.ParseWantedSymbols(b); err == nil {
		for r := range w.Ranges.All() {
			objects[r.Object] = true
		}
	}
	if objects[wire.Image] {
		p.sendImage()
	}
	if objects[wire.Manifest] || p.told.ManifestSize == 0 {
		p.sendManifest()
	}
}

// answerOffer describes the session to a client that asks.
func (p *peer) answerOffer(b []byte, from netip.AddrPort) {
	_, payload, err := mxb1.Parse(b)
	if err != nil {
		p.t.Errorf("neither a packet nor an offer: %v", err)
		return
	}
	offer, err := wire.ParseOffer(payload)
	if err != nil || !offer.Private || offer.Receiver != p.number {
		p.t.Errorf("an offer: %+v, %v", offer, err)
		return
	}
	p.offers++
	d := p.description()
	if p.answer != nil {
		a := p.answer()
		if a == nil {
			return
		}
		d.Answer = *a
	}
	if _, err := p.conn.WriteToUDPAddrPort(d.AppendTo(nil), from); err != nil && !errors.Is(err, net.ErrClosed) {
		p.t.Errorf("answer: %v", err)
	}
}

// config is that of a client of the peer.
func (p *peer) config() Config {
	p.t.Helper()
	d := p.description()
	iface := loopback(p.t)
	conn, err := udp.Listen(udp.ConnConfig{Interfaces: []udp.Interface{iface}})
	if err != nil {
		p.t.Fatal(err)
	}
	figures := new(account.Client)
	log := slog.New(slog.NewTextHandler(p.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	return Config{
		Conn: conn, Target: p.target, SilenceLimit: 20 * time.Second, Account: figures, Log: log,
		Search: &discover.Search{
			Question: discover.Question{Receiver: us, Group: netip.MustParseAddr("239.255.1.1")}, Account: figures, Log: log,
		},
		Offer: discover.Offer{
			Name: "the.img", SizeBytes: p.g.ImageSize, HasTrailer: true, Session: &d,
			Server: p.conn.LocalAddr().(*net.UDPAddr).AddrPort(), IfIndex: iface.Index,
		},
	}
}

// run lets a client receive from the peer.
func (p *peer) run(script func(), change func(*Config)) (account.Figures, error) {
	p.t.Helper()
	cfg := p.config()
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	p.cancel = cancel
	if change != nil {
		change(&cfg)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.serve(script)
	}()
	err := Run(ctx, cfg)
	p.conn.Close()
	<-served
	return cfg.Account.Figures(), err
}

func loopback(t *testing.T) udp.Interface {
	t.Helper()
	for _, name := range []string{"lo", "lo0"} {
		if i, err := udp.InterfaceByName(name); err == nil {
			return i
		}
	}
	t.Skip("no loopback interface is up here")
	return udp.Interface{}
}

// wrote reports whether anything was written to a block of the target.
func (m *memoryTarget) wrote(id int) bool {
	return slices.ContainsFunc(m.done(), func(did string) bool {
		return did == fmt.Sprintf("write %d", id) || did == fmt.Sprintf("zeros %d", id)
	})
}
