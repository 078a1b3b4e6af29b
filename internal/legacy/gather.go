package legacy

import (
	"sync/atomic"

	"multiserver/internal/block"
	"multiserver/internal/mxb1"
	"multiserver/internal/target"
	"multiserver/internal/writer"
)

// Constants of the gatherer.
const (
	// chunkBlocks is the size of a chunk in blocks: 1 MiB, aligned in the image. Chunks are
	// written whole.
	chunkBlocks = 1024
	chunkBytes  = chunkBlocks * mxb1.BlockSize
	// maxOpenChunks is how many chunks a file gathers side by side.
	maxOpenChunks = 8
	// fileChunks and streamChunks bound the memory, in chunks of 1 MiB. For a file that is
	// how far the disk may lag behind; for a stream it is the window within which blocks
	// may arrive out of order.
	fileChunks   = 32
	streamChunks = 64
)

// chunk is an aligned part of the image that has some of its blocks.
type chunk struct {
	number int // of the gatherer's chunks
	index  uint64
	buf    []byte
	have   *block.Set    // blocks of it
	parts  []block.Range // scratch
	used   uint64        // when a block was last put in, by the gatherer's count
}

// gatherer collects blocks into chunks and hands them to the writer. The receiving goroutine
// owns it; written and prefix run on the writer's.
type gatherer struct {
	writer  *writer.Writer
	size    uint64
	inOrder bool

	open    map[uint64]*chunk // being gathered, by index
	current *chunk            // of the last put, and often of the next
	puts    uint64

	all []*chunk // made so far, max at most
	max int
	// free goes from written to put, and has room for all chunks, so that neither waits.
	free chan int

	prefix atomic.Uint64 // chunks written from the start on, if inOrder
}

// newGatherer returns a gatherer for the target of cfg. It fills in the fields that are its own.
func newGatherer(cfg writer.Config) *gatherer {
	g := &gatherer{size: cfg.SizeBytes, inOrder: target.InOrder(cfg.Target), open: map[uint64]*chunk{}, max: fileChunks}
	if g.inOrder {
		g.max = streamChunks
	}
	g.free = make(chan int, g.max)
	cfg.UnitBytes, cfg.Queue = chunkBytes, g.max
	cfg.Written = func(j writer.Job) { g.free <- j.Tag }
	cfg.Prefix = func(chunks uint64) { g.prefix.Store(chunks) }
	g.writer = writer.New(cfg)
	return g
}

// window is the range of blocks that put can take now; ok is false if it takes all.
func (g *gatherer) window() (w block.Range, ok bool) {
	if !g.inOrder {
		return block.Range{}, false
	}
	lo := g.prefix.Load() * chunkBlocks
	return block.Range{Lo: lo, Hi: min(lo+streamChunks*chunkBlocks, mxb1.BlockCount(g.size))}, true
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
	c.have.Add(block.Range{Lo: at, Hi: at + 1})
	if c.have.Count() == g.blocksIn(index) {
		g.finish(c)
	}
	return true
}

// blocksIn is the count of blocks in a chunk.
func (g *gatherer) blocksIn(index uint64) uint64 {
	return min(chunkBlocks, mxb1.BlockCount(g.size)-index*chunkBlocks)
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
	case number := <-g.free:
		c = g.all[number]
	default:
		if len(g.all) == g.max {
			return nil
		}
		c = &chunk{number: len(g.all), buf: make([]byte, chunkBytes), have: block.NewSet(chunkBlocks)}
		g.all = append(g.all, c)
	}
	c.index = index
	c.have.Remove(block.Range{Lo: 0, Hi: chunkBlocks})
	g.open[index] = c
	return c
}

// finish hands a chunk over to be written, complete or not.
func (g *gatherer) finish(c *chunk) {
	delete(g.open, c.index)
	if g.current == c {
		g.current = nil
	}
	base := c.index * chunkBytes
	c.parts = c.parts[:0]
	for at := uint64(0); ; {
		run, ok := c.have.Next(at)
		if !ok {
			break
		}
		c.parts = append(c.parts, block.Range{Lo: run.Lo * mxb1.BlockSize, Hi: min(run.Hi*mxb1.BlockSize, g.size-base)})
		at = run.Hi
	}
	g.writer.Submit(writer.Job{Units: block.Range{Lo: c.index, Hi: c.index + 1}, Data: c.buf, Parts: c.parts, Tag: c.number})
}

// flush hands over all open chunks.
func (g *gatherer) flush() {
	for _, c := range g.open {
		g.finish(c)
	}
}
