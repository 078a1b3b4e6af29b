package multiserver

import (
	"math/bits"
	"sync/atomic"

	"multiserver/internal/mxb1"
	"multiserver/internal/target"
)

// Constants of the gatherer.
const (
	// chunkBlocks is the length of what is gathered and written at once, in blocks:
	// 1 MiB, aligned in the image.
	chunkBlocks = 1024
	// maxOpenChunks is how many chunks a file gathers side by side.
	maxOpenChunks = 8
	// fileChunks and streamChunks bound the memory, in chunks of 1 MiB: for a file,
	// what a disk may lag behind; for a stream, the window within which blocks may
	// arrive out of order.
	fileChunks   = 32
	streamChunks = 64
)

// chunk is an aligned piece of the image of which some blocks are in.
type chunk struct {
	index uint64
	buf   []byte
	have  [chunkBlocks / 64]uint64
	count int
	used  uint64 // when a block was last put in, by the gatherer's count
}

// gatherer collects blocks into chunks and hands them to the target in large
// writes. The receiving goroutine calls put, window, flush and close; another one
// runs write.
type gatherer struct {
	target  target.Target
	size    uint64
	inOrder bool

	open    map[uint64]*chunk // being gathered, by index
	current *chunk            // the one of the last put, often that of the next
	puts    uint64

	// free goes from write to put; full from put to write, which close closes. Each
	// has room for all chunks, so that neither blocks.
	free, full chan *chunk
	made       int // chunks made so far
	max        int

	written atomic.Uint64 // chunks written from the start on, if inOrder
}

func newGatherer(out target.Target, size uint64, inOrder bool) *gatherer {
	g := &gatherer{target: out, size: size, inOrder: inOrder, open: map[uint64]*chunk{}, max: fileChunks}
	if inOrder {
		g.max = streamChunks
	}
	g.free, g.full = make(chan *chunk, g.max), make(chan *chunk, g.max)
	return g
}

// window is the range of blocks that put can take now; ok is false if it takes all.
func (g *gatherer) window() (lo, hi uint64, ok bool) {
	if !g.inOrder {
		return 0, 0, false
	}
	lo = g.written.Load() * chunkBlocks
	return lo, min(lo+streamChunks*chunkBlocks, mxb1.BlockCount(g.size)), true
}

// put copies a block, which must not be in already. It returns false if there is
// no room because the target lags behind.
func (g *gatherer) put(id uint64, data []byte) bool {
	index, at := id/chunkBlocks, id%chunkBlocks
	c := g.current
	if c == nil || c.index != index {
		if c = g.open[index]; c == nil {
			if c = g.begin(index); c == nil {
				return false
			}
		}
		g.current = c
	}
	g.puts++
	c.used = g.puts
	copy(c.buf[at*mxb1.BlockSize:], data)
	c.have[at/64] |= 1 << (at % 64)
	if c.count++; c.count == g.blocksIn(index) {
		g.finish(c)
	}
	return true
}

// blocksIn is the count of blocks in a chunk.
func (g *gatherer) blocksIn(index uint64) int {
	return int(min(chunkBlocks, mxb1.BlockCount(g.size)-index*chunkBlocks))
}

// begin opens the chunk of that index, or returns nil if there is no memory for it.
func (g *gatherer) begin(index uint64) *chunk {
	if !g.inOrder && len(g.open) >= maxOpenChunks {
		oldest := g.current
		for _, c := range g.open {
			if oldest == nil || c.used < oldest.used {
				oldest = c
			}
		}
		g.finish(oldest)
	}
	var c *chunk
	select {
	case c = <-g.free:
	default:
		if g.made == g.max {
			return nil
		}
		g.made++
		c = &chunk{buf: make([]byte, chunkBlocks*mxb1.BlockSize)}
	}
	c.index, c.count = index, 0
	clear(c.have[:])
	g.open[index] = c
	return c
}

// finish hands a chunk over to be written, complete or not.
func (g *gatherer) finish(c *chunk) {
	delete(g.open, c.index)
	if g.current == c {
		g.current = nil
	}
	g.full <- c
}

// flush hands over all that is open.
func (g *gatherer) flush() {
	for _, c := range g.open {
		g.finish(c)
	}
}

// close says that no more chunks come.
func (g *gatherer) close() { close(g.full) }

// write writes chunks to the target until close. The first error goes to fail at
// once; after it chunks are taken and not written.
func (g *gatherer) write(fail func(error)) {
	failed := false
	one := func(c *chunk) {
		if !failed {
			if err := g.writeChunk(c); err != nil {
				failed = true
				fail(err)
			}
		}
		g.free <- c
	}
	waiting := map[uint64]*chunk{} // complete, but not next, if inOrder
	for c := range g.full {
		if !g.inOrder {
			one(c)
			continue
		}
		waiting[c.index] = c
		for next := g.written.Load(); waiting[next] != nil; next++ {
			one(waiting[next])
			delete(waiting, next)
			g.written.Store(next + 1)
		}
	}
}

// writeChunk writes the runs of a chunk that are in.
func (g *gatherer) writeChunk(c *chunk) error {
	base := c.index * chunkBlocks * mxb1.BlockSize
	blocks := g.blocksIn(c.index)
	for lo := c.scan(0, blocks, true); lo < blocks; {
		hi := c.scan(lo, blocks, false)
		from, to := uint64(lo)*mxb1.BlockSize, min(uint64(hi)*mxb1.BlockSize, g.size-base)
		if err := g.target.WriteAt(c.buf[from:to], base+from); err != nil {
			return err
		}
		lo = c.scan(hi, blocks, true)
	}
	return nil
}

// scan returns the first block from i on that is in, or is not, or end.
func (c *chunk) scan(i, end int, in bool) int {
	for i < end {
		w := c.have[i/64]
		if !in {
			w = ^w
		}
		if w >>= i % 64; w != 0 {
			return min(i+bits.TrailingZeros64(w), end)
		}
		i = (i/64 + 1) * 64
	}
	return end
}
