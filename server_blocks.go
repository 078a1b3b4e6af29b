package multiserver

import (
	"fmt"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// compose fills b with the packets of a stream that are next, and tells whether there
// are any: one control packet or run of zeros, or symbols, all of one size.
func (s *symbolServer) compose(b *batch, st *stream) (filled bool, err error) {
	b.packets, b.bytes, b.image, b.to, b.stream = 0, 0, 0, st.to, st
	now := s.now()
	if st.held.Kind == sender.Nothing {
		if packet, ok := st.engine.Poll(now, b.buf[:0]); ok {
			b.packets, b.bytes, b.size = 1, len(packet), len(packet)
			return true, nil
		}
	}
	b.size = s.packetSize()
	for most := s.burst(); b.packets < most; {
		next := st.held
		st.held = sender.Send{}
		if next.Kind == sender.Nothing {
			next = st.engine.Next(now)
		}
		switch next.Kind {
		case sender.Nothing:
			return b.packets > 0, nil
		case sender.ZeroRun:
			if b.packets > 0 {
				st.held = next
				return true, nil
			}
			packet := next.Zeros.AppendTo(b.buf[:0])
			b.packets, b.bytes, b.size = 1, len(packet), len(packet)
			return true, nil
		}
		if next.Kind == sender.Subblocks {
			if b.packets > 0 {
				st.held = next
				return true, nil
			}
			return true, s.putPieces(b, next.Subblocks)
		}
		slot := b.buf[b.bytes : b.bytes+b.size]
		if err := s.fillSymbol(slot[wire.SymbolHeaderSize:], &next.Symbol); err != nil {
			return false, err
		}
		next.Symbol.PutHeader(slot)
		b.bytes += b.size
		b.packets++
		b.image += int(s.symbolSize)
	}
	return true, nil
}

// fillSymbol puts a symbol's bytes into dst.
func (s *symbolServer) fillSymbol(dst []byte, y *wire.Symbol) error {
	e, err := s.encoded(sender.Ref{Object: y.Object, Block: y.Block})
	if err != nil {
		return err
	}
	if y.Symbol.IsSource(int(y.K)) {
		copy(dst, e.buf[int(y.Symbol)*int(s.symbolSize):][:s.symbolSize])
		return nil
	}
	row := y.Symbol.Row(int(y.K))
	if row < e.first || row >= e.first+uint32(e.made) {
		if e.rows == nil {
			flat := make([]byte, rowsAhead*int(s.symbolSize))
			for i := range rowsAhead {
				e.rows = append(e.rows, flat[i*int(s.symbolSize):][:s.symbolSize])
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

// index is a block's place in the cache.
func (s *symbolServer) index(r sender.Ref) uint32 {
	if r.Object == wire.Manifest {
		return s.geometry.BlockCount() + uint32(r.Block)
	}
	return uint32(r.Block)
}

// encoded returns a block from the cache, or reads it again.
func (s *symbolServer) encoded(r sender.Ref) (*encodedBlock, error) {
	s.uses++
	if e := s.cache[s.index(r)]; e != nil {
		e.used = s.uses
		return e, nil
	}
	l := &load{ref: r, buf: s.buffer()}
	s.read(l)
	if l.err != nil {
		return nil, l.err
	}
	if err := s.digested(l); err != nil {
		return nil, err
	}
	return s.keep(l), nil
}

// buffer is room for an encoded block, whose bytes are of no use.
func (s *symbolServer) buffer() []byte {
	if n := len(s.spare); n > 0 {
		b := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return b
	}
	whole := codec.HeaderSize + int(s.geometry.BlockSize)
	return make([]byte, 0, whole+int(s.symbolSize))
}

// read does a load: on a loader's goroutine, or on run's.
func (s *symbolServer) read(l *load) {
	g := s.geometryOf(l.ref.Object)
	n, off := int(g.Size(l.ref.Block)), g.Offset(l.ref.Block)
	l.buf = l.buf[:codec.HeaderSize+n]
	plain := l.buf[codec.HeaderSize:]
	if l.ref.Object == wire.Manifest {
		copy(plain, s.manifest.Bytes()[off:])
	} else if err := s.source.ReadScattered([][]byte{plain}, off); err != nil {
		l.err = err
		return
	}
	if l.ref.Object == wire.Image && codec.IsZero(plain) {
		l.zero = true
		return
	}
	l.digest = codec.EncodeHeaderInto(l.buf[:codec.HeaderSize], plain)
}

func (s *symbolServer) geometryOf(o wire.Object) block.Geometry {
	if o == wire.Manifest {
		return block.Geometry{ImageSize: uint64(len(s.manifest.Bytes())), BlockSize: s.geometry.BlockSize}
	}
	return s.geometry
}

// keep puts a loaded block into the cache, in the place of the one that was of use
// longest ago, and fills up its last symbol.
func (s *symbolServer) keep(l *load) *encodedBlock {
	if len(s.cache) >= cachedBlocks {
		var oldest *encodedBlock
		for _, e := range s.cache {
			if oldest == nil || e.used < oldest.used {
				oldest = e
			}
		}
		delete(s.cache, oldest.index)
		s.spare = append(s.spare, oldest.buf[:0])
	}
	size := int(s.symbolSize)
	whole := (len(l.buf) + size - 1) / size * size
	if cap(l.buf) < whole {
		l.buf = append(make([]byte, 0, whole), l.buf...)
	}
	used := len(l.buf)
	l.buf = l.buf[:whole]
	clear(l.buf[used:])
	s.uses++
	e := &encodedBlock{index: s.index(l.ref), buf: l.buf, used: s.uses}
	s.cache[e.index] = e
	return e
}

// readAhead hands the loaders what will be sent soon; while nothing is sent, what
// nobody has read yet, for the manifest.
func (s *symbolServer) readAhead() {
	if len(s.loading) >= loadsInFlight {
		return
	}
	s.upcoming = s.upcoming[:0]
	for _, st := range s.streams {
		s.upcoming = st.engine.Upcoming(s.upcoming, readAhead)
	}
	for _, r := range s.upcoming {
		if len(s.loading) >= loadsInFlight {
			return
		}
		if s.loading[r] {
			continue
		}
		if e := s.cache[s.index(r)]; e != nil {
			s.ready(r, e)
			continue
		}
		if r.Object == wire.Image && s.manifest != nil && s.manifest.IsZeroBlock(uint32(r.Block)) {
			s.zero(r.Block)
			continue
		}
		if s.skipHole(r) {
			continue
		}
		s.load(&load{ref: r, buf: s.buffer()})
	}
	// While there is something to send, the disk is for that: the stream comes by most
	// of what is unread anyway.
	if s.manifest != nil || !s.idle {
		return
	}
	// The builder is gone once a hole was the last that it lacked.
	for n := block.ID(s.geometry.BlockCount()); s.builder != nil && s.unread < n && len(s.loading) < loaders; s.unread++ {
		r := sender.Ref{Object: wire.Image, Block: s.unread}
		if !s.builder.Has(uint32(s.unread)) && !s.loading[r] {
			if s.skipHole(r) {
				continue
			}
			s.load(&load{ref: r, buf: s.buffer(), passing: true})
		}
	}
}

// skipHole tells whether a block is a hole of the image's file, which need not be read.
func (s *symbolServer) skipHole(r sender.Ref) bool {
	if r.Object != wire.Image || !s.source.IsHole(s.geometry.Offset(r.Block), uint64(s.geometry.Size(r.Block))) {
		return false
	}
	if s.digested(&load{ref: r, zero: true}) != nil {
		return false // to be read, and said
	}
	s.zero(r.Block)
	return true
}

// load hands a block to the loaders.
func (s *symbolServer) load(l *load) {
	if len(s.loading) == 0 {
		s.loadedAt = time.Now()
	}
	s.loading[l.ref] = true
	s.loads <- l
}

// sayStall says, once, that reading the image takes long.
func (s *symbolServer) sayStall() {
	if len(s.loading) > 0 && time.Since(s.loadedAt) > stallTime && !s.stallSaid {
		s.stallSaid = true
		s.cfg.Log.Warn("the image is not read: its disk does not answer", "file", s.cfg.File)
	}
}

// loader reads what readAhead asks for.
func (s *symbolServer) loader(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case l := <-s.loads:
			s.read(l)
			s.loaded <- l
		}
	}
}

// take tells the engine of a block that was read.
func (s *symbolServer) take(l *load) error {
	delete(s.loading, l.ref)
	s.loadedAt, s.stallSaid = time.Now(), false
	if l.err != nil {
		return l.err
	}
	if err := s.digested(l); err != nil {
		return err
	}
	if l.zero {
		s.zero(l.ref.Block)
	}
	if l.zero || l.passing {
		s.spare = append(s.spare, l.buf[:0])
		return nil
	}
	s.ready(l.ref, s.keep(l))
	return nil
}

// ready tells the engines that a block can be sent.
func (s *symbolServer) ready(r sender.Ref, e *encodedBlock) {
	for _, st := range s.streams {
		st.engine.Ready(r, uint16(len(e.buf)/int(s.symbolSize)))
	}
}

// zero tells the engines that a block of the image is zeros.
func (s *symbolServer) zero(id block.ID) {
	for _, st := range s.streams {
		st.engine.Zero(id)
	}
}

// digested takes a block's digest into the manifest, or holds it against the one
// that is there: a block that reads otherwise than before is another image.
func (s *symbolServer) digested(l *load) error {
	if l.ref.Object == wire.Manifest {
		return nil
	}
	id := uint32(l.ref.Block)
	if s.manifest != nil {
		if l.zero != s.manifest.IsZeroBlock(id) || !l.zero && l.digest != s.manifest.Digest(id) {
			s.forgetManifest()
			return fmt.Errorf("block %d of image %s reads otherwise than before: it %w", id, s.cfg.File, image.ErrChanged)
		}
		return nil
	}
	var err error
	if l.zero {
		err = s.builder.SetZero(id)
	} else {
		err = s.builder.Set(id, l.digest)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", s.cfg.File, err)
	}
	if s.builder.Complete() {
		s.manifest, s.builder = s.builder.Manifest(), nil
		for _, st := range s.streams {
			st.engine.SetCompletion(s.now(), s.completion())
		}
		s.rememberManifest()
	}
	return nil
}
