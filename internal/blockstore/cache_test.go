package blockstore

import (
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/memory"
	"multiserver/internal/sender"
)

// TestFit: the cache follows the memory that there is.
func TestFit(t *testing.T) {
	const size = 1 << 20
	c := newCache(size-1024, 1024)
	for id := range block.ID(cachedBlocks) {
		c.keep(sender.Ref{Block: id}, c.buffer()[:size-1024])
	}
	if c.fit(memory.Unknown) || c.fit(400*size) || len(c.blocks) != cachedBlocks {
		t.Errorf("with memory enough %d blocks are left", len(c.blocks))
	}
	if !c.fit(32*size) || len(c.blocks) != 32 || c.blocks[sender.Ref{Block: cachedBlocks - 1}] == nil {
		t.Errorf("with 32 MiB beside 96 blocks %d are left, want the last 32", len(c.blocks))
	}
	if len(c.spare) != 0 {
		t.Errorf("%d buffers are kept", len(c.spare))
	}
	if !c.fit(0) || c.fit(0) && len(c.blocks) < leastCached {
		t.Errorf("without memory %d blocks are left", len(c.blocks))
	}
}
