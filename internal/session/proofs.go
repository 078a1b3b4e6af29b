package session

import (
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// What proofs may cost, in bytes: those that are sent, proofReads for a block that has to be read,
// and proofDigest for one that has to be digested, which takes 0.4 ms (codec,
// BenchmarkGroupDigests). So at most 31 blocks a second are read, a tenth of a core is busy, and 3%
// of a link of 1 Gbit/s.
const (
	proofRate   = 4 << 20 // a second
	proofBurst  = 1 << 20
	proofReads  = 128 << 10
	proofDigest = 16 << 10
)

// proofBudget bounds what proofs cost, whoever asks: a receiver that gets none asks again.
type proofBudget struct {
	spent float64 // bytes, less what has been made up for since
	at    time.Duration
}

// take spends so many bytes, and reports whether they may be spent.
func (b *proofBudget) take(now time.Duration, bytes int) bool {
	b.spent = max(0, b.spent-(now-b.at).Seconds()*proofRate)
	b.at = now
	if b.spent+float64(bytes) > proofBurst {
		return false
	}
	b.spent += float64(bytes)
	return true
}

// handleWantedProof answers a receiver that has got symbols which are not the block's. Who does not
// know its private number gets no answer.
func (l *live) handleWantedProof(in packet, p wire.WantedProof) {
	if p.Private != l.streams.peers.Private(p.Receiver) {
		l.board.countBad()
		return
	}
	if !l.counts(in, p.Receiver, true) {
		return
	}
	l.record(in, p.Receiver, nil)
	ref := sender.Ref{Object: p.Object, Block: p.Block}
	cost := wire.MaxControlSize
	switch l.store.ProofCost(ref) {
	case blockstore.NoProof:
		return
	case blockstore.NewProof:
		cost += proofDigest
	case blockstore.ReadProof:
		cost += proofReads
	}
	if !l.proofs.take(l.now(), cost) {
		return
	}
	proof, err := l.store.Proof(ref)
	if err != nil {
		l.cfg.Log.Debug("prove a block", "block", p.Block, "err", err)
		return // what reads for the stream meets the error too
	}
	for first := 0; first == 0 || first < len(proof.Groups); first += wire.MaxSymbolGroups {
		answer := wire.BlockProof{Session: l.id, Private: p.Private, Object: p.Object, Block: p.Block, K: proof.K, First: uint16(first)}
		for _, d := range proof.Groups[first:min(first+wire.MaxSymbolGroups, len(proof.Groups))] {
			answer.Digests = answer.Digests.Append(wire.SymbolGroup(d))
		}
		b := answer.AppendTo(nil)
		if first > 0 {
			l.proofs.spent += float64(len(b))
		}
		if err := l.cfg.Conn.Reply(b, in.Arrival); err != nil {
			l.cfg.Log.Debug("no way to answer", "client", in.From, "err", err)
			return
		}
	}
}
