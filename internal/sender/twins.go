package sender

import (
	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// twinHeader is the bytes in front of a raw block's body.
const twinHeader = 44

// twins are the raw encodings of blocks that are sent in another one. Only those that a receiver has
// asked for have a state: behind the manifest's, in the order of the first requests.
type twins struct {
	symbolSize uint16 // 0: there are none
	index      map[block.ID]uint32
	blocks     []block.ID
}

// twin is the index of a block's twin, which it makes. There is none before the block is ready, nor
// before the manifest is known: who has part of a block has compared it.
func (e *Engine) twin(id block.ID) (uint32, bool) {
	t := &e.twins
	if t.symbolSize == 0 || e.manifest == 0 || uint32(id) >= e.image || e.blocks[id].k == 0 {
		return 0, false
	}
	i, ok := t.index[id]
	if !ok {
		if t.index == nil {
			t.index = map[block.ID]uint32{}
		}
		i = uint32(len(e.blocks))
		k := uint16(block.Cut{EncodedSize: uint32(twinHeader + e.geometry.Size(id)), SymbolSize: t.symbolSize}.K())
		e.blocks = append(e.blocks, state{k: k, next: uint32(k)})
		t.index[id] = i
		t.blocks = append(t.blocks, id)
	}
	return i, true
}

// refTwin names block i, if it is a twin.
func (e *Engine) refTwin(i uint32) (Ref, bool) {
	first := e.image + e.manifest
	if e.manifest == 0 || i < first {
		return Ref{}, false
	}
	return Ref{wire.Twin, e.twins.blocks[i-first]}, true
}
