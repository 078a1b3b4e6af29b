package blockstore

import (
	"multiserver/internal/codec"
	"multiserver/internal/memory"
	"multiserver/internal/sender"
)

const (
	// cachedBlocks are kept encoded, so that repair needs no disk. Where memory is little it is
	// what one byte in cacheShare holds of those that are available, leastCached at least.
	cachedBlocks = 96
	leastCached  = 6
	cacheShare   = 4
	// interleaveShare: while one block in so many is sent, the cache has room for as many of
	// the stragglers', as many read ahead, and as many that are repaired.
	interleaveShare = 4
)

// encodedBlock is a block as its symbols are cut from it.
type encodedBlock struct {
	ref  sender.Ref
	buf  []byte // K whole symbols, filled up with zeros
	used uint64 // when it was last used, by the cache's count
	// rows are repair symbols made ahead: made of them, the first one of row first.
	rows  [][]byte
	first uint32
	made  int
}

// raw reports whether the plain bytes stand behind the header.
func (e *encodedBlock) raw() bool { return codec.Codec(e.buf[0]) == codec.Raw }

// cache keeps the encoded blocks that were used last.
type cache struct {
	symbolSize int
	bufferSize int // of the largest block
	blocks     map[sender.Ref]*encodedBlock
	uses       uint64
	spare      [][]byte // buffers of blocks that are not cached any more
	most       int      // blocks
}

func newCache(encodedSize, symbolSize int) *cache {
	return &cache{symbolSize: symbolSize, bufferSize: encodedSize + symbolSize, blocks: map[sender.Ref]*encodedBlock{}, most: cachedBlocks}
}

// fit adapts the cache to the memory that is available beside what it holds, and reports whether
// that changes how many blocks it keeps.
func (c *cache) fit(available uint64) (changed bool) {
	size := uint64(c.bufferSize)
	held := uint64(len(c.blocks)+len(c.spare)) * size
	most := int(memory.Share(memory.Beside(available, held), cacheShare, leastCached*size, cachedBlocks*size) / size)
	if memory.Near(most, c.most) {
		return false
	}
	changed, c.most = most != c.most, most
	for len(c.blocks) > c.most {
		c.evict()
	}
	if changed {
		c.spare = nil
	}
	return changed
}

// find returns a block if it is there, and marks it as used.
func (c *cache) find(r sender.Ref) *encodedBlock {
	c.uses++
	e := c.blocks[r]
	if e != nil {
		e.used = c.uses
	}
	return e
}

// buffer returns room for an encoded block, with arbitrary bytes.
func (c *cache) buffer() []byte {
	if n := len(c.spare); n > 0 {
		b := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return b
	}
	return make([]byte, 0, c.bufferSize)
}

// giveBack takes back a buffer that is not cached.
func (c *cache) giveBack(buf []byte) { c.spare = append(c.spare, buf[:0]) }

// evict drops the block that was used longest ago.
func (c *cache) evict() {
	var oldest *encodedBlock
	for _, e := range c.blocks {
		if oldest == nil || e.used < oldest.used {
			oldest = e
		}
	}
	delete(c.blocks, oldest.ref)
	c.giveBack(oldest.buf)
}

// drop drops the blocks that are.
func (c *cache) drop(are func(sender.Ref) bool) {
	for r, e := range c.blocks {
		if are(r) {
			delete(c.blocks, r)
			c.giveBack(e.buf)
		}
	}
}

// keep puts the encoded block in buf into the cache and fills up its last symbol. It evicts the
// block that was used longest ago.
func (c *cache) keep(r sender.Ref, buf []byte) *encodedBlock {
	if len(c.blocks) >= c.most {
		c.evict()
	}
	whole := (len(buf) + c.symbolSize - 1) / c.symbolSize * c.symbolSize
	if cap(buf) < whole {
		buf = append(make([]byte, 0, whole), buf...)
	}
	used := len(buf)
	buf = buf[:whole]
	clear(buf[used:])
	c.uses++
	e := &encodedBlock{ref: r, buf: buf, used: c.uses}
	c.blocks[r] = e
	return e
}
