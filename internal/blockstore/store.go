package blockstore

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

const (
	// loadsInFlight is how many blocks are with the loaders at most, and one in loadShare of
	// those that are kept.
	loadsInFlight, loadShare = 8, 8
	// loaders is the count of goroutines that read and digest.
	loaders = 2
	// rowsAhead is how many repair symbols are made at once: the kernel's tile.
	rowsAhead = 4
	// stallTime is how long a block may take to be read before that is a stall.
	stallTime = 2 * time.Second
)

// Config says what to read, and what to call. The functions are called on the owner's
// goroutine, within ReadAhead and HandleLoaded.
type Config struct {
	Source     image.Source
	Geometry   block.Geometry
	SymbolSize uint16
	// Compress says whether blocks are compressed; those of a packed image are.
	Compress Compress
	// CacheFolder is where manifests are kept for later sessions; "" keeps none.
	CacheFolder string
	// Expected is the image digest that was signed; nil: none. Another one is an error of kind
	// failure.ErrIntegrity.
	Expected *codec.Digest
	// Ready reports that a block can be sent, cut into k source symbols.
	Ready func(r sender.Ref, k uint16)
	// Zero reports that a block of the image is zeros.
	Zero func(id block.ID)
	// Complete reports that the manifest is known.
	Complete func(wire.Completion)
	Log      *slog.Logger
}

// Load is a block to be read, and the result.
type Load struct {
	ref        sender.Ref
	buf        []byte    // room for the encoded block
	digestOnly bool      // the block itself is not needed
	coded      bool      // in another way than raw, if that is worth it
	frame      []byte    // the block as an encoder made it; nil before
	begun      time.Time // when an encoder was given it
	released   bool      // it was sent raw in the meantime
	zero       bool
	digest     codec.Digest
	err        error
}

// Store reads an image. Make it by New.
type Store struct {
	cfg Config
	// loads go from the owner to the loaders and loaded back; each has room for all loads,
	// and for those that encoders have, so that neither blocks. Nobody closes them.
	loads, loaded chan *Load

	cache    *cache
	digests  *digests
	frames   framed // the source, if it stores frames in the blocks' size
	encoding *encoding
	coded    bool // blocks of the image are sent as frames; those of wire.Twin never are
	loading  map[sender.Ref]bool
	loadedAt time.Time // when a load last ended, or the only one began
	unread   block.ID  // where to look for blocks that no one has read
	encoder  fec.Encoder
	subs     []codec.SubblockDigest
	proofs   proofs
}

// framed is a Source that stores a zstd frame for each block that is not zeros: a packed image.
type framed interface {
	manifested
	FrameSize(id block.ID) int
	AppendFrame(dst []byte, id block.ID) ([]byte, error)
}

// New returns a Store that has read nothing but the manifest that an earlier session kept.
func New(cfg Config) (*Store, error) {
	digests, err := newDigests(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg:     cfg,
		loads:   make(chan *Load, loadsInFlight+maxEncoders),
		loaded:  make(chan *Load, loadsInFlight+2*maxEncoders),
		cache:   newCache(codec.HeaderSize+int(cfg.Geometry.BlockSize), int(cfg.SymbolSize)),
		digests: digests,
		loading: map[sender.Ref]bool{},
	}
	if f, ok := cfg.Source.(framed); ok && f.Manifest().Geometry() == cfg.Geometry {
		s.frames, s.coded = f, true
	} else if s.encoding = newEncoding(cfg.Compress, runtime.GOMAXPROCS(0), cfg.Geometry); s.encoding != nil {
		s.coded = true
	}
	return s, nil
}

// Compressing reports whether blocks are compressed, so that Hurry matters.
func (s *Store) Compressing() bool { return s.coded && s.encoding != nil }

// Coded reports whether blocks of the image may be encoded in another way than raw.
func (s *Store) Coded() bool { return s.coded }

// SendRaw sends all blocks raw from now on, before any was sent. The owner forgets what Ready said.
func (s *Store) SendRaw() {
	s.coded = false
	if c := s.encoding; c != nil {
		for _, l := range c.queue {
			delete(s.loading, l.ref)
			s.cache.giveBack(l.buf)
		}
		c.queue = nil
	}
	s.cache.drop(func(r sender.Ref) bool { return r.Object == wire.Image })
}

// FitMemory adapts the cache to the bytes of memory that are available beside it. It reports whether
// that changes how many blocks are kept, and then what there is to say about it, if it is little.
func (s *Store) FitMemory(available uint64) (changed bool, text string) {
	changed = s.cache.fit(available)
	if changed && s.cache.most < cachedBlocks {
		text = fmt.Sprintf("little memory: %d MiB are available, and %d blocks of the image are kept instead of %d",
			available>>20, s.cache.most, cachedBlocks)
	}
	return changed, text
}

// Interleave is how many blocks may be sent side by side: no more than the cache has room for.
func (s *Store) Interleave() int { return min(sender.Interleave, s.cache.most/interleaveShare) }

// Ahead is how many blocks to ask of the engine for ReadAhead: twice those that are sent side by
// side, where there is memory for them.
func (s *Store) Ahead() int {
	if n := s.Interleave(); n < sender.Interleave {
		return n
	}
	return 2 * sender.Interleave
}

// Run reads until ctx ends. It cannot return while a disk does not answer.
func (s *Store) Run(ctx context.Context) {
	var running sync.WaitGroup
	for range loaders {
		running.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case l := <-s.loads:
					s.read(l)
					s.loaded <- l
				}
			}
		})
	}
	if s.encoding != nil {
		running.Go(func() { s.encoding.run(ctx, s.loaded) })
	}
	running.Wait()
}

// Completion is the size of the manifest and the image's digest; zero before Complete.
func (s *Store) Completion() wire.Completion { return s.digests.completion }

// Loaded returns the blocks that come back from the loaders.
func (s *Store) Loaded() <-chan *Load { return s.loaded }

// Full reports whether the loaders are busy, so that ReadAhead would read nothing.
func (s *Store) Full() bool {
	most := loadsInFlight
	if s.encoding != nil {
		most += s.encoding.encoders
	}
	return len(s.loading) >= min(most, max(s.cache.most/loadShare, 1))
}

// Stalled reports whether reading the image takes long: its disk does not answer.
func (s *Store) Stalled() bool {
	return len(s.loading) > 0 && time.Since(s.loadedAt) > stallTime
}

// ReadAhead hands the loaders the blocks that will be sent soon. While nothing is sent (idle),
// it hands them blocks that have not been read yet, for the manifest.
func (s *Store) ReadAhead(upcoming []sender.Ref, idle bool) {
	for _, r := range upcoming {
		if s.Full() {
			return
		}
		if s.loading[r] {
			continue
		}
		if e := s.cache.blocks[r]; e != nil {
			s.ready(e)
			continue
		}
		if r.Object != wire.Manifest && s.digests.isZero(r.Block) {
			s.cfg.Zero(r.Block)
			continue
		}
		if s.skipHole(r) {
			continue
		}
		s.load(s.newLoad(r))
	}
	// While there is something to send, the disk is for that: the stream comes by most of
	// what is unread anyway.
	if !idle {
		return
	}
	// A hole may be the last block that the manifest lacks.
	for n := block.ID(s.cfg.Geometry.BlockCount()); s.digests.builder != nil && s.unread < n && len(s.loading) < loaders && !s.Full(); s.unread++ {
		r := sender.Ref{Object: wire.Image, Block: s.unread}
		if !s.digests.has(s.unread) && !s.loading[r] && !s.skipHole(r) {
			s.load(&Load{ref: r, buf: s.cache.buffer(), digestOnly: true})
		}
	}
}

// HandleLoaded handles a block that came through Loaded. An error ends the session: the image
// cannot be read, or has changed.
func (s *Store) HandleLoaded(l *Load) error {
	if l.frame != nil {
		return s.handleEncoded(l)
	}
	delete(s.loading, l.ref)
	s.loadedAt = time.Now()
	if l.err != nil {
		return l.err
	}
	if l.coded && !s.coded { // SendRaw came in between
		s.cache.giveBack(l.buf)
		return nil
	}
	if err := s.record(l); err != nil {
		return err
	}
	if l.zero {
		s.cfg.Zero(l.ref.Block)
	}
	if l.zero || l.digestOnly {
		s.cache.giveBack(l.buf)
		return nil
	}
	if l.coded && s.encoding != nil {
		s.encode(l)
		return nil
	}
	s.ready(s.cache.keep(l.ref, l.buf))
	return nil
}

// PutSymbol puts the bytes of a symbol of block r into dst, SymbolSize bytes.
func (s *Store) PutSymbol(dst []byte, r sender.Ref, y *wire.Symbol) error {
	e, err := s.encoded(r)
	if err != nil {
		return err
	}
	size := int(s.cfg.SymbolSize)
	if y.Symbol.IsSource(int(y.K)) {
		copy(dst, e.buf[int(y.Symbol)*size:][:size])
		return nil
	}
	row := y.Symbol.Row(int(y.K))
	if row < e.first || row >= e.first+uint32(e.made) {
		if e.rows == nil {
			flat := make([]byte, rowsAhead*size)
			for i := range rowsAhead {
				e.rows = append(e.rows, flat[i*size:][:size])
			}
		}
		if err := s.encoder.Encode(e.rows, e.buf, row); err != nil {
			return fmt.Errorf("make a repair symbol: %w", err)
		}
		e.first, e.made = row, rowsAhead
	}
	copy(dst, e.rows[row-e.first])
	return nil
}

// SubblockDigests returns the digests of an image block's sub-blocks, until the next call, and the
// count of source symbols of its raw encoding. sent is that of the encoding that is sent, if it is
// another one, or else 0.
func (s *Store) SubblockDigests(r sender.Ref) (digests []codec.SubblockDigest, k, sent uint16, err error) {
	e, err := s.encoded(r)
	if err != nil {
		return nil, 0, 0, err
	}
	if !e.raw() {
		sent = s.count(e)
		if e, err = s.encoded(sender.Ref{Object: wire.Twin, Block: r.Block}); err != nil {
			return nil, 0, 0, err
		}
	}
	s.subs = codec.AppendSubblockDigests(s.subs[:0], e.buf[codec.HeaderSize:][:s.cfg.Geometry.Size(r.Block)])
	return s.subs, s.count(e), sent, nil
}

// encoded returns a block from the cache, or reads it again. It is not zeros.
func (s *Store) encoded(r sender.Ref) (*encodedBlock, error) {
	e, _, err := s.encodedOrZeros(r)
	return e, err
}

// encodedOrZeros is encoded for a block that may be zeros.
func (s *Store) encodedOrZeros(r sender.Ref) (e *encodedBlock, zeros bool, err error) {
	if e := s.cache.find(r); e != nil {
		return e, false, nil
	}
	l := s.newLoad(r)
	s.read(l)
	if l.err != nil {
		return nil, false, l.err
	}
	if err := s.record(l); err != nil {
		return nil, false, err
	}
	if l.zero {
		s.cache.giveBack(l.buf)
		return nil, true, fmt.Errorf("block %d is zeros: %w", r.Block, image.ErrChanged)
	}
	if l.coded && s.encoding != nil {
		if err := s.encodeNow(l); err != nil {
			return nil, false, err
		}
	}
	return s.cache.keep(l.ref, l.buf), false, nil
}

// newLoad is how block r is read.
func (s *Store) newLoad(r sender.Ref) *Load {
	return &Load{ref: r, buf: s.cache.buffer(), coded: s.coded && r.Object == wire.Image}
}

// load hands a block to the loaders.
func (s *Store) load(l *Load) {
	if len(s.loading) == 0 {
		s.loadedAt = time.Now()
	}
	s.loading[l.ref] = true
	s.loads <- l
}

// read does a load, on a loader's goroutine or on the owner's. The only changing field that it
// reads is the manifest, which is complete before anything of it is loaded.
func (s *Store) read(l *Load) {
	g := s.cfg.Geometry
	if l.ref.Object == wire.Manifest {
		g.ImageSize = uint64(len(s.digests.manifest.Bytes()))
	}
	n, off := int(g.Size(l.ref.Block)), g.Offset(l.ref.Block)
	if l.coded && s.frames != nil && codec.Saves(s.frames.FrameSize(l.ref.Block), n) {
		l.err = s.readFrame(l, n)
		return
	}
	l.buf = l.buf[:codec.HeaderSize+n]
	plain := l.buf[codec.HeaderSize:]
	if l.ref.Object == wire.Manifest {
		copy(plain, s.digests.manifest.Bytes()[off:])
	} else if err := s.cfg.Source.ReadScattered([][]byte{plain}, off); err != nil {
		l.err = err
		return
	}
	if l.ref.Object != wire.Manifest && codec.IsZero(plain) {
		l.zero = true
		return
	}
	l.digest = codec.EncodeHeaderInto(l.buf[:codec.HeaderSize], plain)
}

// readFrame reads a stored frame, and neither decodes nor digests it: the source checks it, and its
// digest is the manifest's.
func (s *Store) readFrame(l *Load, plainSize int) error {
	id := l.ref.Block
	l.digest = s.digests.manifest.Digest(id)
	h := codec.Header{Codec: codec.Zstd, PlainSize: uint32(plainSize), BodySize: uint32(s.frames.FrameSize(id)), Digest: l.digest}
	var err error
	l.buf, err = s.frames.AppendFrame(h.AppendTo(l.buf[:0]), id)
	return err
}

// skipHole reports whether a block is a hole of the image's file, which need not be read.
func (s *Store) skipHole(r sender.Ref) bool {
	g := s.cfg.Geometry
	if r.Object == wire.Manifest || !s.cfg.Source.IsHole(g.Offset(r.Block), uint64(g.Size(r.Block))) {
		return false
	}
	if s.record(&Load{ref: r, zero: true}) != nil {
		return false // the read will report the error
	}
	s.cfg.Zero(r.Block)
	return true
}

// record adds a block's digest to the manifest, or compares it with the one there.
func (s *Store) record(l *Load) error {
	if l.ref.Object == wire.Manifest {
		return nil
	}
	completed, err := s.digests.record(l.ref.Block, l.zero, l.digest)
	if completed {
		s.cfg.Complete(s.digests.completion)
	}
	return err
}

// ready reports that a block can be sent.
func (s *Store) ready(e *encodedBlock) { s.cfg.Ready(e.ref, s.count(e)) }

// count is a block's K.
func (s *Store) count(e *encodedBlock) uint16 { return uint16(len(e.buf) / int(s.cfg.SymbolSize)) }
