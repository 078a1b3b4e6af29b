package fetch

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

// gathered are the digests of a block whose proof is on its way.
type gathered struct {
	object  wire.Object
	id      block.ID
	k       uint16
	digests []codec.GroupDigest
	known   []bool
	missing int
}

// handleProof takes a packet of a block's proof, which the server has sent to this client alone.
func (b *blocks) handleProof(now time.Duration, w *wire.BlockProof) (valid bool) {
	at, ok := b.engine.Proving(w.Object, w.Block)
	if !ok {
		return true // late
	}
	if w.K == 0 {
		b.provenZero(now, at, w.Block)
		return true
	}
	n := block.ProofGroups(int(w.K), uint16(b.slots.symbolSize))
	if !b.engine.IsK(w.Object, w.Block, w.K) || int(w.First)+w.Digests.Len() > n {
		return false
	}
	p := b.gathered[at]
	if p == nil || p.object != w.Object || p.id != w.Block || p.k != w.K {
		p = &gathered{object: w.Object, id: w.Block, k: w.K, digests: make([]codec.GroupDigest, n), known: make([]bool, n), missing: n}
		b.gathered[at] = p
	}
	for i := range w.Digests.Len() {
		if group := int(w.First) + i; !p.known[group] {
			p.digests[group], p.known[group] = codec.GroupDigest(w.Digests.At(i)), true
			p.missing--
		}
	}
	if p.missing > 0 {
		return true
	}
	delete(b.gathered, at)
	b.log.Debug("a block came with somebody else's symbols; the server has proven it", "block", p.id)
	have, first := b.engine.Proven(now, at, p.k)
	if first {
		b.openSlot(at, p.object, p.id, p.k)
	}
	s := &b.slots.all[at]
	s.groups, s.have = p.digests, append(s.have[:0], have...)
	b.rebuild(at)
	return true
}

// provenZero handles a block that is zeros by its proof.
func (b *blocks) provenZero(now time.Duration, at int, id block.ID) {
	if b.proof.manifest != nil && !b.proof.isZero(id) {
		b.engine.ProvenWrong(now, at)
		return
	}
	b.engine.ProvenZero(now, at)
	b.writeZeros([]block.Range{one(id)})
}

// handleChecked goes on with a proven block, once it is known which of its symbols are wrong.
func (b *blocks) handleChecked(now time.Duration, e groupsChecked) error {
	switch {
	case e.failed:
		b.engine.ProvenWrong(now, e.slot)
	case b.engine.Checked(now, e.slot, e.wrong):
		return b.handleVerified(now, e.slot)
	}
	b.working--
	return nil
}

// checkGroups looks which of the source symbols that are in are wrong: those of a group that is whole
// and has not its digest. It reports whether all are in and right.
func (p *slot) checkGroups(symbolSize int) (wrong block.Bits, complete bool) {
	n := block.ProofGroup(uint16(symbolSize))
	k := len(p.buf) / symbolSize
	wrong, complete = make(block.Bits, len(p.have)), true
	for i, digest := range p.groups {
		lo, hi := i*n, min((i+1)*n, k)
		whole := true
		for s := lo; whole && s < hi; s++ {
			whole = p.have.Has(uint32(s))
		}
		right := whole && codec.SumGroup(p.buf[lo*symbolSize:hi*symbolSize]) == digest
		complete = complete && right
		if !whole || right {
			continue
		}
		for s := lo; s < hi; s++ {
			wrong.Add(uint32(s))
		}
	}
	return wrong, complete
}
