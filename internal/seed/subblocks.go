package seed

import (
	"maps"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

// Subblocks are the digests of a block's sub-blocks, as they come.
type Subblocks struct {
	k       uint16 // source symbols of the block's raw encoding
	sent    uint16 // those of the block as it is sent; 0: raw
	digests []codec.SubblockDigest
	known   []bool
	missing int
}

// HandleSubblocks gathers digests of a block's sub-blocks.
func (e *Engine) HandleSubblocks(now time.Duration, p wire.SubblockDigests) {
	if wanted := e.cfg.Receiver.HandleSubblockDigests(now, p); !wanted || e.manifest == nil {
		return
	}
	l := e.lists[p.Block]
	n := (e.cfg.Image.Size(p.Block) + block.SubblockSize - 1) / block.SubblockSize
	if l != nil && l.missing == 0 {
		return // it waits to be compared
	}
	if l == nil || l.k != p.K {
		if len(e.lists) >= maxLists { // their digests come again if they are still wanted
			maps.DeleteFunc(e.lists, func(_ block.ID, l *Subblocks) bool { return l.missing > 0 })
		}
		l = &Subblocks{k: p.K, sent: p.SentK, digests: make([]codec.SubblockDigest, n), known: make([]bool, n), missing: n}
		e.lists[p.Block] = l
	}
	for i := range p.Digests.Len() {
		if at := int(p.First) + i; at < n && !l.known[at] {
			l.digests[at], l.known[at] = codec.SubblockDigest(p.Digests.At(i)), true
			l.missing--
		}
	}
	if l.missing == 0 {
		e.complete = append(e.complete, p.Block)
	}
}

// Forget drops all digests of sub-blocks: another session may encode blocks differently.
func (e *Engine) Forget() {
	clear(e.lists)
	e.complete = nil
}

// SymbolsPresent returns the source symbols of a block of n bytes whose sub-blocks all match the
// image. there has the digests of the target's sub-blocks.
func SymbolsPresent(list *Subblocks, there []codec.SubblockDigest, n, symbolSize int) block.Bits {
	have := block.NewBits(uint32(list.k))
	if len(there) != len(list.digests) || (codec.HeaderSize+n+symbolSize-1)/symbolSize != int(list.k) {
		return have // it is encoded differently
	}
	for i := range int(list.k) {
		// The bytes of the plain block that symbol i carries.
		lo := max(0, i*symbolSize-codec.HeaderSize)
		hi := min(n, (i+1)*symbolSize-codec.HeaderSize)
		same := true
		for s := lo / block.SubblockSize; same && s*block.SubblockSize < hi; s++ {
			same = there[s] == list.digests[s]
		}
		if same {
			have.Add(uint32(i))
		}
	}
	return have
}
