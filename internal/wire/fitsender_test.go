package wire_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/wire"
)

// fitSender is the sending side.
type fitSender struct {
	path     badPath
	buf      []byte // the datagram received
	objects  [2]fitSource
	builder  *codec.ManifestBuilder
	encoder  fec.Encoder
	encoded  []byte   // the block that is being sent
	packets  [][]byte // repair packets that are being made
	blocks   map[blockKey]*fitSent
	sequence wire.Sequence // last one sent
	heard    wire.Sequence // highest that the receiver told
	report   uint32        // number of the latest
	// passEnded also says that the manifest is made.
	passEnded  bool
	completion wire.Completion
	dropped    bool // nothing of the stream gets through
	symbolSize uint16
	speech     time.Time // when the receiver last said anything

	damaged, wanted, nacks, goodbyes int
}

// fitSource is an object to send.
type fitSource struct {
	bytes    []byte
	geometry block.Geometry
}

func (o fitSource) plain(id block.ID) []byte {
	return o.bytes[o.geometry.Offset(id):][:o.geometry.Size(id)]
}

// fitSent is what a sender keeps of a block.
type fitSent struct {
	nextRow uint32
	// last is the sequence of its last packet, the greatest there is while it is
	// under way. What a receiver says that has not seen it is out of date.
	last  wire.Sequence
	owed  int  // repair symbols
	again bool // as a whole
}

func newFitSender(conn *net.UDPConn, image []byte, g block.Geometry) (*fitSender, error) {
	builder, err := codec.NewManifestBuilder(g)
	if err != nil {
		return nil, err
	}
	symbolSize, err := wire.SymbolSizeFor(1500 - 28)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(g.Validate(), g.ValidateSymbolSize(symbolSize)); err != nil {
		return nil, err
	}
	return &fitSender{
		path:       badPath{conn: conn, rng: rand.New(rand.NewPCG(1, 0))},
		buf:        make([]byte, wire.MaxPacketSize),
		objects:    [2]fitSource{wire.Image: {image, g}},
		builder:    builder,
		blocks:     map[blockKey]*fitSent{},
		sequence:   wire.UnicastSequence,
		heard:      wire.UnicastSequence,
		symbolSize: symbolSize,
		speech:     time.Now(),
	}, nil
}

// run sends until the connection is closed.
func (s *fitSender) run() error {
	err := s.send()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("sender: %w", err)
}

func (s *fitSender) send() error {
	for !s.path.to.IsValid() { // until an offer comes
		if err := s.listen(); err != nil {
			return err
		}
	}
	if err := s.sendImage(); err != nil {
		return err
	}
	m := s.builder.Manifest()
	g := block.Geometry{ImageSize: uint64(len(m.Bytes())), BlockSize: s.objects[wire.Image].geometry.BlockSize}
	s.objects[wire.Manifest] = fitSource{m.Bytes(), g}
	s.completion = wire.Completion{ManifestSize: g.ImageSize, ImageDigest: m.ImageDigest()}
	// Its symbols mean nothing to a receiver that does not know of it yet.
	if err := s.heartbeat(); err != nil {
		return err
	}
	for id := range block.ID(g.BlockCount()) {
		if err := s.sendWhole(blockKey{wire.Manifest, id}); err != nil {
			return err
		}
	}
	s.passEnded = true
	for {
		if err := errors.Join(s.serve(), s.heartbeat(), s.listen()); err != nil {
			return err
		}
	}
}

// sendImage is the first pass over the image, with what is asked for in between.
func (s *fitSender) sendImage() error {
	o := s.objects[wire.Image]
	n := block.ID(o.geometry.BlockCount())
	for id := block.ID(0); id < n; {
		s.dropped = slices.Contains(fitDropped, id)
		end := id
		for end < n && codec.IsZero(o.plain(end)) {
			if err := s.builder.SetZero(end); err != nil {
				return err
			}
			end++
		}
		var err error
		if end > id {
			err = s.sendZeros(id, end)
		} else {
			err = s.sendWhole(blockKey{wire.Image, id})
			end++
		}
		s.dropped = false
		if err := errors.Join(err, s.serve()); err != nil {
			return err
		}
		id = end
	}
	return nil
}

func (s *fitSender) sendZeros(first, end block.ID) error {
	for range 2 {
		s.sequence++
		run := wire.ZeroRun{Session: fitSessionID, Sequence: s.sequence, First: first, Count: uint32(end - first)}
		if err := s.emit(run.AppendTo(nil)); err != nil {
			return err
		}
	}
	for id := first; id < end; id++ {
		s.block(blockKey{wire.Image, id}).last = s.sequence
	}
	return nil
}

// sendWhole sends the source symbols of a block, and repair symbols for the usual loss.
func (s *fitSender) sendWhole(key blockKey) error {
	sent := s.block(key)
	sent.last = wire.MaxSequence
	cut := s.encode(key)
	if key.object == wire.Image && !s.passEnded {
		// The manifest takes the digest that the receiver is told.
		h, err := codec.ParseHeader(s.encoded)
		if err != nil {
			return err
		}
		if err := s.builder.Set(key.id, h.Digest); err != nil {
			return err
		}
	}
	packet := s.packet(0)
	for id := range block.SymbolID(cut.K()) {
		offset := int(id) * int(cut.SymbolSize)
		size := min(int(cut.SymbolSize), int(cut.EncodedSize)-offset)
		end := wire.SymbolHeaderSize + copy(packet[wire.SymbolHeaderSize:], s.encoded[offset:offset+size])
		if err := s.sendSymbol(key, id, cut.K(), packet[:end]); err != nil {
			return err
		}
	}
	return s.sendRepair(key, cut, (cut.K()+19)/20)
}

// sendRepair sends the next count repair symbols of a block that is in s.encoded.
func (s *fitSender) sendRepair(key blockKey, cut block.Cut, count int) error {
	sent := s.block(key)
	symbols := make([][]byte, count)
	for i := range symbols {
		symbols[i] = s.packet(i)[wire.SymbolHeaderSize:]
	}
	if err := s.encoder.Encode(symbols, s.encoded, sent.nextRow); err != nil {
		return err
	}
	for i := range symbols {
		id := block.SymbolID(cut.K()) + block.SymbolID(sent.nextRow)
		if id > block.MaxSymbolID {
			return fmt.Errorf("block %v has no repair symbols left", key)
		}
		sent.nextRow++
		if err := s.sendSymbol(key, id, cut.K(), s.packet(i)); err != nil {
			return err
		}
	}
	sent.last = s.sequence
	return nil
}

// encode makes the encoded block.
func (s *fitSender) encode(key blockKey) block.Cut {
	plain := s.objects[key.object].plain(key.id)
	s.encoded = append(append(s.encoded[:0], make([]byte, codec.HeaderSize)...), plain...)
	codec.EncodeHeaderInto(s.encoded[:codec.HeaderSize], s.encoded[codec.HeaderSize:])
	return block.Cut{EncodedSize: uint32(len(s.encoded)), SymbolSize: s.symbolSize}
}

// packet is room for packet i of those that are made at once.
func (s *fitSender) packet(i int) []byte {
	for len(s.packets) <= i {
		s.packets = append(s.packets, make([]byte, wire.SymbolHeaderSize+int(s.symbolSize)))
	}
	return s.packets[i]
}

func (s *fitSender) sendSymbol(key blockKey, id block.SymbolID, k int, packet []byte) error {
	s.sequence++
	wire.Symbol{
		Session:  fitSessionID,
		Sequence: s.sequence,
		Object:   key.object,
		Block:    key.id,
		Symbol:   id,
		K:        uint16(k),
	}.PutHeader(packet)
	return s.emit(packet)
}

// emit sends a packet of the stream and waits until the window has room for the next.
// The heartbeat tells the receiver of packets that are lost, which would otherwise
// close the window for good.
func (s *fitSender) emit(packet []byte) error {
	var err error
	if !s.dropped {
		err = s.path.send(packet)
	}
	for err == nil && s.sequence >= s.heard+fitWindow {
		err = errors.Join(s.heartbeat(), s.listen())
	}
	return err
}

// serve sends what is pending.
func (s *fitSender) serve() error {
	for _, key := range slices.SortedFunc(maps.Keys(s.blocks), compareKeys) {
		sent, plain := s.blocks[key], s.objects[key.object].plain(key.id)
		owed, again := sent.owed, sent.again
		sent.owed, sent.again = 0, false
		if again {
			s.wanted++
		}
		var err error
		switch {
		case again && key.object == wire.Image && codec.IsZero(plain):
			err = s.sendZeros(key.id, key.id+1)
		case again:
			err = s.sendWhole(key)
		case owed > 0:
			s.nacks++
			sent.last = wire.MaxSequence
			err = s.sendRepair(key, s.encode(key), owed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *fitSender) heartbeat() error {
	if err := s.path.release(); err != nil {
		return err
	}
	return s.path.send(wire.Heartbeat{
		Session:        fitSessionID,
		Sequence:       s.sequence,
		Pass:           1,
		PassEnded:      s.passEnded,
		Receivers:      1,
		ReportInterval: wire.MinInterval,
		Completion:     s.completion,
	}.AppendTo(nil))
}

// listen takes one packet, if one comes soon.
func (s *fitSender) listen() error {
	b, from, err := receive(s.path.conn, s.buf)
	if err != nil {
		return err
	}
	if b == nil {
		if silence := time.Since(s.speech); silence > fitTimeout {
			return fmt.Errorf("the receiver has said nothing for %v", silence)
		}
		return nil
	}
	s.speech = time.Now()
	if offer, err := wire.ParseOffer(b); err == nil {
		s.path.to = from
		return s.describe(offer)
	}
	typ, session, err := wire.Peek(b)
	if err != nil || session != fitSessionID {
		s.damaged++
		return nil
	}
	switch typ {
	case wire.TypeReport:
		err = s.handleReport(b)
	case wire.TypeWanted:
		err = s.handleWanted(b)
	case wire.TypeGoodbye:
		return s.handleGoodbye(b)
	default:
		err = fmt.Errorf("type %#x", typ)
	}
	if err != nil {
		s.damaged++
	}
	return nil
}

func (s *fitSender) describe(offer wire.Offer) error {
	if offer.Codecs&(1<<codec.Raw) == 0 || int(offer.LargestPacket) < wire.SymbolHeaderSize+int(s.symbolSize) {
		return fmt.Errorf("an offer of codecs %b and packets of %d bytes", offer.Codecs, offer.LargestPacket)
	}
	return s.path.send(wire.Description{
		Session:        fitSessionID,
		Receiver:       offer.Receiver,
		Codecs:         1 << codec.Raw,
		Geometry:       s.objects[wire.Image].geometry,
		SymbolSize:     s.symbolSize,
		ReportInterval: wire.MinInterval,
		Receivers:      1,
		FileName:       wire.FileName("images/fit.img"),
	}.AppendTo(nil))
}

func (s *fitSender) handleReport(b []byte) error {
	report, err := wire.ParseReport(b)
	if err != nil || report.Number <= s.report {
		return err
	}
	s.report = report.Number
	s.heard = max(s.heard, report.Highest)
	for need := range report.NACKs.All() {
		sent := s.blocks[blockKey{need.Object, need.Block}]
		if sent == nil {
			return fmt.Errorf("deficit of block %d, of which nothing was sent", need.Block)
		}
		if report.Highest >= sent.last {
			sent.owed = int(need.Symbols)
		}
	}
	return nil
}

func (s *fitSender) handleWanted(b []byte) error {
	wanted, err := wire.ParseWanted(b)
	if err != nil {
		return err
	}
	for r := range wanted.Ranges.All() {
		for id := r.First; id < r.First+block.ID(r.Count); id++ {
			if sent := s.blocks[blockKey{r.Object, id}]; sent != nil && wanted.Highest >= sent.last {
				sent.again = true
			}
		}
	}
	return nil
}

func (s *fitSender) handleGoodbye(b []byte) error {
	goodbye, err := wire.ParseGoodbye(b)
	if err != nil {
		s.damaged++
		return nil
	}
	if goodbye.Outcome != wire.OutcomeDone {
		return fmt.Errorf("a goodbye with outcome %d: %s", goodbye.Outcome, goodbye.Reason)
	}
	s.goodbyes++
	ack := wire.GoodbyeAck{Session: fitSessionID}
	ack.Receivers = ack.Receivers.Append(goodbye.Receiver)
	return s.path.send(ack.AppendTo(nil))
}

func (s *fitSender) block(key blockKey) *fitSent {
	if s.blocks[key] == nil {
		s.blocks[key] = &fitSent{}
	}
	return s.blocks[key]
}
