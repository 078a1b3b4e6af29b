package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/wire"
)

// fitReceiver is the receiving side.
type fitReceiver struct {
	path    badPath
	buf     []byte // the datagram received
	symbol  wire.Symbol
	objects [2]fitTarget
	open    map[blockKey]*fitBlock
	free    []*fitBlock

	symbolSize uint16
	completion wire.Completion
	highest    wire.Sequence
	passEnded  bool
	number     uint32    // of the last report
	generation uint32    // of the last wanted list
	unreported int       // packets since the last report
	progress   time.Time // when a block was last finished

	received                                  uint64
	damaged, useless, repaired, zeros, blocks int
}

// fitTarget is an object that arrives. Its sets are nil until its size is known.
type fitTarget struct {
	geometry block.Geometry
	target   []byte
	digests  []codec.Digest // of the blocks done
	done     *block.Set
	unseen   *block.Set
}

// fitBlock is a block in the making.
type fitBlock struct {
	sources int // source symbols that have come
	encoded []byte
	k       int
	decoder fec.Decoder
}

func newFitReceiver(conn *net.UDPConn, sender netip.AddrPort) *fitReceiver {
	return &fitReceiver{
		path:     badPath{conn: conn, to: sender, rng: rand.New(rand.NewPCG(2, 0))},
		buf:      make([]byte, wire.MaxPacketSize),
		open:     map[blockKey]*fitBlock{},
		progress: time.Now(),
	}
}

// run receives both objects and says goodbye.
func (r *fitReceiver) run() error {
	err := r.join()
	for err == nil && !r.complete() {
		var b []byte
		if b, err = r.next(); err != nil {
			break
		}
		if b != nil {
			err = r.handle(b)
		}
		if err == nil && (b == nil || r.unreported >= fitReportEach) {
			err = r.report()
		}
	}
	if err == nil {
		err = r.leave()
	}
	if err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	return nil
}

// next is the next datagram, or none after a while.
func (r *fitReceiver) next() ([]byte, error) {
	b, _, err := receive(r.path.conn, r.buf)
	if err == nil && time.Since(r.progress) > fitTimeout {
		err = fmt.Errorf("stuck for %v with %d blocks done, %d open, sequence %#x", fitTimeout, r.blocks, len(r.open), r.highest)
	}
	return b, err
}

// join offers until the description comes.
func (r *fitReceiver) join() error {
	offer := wire.Offer{
		Version:       wire.Version,
		Receiver:      fitReceiverID,
		Codecs:        1 << codec.Raw,
		LargestPacket: 1500 - 28,
		HostName:      wire.Text("fit"),
	}
	for {
		if err := r.path.send(offer.AppendTo(nil)); err != nil {
			return err
		}
		b, err := r.next()
		if err != nil {
			return err
		}
		d, err := wire.ParseDescription(b)
		if err != nil || d.Receiver != fitReceiverID || d.Session != fitSessionID {
			continue
		}
		r.symbolSize = d.SymbolSize
		return r.objects[wire.Image].begin(d.Geometry)
	}
}

func (o *fitTarget) begin(g block.Geometry) error {
	if err := g.Validate(); err != nil {
		return err
	}
	n := g.BlockCount()
	*o = fitTarget{
		geometry: g,
		target:   bytes.Repeat([]byte{0xee}, int(g.ImageSize)),
		digests:  make([]codec.Digest, n),
		done:     block.NewSet(uint64(n)),
		unseen:   block.NewFullSet(uint64(n)),
	}
	return nil
}

func (r *fitReceiver) complete() bool {
	for _, o := range r.objects {
		if o.done == nil || o.done.Count() < o.done.N() {
			return false
		}
	}
	return true
}

// take takes a packet. Errors are faults of the packages: what the path does to
// packets is counted.
func (r *fitReceiver) handle(b []byte) error {
	typ, session, err := wire.Peek(b)
	if err != nil || session != fitSessionID {
		r.damaged++
		return nil
	}
	switch typ {
	case wire.TypeSymbol:
		err = wire.ParseSymbol(b, &r.symbol)
		if err == nil && wire.Intact(b) {
			r.count(r.symbol.Sequence)
			return r.handleSymbol(&r.symbol)
		}
		r.damaged++
		return nil
	case wire.TypeZeroRun:
		var run wire.ZeroRun
		if run, err = wire.ParseZeroRun(b); err == nil {
			r.count(run.Sequence)
			return r.handleZeros(run)
		}
	case wire.TypeHeartbeat:
		var h wire.Heartbeat
		if h, err = wire.ParseHeartbeat(b); err == nil {
			return r.handleHeartbeat(h)
		}
	case wire.TypeDescription: // a second one
		return nil
	}
	r.damaged++
	return nil
}

func (r *fitReceiver) count(q wire.Sequence) {
	r.highest = max(r.highest, q)
	r.received++
	r.unreported++
}

func (r *fitReceiver) handleSymbol(s *wire.Symbol) error {
	key, o := blockKey{s.Object, s.Block}, &r.objects[s.Object]
	if o.done == nil { // the manifest, and the heartbeat is lost
		r.useless++
		return nil
	}
	if !o.geometry.Has(s.Block) || int(s.K) > o.geometry.MaxK(s.Block, r.symbolSize) {
		return fmt.Errorf("block %v of %d symbols is not within %+v", key, s.K, o.geometry)
	}
	if o.done.Has(uint64(s.Block)) {
		r.useless++
		return nil
	}
	a := r.open[key]
	if a == nil {
		a = r.newBlock()
		a.k, a.sources = int(s.K), 0
		a.encoded = slices.Grow(a.encoded[:0], a.k*int(r.symbolSize))[:a.k*int(r.symbolSize)]
		if err := a.decoder.Reset(a.encoded, int(r.symbolSize)); err != nil {
			return fmt.Errorf("block %v of %d symbols: %w", key, s.K, err)
		}
		r.open[key] = a
		o.unseen.Remove(block.Range{Lo: uint64(s.Block), Hi: uint64(s.Block) + 1})
	}
	if a.k != int(s.K) {
		return fmt.Errorf("block %v has %d symbols, then %d", key, a.k, s.K)
	}
	useful, err := a.decoder.Add(fec.SymbolID(s.Symbol), s.Data)
	if err != nil {
		return fmt.Errorf("block %v, symbol %d of %d bytes: %w", key, s.Symbol, len(s.Data), err)
	}
	if !useful {
		r.useless++
	} else if block.SymbolID(s.Symbol).IsSource(a.k) {
		a.sources++
	}
	if a.decoder.Needed() > 0 {
		return nil
	}
	return r.finish(key, a)
}

// finish solves, decodes and verifies, and only then writes.
func (r *fitReceiver) finish(key blockKey, a *fitBlock) error {
	missing := a.k - a.sources
	switch err := a.decoder.Solve(); {
	case errors.Is(err, fec.ErrSingular):
		return nil
	case err != nil:
		return fmt.Errorf("block %v: %w", key, err)
	case missing > 0:
		r.repaired++
	}
	o := &r.objects[key.object]
	plain, digest, err := new(codec.Decoder).Decode(nil, a.encoded, o.geometry.Size(key.id))
	if err != nil {
		return fmt.Errorf("block %v, of which %d of %d symbols were repaired: %w", key, missing, a.k, err)
	}
	copy(o.target[o.geometry.Offset(key.id):], plain)
	delete(r.open, key)
	r.free = append(r.free, a)
	r.finished(o, key.id, digest)
	return nil
}

func (r *fitReceiver) finished(o *fitTarget, id block.ID, d codec.Digest) {
	o.digests[id] = d
	one := block.Range{Lo: uint64(id), Hi: uint64(id) + 1}
	o.done.Add(one)
	o.unseen.Remove(one)
	r.blocks++
	r.progress = time.Now()
}

// newBlock has the memory of one that is finished, if there is one.
func (r *fitReceiver) newBlock() *fitBlock {
	if n := len(r.free); n > 0 {
		a := r.free[n-1]
		r.free = r.free[:n-1]
		return a
	}
	return &fitBlock{}
}

func (r *fitReceiver) handleZeros(run wire.ZeroRun) error {
	o := &r.objects[wire.Image]
	blocks := block.Range{Lo: uint64(run.First), Hi: uint64(run.First) + uint64(run.Count)}
	if err := blocks.ValidateIn(uint64(o.geometry.BlockCount())); err != nil {
		return fmt.Errorf("run of zeros: %w", err)
	}
	for i := blocks.Lo; i < blocks.Hi; i++ {
		if o.done.Has(i) {
			r.useless++
			continue
		}
		id := block.ID(i)
		clear(o.target[o.geometry.Offset(id):][:o.geometry.Size(id)])
		r.zeros++
		r.finished(o, id, codec.ZeroDigest(uint32(o.geometry.Size(id))))
	}
	return nil
}

func (r *fitReceiver) handleHeartbeat(h wire.Heartbeat) error {
	r.highest = max(r.highest, h.Sequence)
	r.passEnded = r.passEnded || h.PassEnded
	if m := &r.objects[wire.Manifest]; m.done == nil && h.Completion.ManifestSize > 0 {
		r.completion = h.Completion
		g := block.Geometry{ImageSize: h.Completion.ManifestSize, BlockSize: r.objects[wire.Image].geometry.BlockSize}
		if err := m.begin(g); err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
	}
	return r.report()
}

// report tells the NACKs and, after the pass, what was never seen.
func (r *fitReceiver) report() error {
	r.unreported = 0
	r.number++
	report := wire.Report{
		Session:    fitSessionID,
		Receiver:   fitReceiverID,
		Highest:    r.highest,
		Number:     r.number,
		BlocksDone: uint32(r.objects[wire.Image].done.Count()),
		Counts:     wire.PacketCounts{Received: r.received},
		Backlog:    uint32(len(r.open)),
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.open), compareKeys) {
		if report.NACKs.Len() < wire.MaxNACKs {
			needed := uint16(r.open[key].decoder.Needed())
			report.NACKs = report.NACKs.Append(wire.SymbolCount{Object: key.object, Block: key.id, Symbols: needed})
		}
	}
	if err := r.path.send(report.AppendTo(nil)); err != nil {
		return err
	}
	if !r.passEnded {
		return nil
	}
	wanted := wire.Wanted{Session: fitSessionID, Receiver: fitReceiverID, Highest: r.highest, Pages: 1}
	var ranges []block.Range
	for object, o := range r.objects {
		if o.unseen == nil {
			continue
		}
		ranges = ranges[:0]
		for at := uint64(0); len(ranges) < wire.MaxRanges-wanted.Ranges.Len(); {
			next, ok := o.unseen.Next(at)
			if !ok {
				break
			}
			ranges, at = append(ranges, next), next.Hi
		}
		for _, unseen := range ranges {
			wanted.Ranges = wanted.Ranges.Append(wire.Range{
				Object: wire.Object(object),
				First:  block.ID(unseen.Lo),
				Count:  uint32(unseen.Len()),
			})
		}
	}
	if wanted.Ranges.Len() == 0 {
		return nil
	}
	r.generation++
	wanted.Generation = r.generation
	return r.path.send(wanted.AppendTo(nil))
}

// leave says goodbye until that is acknowledged.
func (r *fitReceiver) leave() error {
	goodbye := wire.Goodbye{
		Session:    fitSessionID,
		Receiver:   fitReceiverID,
		Outcome:    wire.OutcomeDone,
		Counts:     wire.PacketCounts{Received: r.received},
		BlocksDone: uint32(r.objects[wire.Image].done.Count()),
	}
	for {
		if err := r.path.send(goodbye.AppendTo(nil)); err != nil {
			return err
		}
		b, err := r.next()
		if err != nil {
			return err
		}
		ack, err := wire.ParseGoodbyeAck(b)
		if err != nil || ack.Session != fitSessionID {
			continue
		}
		for id := range ack.Receivers.All() {
			if id == fitReceiverID {
				return nil
			}
		}
	}
}
