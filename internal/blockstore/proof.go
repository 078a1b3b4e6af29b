package blockstore

import (
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// keptProofs is of how many blocks the proofs are kept: 67 KiB with blocks of 1 MiB, 2 MiB with the
// greatest.
const keptProofs = 64

// ProofCost is what the proof of a block would take.
type ProofCost int

// The costs.
const (
	NoProof   ProofCost = iota // there is no such block, or it cannot be read now
	KeptProof                  // nothing
	NewProof                   // a block in memory is digested
	ReadProof                  // a block is read, and digested
)

// Proof is what a receiver needs to tell right symbols of a block from wrong ones.
type Proof struct {
	K      uint16 // source symbols; 0 of zeros
	Groups []codec.GroupDigest
}

// proofs are those of the blocks that were asked for last.
type proofs struct {
	kept  map[sender.Ref]*Proof
	ring  [keptProofs]sender.Ref // in the order in which they came
	count int                    // of all so far
}

// ProofCost tells what Proof of a block would take. A block that nobody has read yet was not sent.
func (s *Store) ProofCost(r sender.Ref) ProofCost {
	switch {
	case s.proofs.kept[r] != nil:
		return KeptProof
	case s.cache.blocks[r] != nil:
		return NewProof
	case s.Stalled():
		return NoProof
	case r.Object == wire.Image && s.cfg.Geometry.Has(r.Block) && s.digests.has(r.Block):
		return ReadProof
	case r.Object == wire.Manifest && s.digests.manifest != nil && s.manifestGeometry().Has(r.Block):
		return ReadProof
	}
	return NoProof
}

// Proof returns the proof of a block of which ProofCost is not NoProof. The caller does not change
// it.
func (s *Store) Proof(r sender.Ref) (*Proof, error) {
	p := &s.proofs
	if kept := p.kept[r]; kept != nil {
		return kept, nil
	}
	proof := new(Proof)
	if r.Object != wire.Image || !s.digests.isZero(r.Block) {
		e, zeros, err := s.encodedOrZeros(r)
		if err != nil && !zeros {
			return nil, err
		}
		if !zeros {
			proof.K, proof.Groups = s.count(e), codec.AppendGroupDigests(nil, e.buf, s.cfg.SymbolSize)
		}
	}
	if p.kept == nil {
		p.kept = map[sender.Ref]*Proof{}
	}
	if p.count >= keptProofs {
		delete(p.kept, p.ring[p.count%keptProofs])
	}
	p.ring[p.count%keptProofs] = r
	p.count++
	p.kept[r] = proof
	return proof, nil
}

// manifestGeometry is how the manifest, which is complete, is cut into blocks.
func (s *Store) manifestGeometry() block.Geometry {
	return block.Geometry{ImageSize: uint64(len(s.digests.manifest.Bytes())), BlockSize: s.cfg.Geometry.BlockSize}
}
