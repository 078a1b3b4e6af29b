package receiver

import (
	"fmt"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// A block that came but is not what its digest says may hold somebody else's symbols. The receiver
// asks the sender for the block's proof, which tells right source symbols from wrong ones, and asks
// for the wrong ones by number (R21). However many wrong symbols come, what is right stays.

// provingState is the state of the requests for proofs.
type provingState struct {
	at      time.Duration // when more is to be asked for, 0 if nothing is
	arrived bool          // the sender has sent a proof
	refused bool          // it sends none
}

// UsesProofs reports whether the sender may be asked for proofs.
func (e *Engine) UsesProofs() bool { return e.session.Private != 0 && !e.proving.refused }

// AwaitsProof reports whether a proof may come at any time.
func (e *Engine) AwaitsProof() bool { return e.proving.at != 0 }

// prove begins to ask for the proof of the block in slot p.
func (e *Engine) prove(now time.Duration, p int) {
	s := &e.slots[p]
	s.state, s.tries, s.askAt, s.fallback = slotProving, 0, max(now, 1), blockMissing
	e.proving.at = earliest(e.proving.at, s.askAt)
}

// proofPause is how long a proof is waited for.
func (e *Engine) proofPause(tries uint8) time.Duration {
	pause := max(8*e.slotTime(), proofRetry)
	return min(pause<<tries, max(e.session.ReportInterval, pause))
}

// appendWantedProof appends the packet that asks for a proof, if one is due.
func (e *Engine) appendWantedProof(now time.Duration, dst []byte) (_ []byte, sent bool) {
	e.proving.at = 0
	for p := range e.slots {
		s := &e.slots[p]
		if s.state != slotProving {
			continue
		}
		if s.askAt <= now && !sent {
			if s.tries >= proofTries && !e.proving.arrived {
				e.abandonProofs(now)
				return dst, false
			}
			o, id := e.ref(s.index)
			dst = wire.WantedProof{Session: e.session.ID, Receiver: e.cfg.Receiver, Private: e.session.Private, Object: o, Block: id}.AppendTo(dst)
			sent = true
			s.askAt = now + e.proofPause(s.tries)
			s.tries = min(s.tries+1, proofTries)
		}
		e.proving.at = earliest(e.proving.at, s.askAt)
	}
	return dst, sent
}

// abandonProofs is for a sender that knows no proofs: blocks that failed are wanted whole, and few
// may fail.
func (e *Engine) abandonProofs(now time.Duration) {
	e.proving = provingState{refused: true}
	for p := range e.slots {
		if e.slots[p].state == slotProving {
			e.failed(now, p)
		}
	}
}

// failed drops the block in slot p, which the sender itself has sent wrong.
func (e *Engine) failed(now time.Duration, p int) {
	e.release(p, blockMissing)
	e.failures++
	if e.failures > maxDigestFailures {
		reason := "%d blocks arrived that are not what their digests say"
		if e.proving.arrived {
			reason = "%d blocks of the server are not what its manifest says: the image changed, or the server's memory is damaged"
		}
		e.giveUp(now, wire.OutcomeIntegrity, fmt.Sprintf(reason, e.failures))
	}
	e.schedule(now)
	e.rearm()
}

// Proving returns the slot of a block whose proof the receiver waits for. The driver gathers it, and
// calls Proven, ProvenZero or ProvenWrong.
func (e *Engine) Proving(o wire.Object, id block.ID) (p int, ok bool) {
	at, ok := e.slotOf(o, id)
	return int(at), ok && e.slots[at].state == slotProving
}

// Proven records that the proof of the block in slot p has come, which has k source symbols. It
// returns those that are in, until the next call; those that repair made are not. With first, none
// are, and whatever the slot held is void. The driver calls Checked with those that are wrong.
func (e *Engine) Proven(now time.Duration, p int, k uint16) (have block.Bits, first bool) {
	s := &e.slots[p]
	e.heard, e.proving.arrived = now, true
	if first = s.k != k; first { // the first symbol was somebody else's
		last := s.last
		s.open(s.index, k, 0, blockMissing)
		s.last = last
	}
	s.proven, s.state, s.repair = true, slotSolving, s.repair[:0]
	return s.bits, first
}

// IsK reports whether a block can have k source symbols.
func (e *Engine) IsK(o wire.Object, id block.ID, k uint16) bool {
	g := e.cfg.Image
	if o == wire.Manifest {
		g.ImageSize = e.manifestSize
	}
	return e.isK(g, id, k)
}

// ProvenZero records that the block of the image in slot p is zeros, by its proof. The driver writes
// them and calls ZerosWritten.
func (e *Engine) ProvenZero(now time.Duration, p int) {
	e.heard, e.proving.arrived = now, true
	e.release(p, blockVerified)
}

// ProvenWrong records that the sender's own block is not what its manifest says.
func (e *Engine) ProvenWrong(now time.Duration, p int) {
	e.heard, e.proving.arrived = now, true
	e.failed(now, p)
}

// IsProven reports whether the proof of the block in slot p has come.
func (e *Engine) IsProven(p int) bool { return e.slots[p].proven }

// Checked records which source symbols of the proven block in slot p are wrong. It reports whether
// all of them are in and right; the driver then calls BlockVerified.
func (e *Engine) Checked(now time.Duration, p int, wrong block.Bits) (complete bool) {
	s := &e.slots[p]
	if s.stale {
		e.drop(p)
		e.schedule(now)
		e.rearm()
		return false
	}
	s.symbolsNeeded = s.k
	for w := range s.bits {
		s.bits[w] &^= wrong[w]
	}
	s.symbolsNeeded -= uint16(s.bits.Count())
	if s.symbolsNeeded == 0 {
		return true
	}
	s.state, s.passed, s.covered, s.waiting, s.tries = slotFilling, false, false, false, 0
	e.look(now)
	return false
}

// Redo records that the blocks of the image in r, which are verified, or written already, are not
// those of the manifest: they are wanted anew. The target can be written to in any order.
func (e *Engine) Redo(now time.Duration, r block.Range) {
	for i := r.Lo; i < r.Hi; i++ {
		if e.blockState[i] == blockVerified && !e.redoInSlot(uint32(i)) {
			e.unverify(uint32(i))
			e.done--
		}
	}
	e.schedule(now)
	e.rearm()
}

// redoInSlot is Redo for a block that is on its way to the target.
func (e *Engine) redoInSlot(index uint32) bool {
	for p := range e.slots {
		if s := &e.slots[p]; s.state == slotWriting && s.index == index {
			s.redo = true
			return true
		}
	}
	return false
}

// RedoManifest records that the manifest that came is not that of the session. All of it is wanted
// anew.
func (e *Engine) RedoManifest(now time.Duration) {
	for i := e.image; i < e.image+e.manifest; i++ {
		e.unverify(i)
	}
	e.schedule(now)
	e.rearm()
}

// unverify makes a block that is verified and written one that is missing.
func (e *Engine) unverify(index uint32) {
	e.verified--
	e.written--
	e.markMissing(index)
}
