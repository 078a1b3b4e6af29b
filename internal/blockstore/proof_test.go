package blockstore

import (
	"slices"
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// TestProof: each block that was read has a proof, that of zeros and of the manifest too, and what
// was not read or is not there has none. Few are kept.
func TestProof(t *testing.T) {
	const count = keptProofs + 4
	d := &disk{bytes: random(count * blockSize)}
	clear(d.bytes[blockSize : 2*blockSize])
	r := newRoom(t, fromMemory(t, d), "")
	at := func(id block.ID) sender.Ref { return sender.Ref{Object: wire.Image, Block: id} }
	manifest := sender.Ref{Object: wire.Manifest}
	if r.ProofCost(at(0)) != NoProof || r.ProofCost(manifest) != NoProof {
		t.Error("what was not read has a proof")
	}
	if err := r.readAll(); err != nil {
		t.Fatal(err)
	}
	if r.ProofCost(at(count)) != NoProof || r.ProofCost(sender.Ref{Object: wire.Manifest, Block: 1}) != NoProof {
		t.Error("what is not there has a proof")
	}
	for id := range block.ID(count) {
		if cost := r.ProofCost(at(id)); cost != NewProof && cost != ReadProof {
			t.Fatalf("block %d: cost %d", id, cost)
		}
		proof, err := r.Proof(at(id))
		if err != nil || !r.proves(at(id), proof) || (proof.K == 0) != (id == 1) {
			t.Fatalf("block %d: another's proof, %v", id, err)
		}
		if r.ProofCost(at(id)) != KeptProof {
			t.Fatalf("block %d is not kept", id)
		}
	}
	if proof, err := r.Proof(manifest); err != nil || !r.proves(manifest, proof) {
		t.Errorf("the manifest: another's proof, %v", err)
	}
	if n := len(r.proofs.kept); n != keptProofs || r.ProofCost(at(4)) == KeptProof || r.ProofCost(at(5)) != KeptProof {
		t.Errorf("%d proofs are kept", n)
	}
}

// proves reports whether a proof is of the symbols of a block.
func (r *room) proves(ref sender.Ref, p *Proof) bool {
	e, zeros, err := r.encodedOrZeros(ref)
	if zeros {
		return p.K == 0 && p.Groups == nil
	}
	return err == nil && p.K == r.count(e) && slices.Equal(p.Groups, codec.AppendGroupDigests(nil, e.buf, symbolSize))
}
