package blockstore

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// Compress says whether blocks are compressed while they are sent.
type Compress int

// The modes.
const (
	CompressAuto   Compress = iota // by cores to spare, as far as nothing waits for it
	CompressNever                  // as they are
	CompressAlways                 // the stream waits for it
)

const (
	// maxEncoders bounds their memory: two blocks and some megabytes each.
	maxEncoders = 8
	// hungry: while fewer blocks are under way, and the next one is not ready, those that no
	// encoder has begun go raw. While none is, those go too that an encoder has had for patience: it
	// takes some 4 ms.
	hungry   = 3
	patience = 20 * time.Millisecond
	// After giveUpAfter blocks in a row that did not compress, only one in firstProbe is tried, and
	// after each that fails again one in twice as many, probeEvery at most.
	giveUpAfter, firstProbe, probeEvery = 4, 4, 32
)

// What is known of a block's encoding. Everything else is the checksum of its frame.
const (
	undecided = 0
	pinnedRaw = 1
)

// encoding compresses the image's blocks beside the stream. What a block is encoded as is decided
// once in a session, before it is ready: it is pinned. The owner's but for jobs.
type encoding struct {
	mode     Compress
	encoders int
	// jobs go from the owner to the encoders, and back through the store's loaded. There is room
	// for all of them, and nobody closes it.
	jobs    chan *Load
	busy    int     // jobs that did not come back
	queue   []*Load // that no encoder has begun, in the order of their arrival
	begun   []*Load // of busy, those that are not released
	pins    []uint32
	spare   [][]byte // memory for frames
	own     *codec.ZstdEncoder
	failed  int // blocks in a row that did not compress
	skipped int // since the last one that was tried
}

// newEncoding returns nil if nothing is to be compressed.
func newEncoding(mode Compress, cores int, g block.Geometry) *encoding {
	encoders := min(cores-1, maxEncoders)
	if mode == CompressAlways {
		encoders = max(encoders, 1)
	}
	if mode == CompressNever || encoders < 1 {
		return nil
	}
	return &encoding{
		mode: mode, encoders: encoders, jobs: make(chan *Load, encoders), pins: make([]uint32, g.BlockCount()),
	}
}

// run encodes until ctx ends.
func (c *encoding) run(ctx context.Context, done chan<- *Load) {
	var running sync.WaitGroup
	for range c.encoders {
		running.Go(func() {
			encoder := newFrameEncoder()
			for {
				select {
				case <-ctx.Done():
					return
				case l := <-c.jobs:
					l.frame = appendEncoded(l.frame[:0], l.buf, encoder)
					done <- l
				}
			}
		})
	}
	running.Wait()
}

func newFrameEncoder() *codec.ZstdEncoder { return codec.NewZstdEncoder(codec.Fastest, false) }

// appendEncoded appends the encoded block whose raw encoding is raw.
func appendEncoded(dst, raw []byte, encoder *codec.ZstdEncoder) []byte {
	dst = append(dst, raw[:codec.HeaderSize]...)
	dst = encoder.Append(dst, raw[codec.HeaderSize:])
	h := codec.Header{
		Codec: codec.Zstd, PlainSize: uint32(len(raw) - codec.HeaderSize), BodySize: uint32(len(dst) - codec.HeaderSize),
		Digest: codec.Digest(raw[codec.HeaderSize-codec.DigestSize : codec.HeaderSize]),
	}
	h.AppendTo(dst[:0])
	return dst
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pin is what is kept of a frame.
func pin(frame []byte) uint32 { return max(crc32.Checksum(frame, castagnoli), pinnedRaw+1) }

// tries reports whether the next block is worth a try.
func (c *encoding) tries() bool {
	if c.failed < giveUpAfter {
		return true
	}
	if c.skipped++; c.skipped < min(firstProbe<<min(c.failed-giveUpAfter, 10), probeEvery) {
		return false
	}
	c.skipped = 0
	return true
}

// memory returns memory for a frame.
func (c *encoding) memory() []byte {
	if n := len(c.spare); n > 0 {
		b := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return b
	}
	return nil
}

// hand gives the encoders what is queued, as far as they are free.
func (c *encoding) hand() {
	for len(c.queue) > 0 && c.busy < c.encoders {
		l := c.queue[0]
		c.queue = slices.Delete(c.queue, 0, 1)
		l.frame, l.begun = c.memory(), time.Now()
		c.busy++
		c.begun = append(c.begun, l)
		c.jobs <- l
	}
}

// encode decides what becomes of a block that was read, raw in l.buf.
func (s *Store) encode(l *Load) {
	c := s.encoding
	switch id := l.ref.Block; {
	case c.pins[id] > pinnedRaw, c.pins[id] == undecided && c.tries():
		s.loading[l.ref] = true
		c.queue = append(c.queue, l)
		c.hand()
	default:
		s.sendRaw(l)
	}
}

// sendRaw lets a block be sent as it was read.
func (s *Store) sendRaw(l *Load) {
	delete(s.loading, l.ref)
	s.encoding.pins[l.ref.Block] = pinnedRaw
	s.ready(s.cache.keep(l.ref, l.buf))
}

// handleEncoded takes a block from an encoder.
func (s *Store) handleEncoded(l *Load) error {
	c := s.encoding
	c.busy--
	frame := l.frame
	l.frame = nil
	defer func() {
		c.spare = append(c.spare, frame)
		c.hand()
	}()
	if l.released || !s.coded {
		if !l.released {
			delete(s.loading, l.ref)
		}
		s.cache.giveBack(l.buf)
		return nil
	}
	c.begun = slices.DeleteFunc(c.begun, func(b *Load) bool { return b == l })
	plain := len(l.buf) - codec.HeaderSize
	if !codec.Saves(len(frame)-codec.HeaderSize, plain) && c.pins[l.ref.Block] == undecided {
		c.failed++
		s.sendRaw(l)
		return nil
	}
	c.failed = 0
	if err := s.checkPin(l.ref.Block, frame); err != nil {
		return err
	}
	delete(s.loading, l.ref)
	l.buf = append(l.buf[:0], frame...)
	s.ready(s.cache.keep(l.ref, l.buf))
	return nil
}

// checkPin pins a frame, or compares it with the one that was sent.
func (s *Store) checkPin(id block.ID, frame []byte) error {
	was, is := s.encoding.pins[id], pin(frame)
	if was > pinnedRaw && was != is {
		return fmt.Errorf("block %d of image %s is encoded differently than before: it %w", id, s.digests.name, image.ErrChanged)
	}
	s.encoding.pins[id] = is
	return nil
}

// encodeNow encodes a block again that has left the cache.
func (s *Store) encodeNow(l *Load) error {
	c := s.encoding
	if c.pins[l.ref.Block] <= pinnedRaw {
		c.pins[l.ref.Block] = pinnedRaw
		return nil
	}
	if c.own == nil {
		c.own = newFrameEncoder()
	}
	frame := appendEncoded(c.memory()[:0], l.buf, c.own)
	err := s.checkPin(l.ref.Block, frame)
	l.buf = append(l.buf[:0], frame...)
	c.spare = append(c.spare, frame)
	return err
}

// Hurry is for a stream that waits for the first of the upcoming blocks, while underWay others are
// sent. A block that is not encoded by then goes raw: first one that no encoder has begun, since the
// first will be there soon. Blocks that were sent encoded before are waited for.
func (s *Store) Hurry(upcoming []sender.Ref, underWay int) {
	c := s.encoding
	if !s.coded || c == nil || c.mode == CompressAlways || underWay >= hungry {
		return
	}
	for _, r := range upcoming {
		if r.Object != wire.Image || c.pins[r.Block] != undecided {
			continue
		}
		if i := slices.IndexFunc(c.queue, func(l *Load) bool { return l.ref == r }); i >= 0 {
			l := c.queue[i]
			c.queue = slices.Delete(c.queue, i, i+1)
			s.sendRaw(l)
			return
		}
		i := slices.IndexFunc(c.begun, func(l *Load) bool { return l.ref == r })
		if i >= 0 && underWay == 0 && time.Since(c.begun[i].begun) > patience {
			l := c.begun[i]
			c.begun = slices.Delete(c.begun, i, i+1)
			l.released = true // an encoder reads its memory
			s.sendRaw(&Load{ref: r, buf: append(s.cache.buffer(), l.buf...)})
			return
		}
	}
}
