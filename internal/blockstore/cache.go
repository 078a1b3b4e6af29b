package blockstore

import "multiserver/internal/sender"

// cachedBlocks are kept encoded, so that repair needs no disk.
const cachedBlocks = 96

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

// cache keeps the encoded blocks that were used last.
type cache struct {
	symbolSize int
	bufferSize int // of the largest block
	blocks     map[sender.Ref]*encodedBlock
	uses       uint64
	spare      [][]byte // buffers of blocks that are not cached any more
}

func newCache(encodedSize, symbolSize int) *cache {
	return &cache{symbolSize: symbolSize, bufferSize: encodedSize + symbolSize, blocks: map[sender.Ref]*encodedBlock{}}
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

// keep puts the encoded block in buf into the cache and fills up its last symbol. It evicts the
// block that was used longest ago.
func (c *cache) keep(r sender.Ref, buf []byte) *encodedBlock {
	if len(c.blocks) >= cachedBlocks {
		var oldest *encodedBlock
		for _, e := range c.blocks {
			if oldest == nil || e.used < oldest.used {
				oldest = e
			}
		}
		delete(c.blocks, oldest.ref)
		c.giveBack(oldest.buf)
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
