package fetch

import (
	"fmt"
	"log/slog"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/block"
	"multiserver/internal/fec"
	"multiserver/internal/receiver"
	"multiserver/internal/seed"
	"multiserver/internal/target"
	"multiserver/internal/wire"
)

// blocks takes each block from its symbols, or from the target's old content, through slots and
// the proof to the disk. The session's goroutine owns it.
type blocks struct {
	engine  *receiver.Engine
	slots   *slots
	proof   *proof
	disk    *disk
	content *oldContent
	ready   bool          // the target is prepared
	stands  time.Duration // since when it is being prepared, 0 before
	working int           // slots and runs of zeros with the other goroutines
	counts  account.Counts
	begin   func(now time.Duration) // called when the manifest is here; nil: nothing waits for it
	output  string                  // the target's name
	roomy   target.Roomy            // nil if the target is none
	inOrder bool                    // what is written stays as it is

	gathered map[int]*gathered // by slot
	redo     []block.Range     // that were written as zeros, and are none by the manifest
	log      *slog.Logger
}

// handleSymbol puts a symbol where the engine wants it. It reports whether the symbol can belong
// to the session.
func (b *blocks) handleSymbol(now time.Duration, y *wire.Symbol) (valid bool) {
	size := b.slots.symbolSize
	if len(y.Data) != size && (len(y.Data) > size || int(y.Symbol) != int(y.K)-1) || y.Object == wire.Image && b.proof.isZero(y.Block) {
		b.counts.BadPackets++
		return false
	}
	at := b.engine.HandleSymbol(now, y)
	b.counts.PacketsReceived++
	switch at.Verdict {
	case receiver.Duplicate:
		b.counts.Duplicates++
		return true
	case receiver.NoRoom:
		b.counts.MemoryDrops++
		return true
	case receiver.Invalid:
		b.counts.BadPackets++
		return true
	case receiver.Unbelieved:
		b.counts.Strangers++
		return false
	}
	if at.First {
		b.openSlot(at.Slot, y.Object, y.Block, y.K)
	}
	b.slots.add(at.Slot, fec.SymbolID(y.Symbol), y.Data)
	if at.Complete {
		b.complete(at.Slot)
	}
	return true
}

// complete hands over a block that has all its symbols.
func (b *blocks) complete(at int) {
	if p := &b.slots.all[at]; p.groups != nil {
		for s := range p.have {
			p.have[s] = 1<<64 - 1
		}
	}
	b.rebuild(at)
}

func (b *blocks) openSlot(at int, object wire.Object, id block.ID, k uint16) {
	b.slots.open(at, object, id, k, b.geometry(object).Size(id))
}

func (b *blocks) geometry(object wire.Object) block.Geometry {
	if object == wire.Manifest {
		return b.proof.geometry()
	}
	return b.proof.image
}

func (b *blocks) rebuild(at int) {
	b.working++
	b.slots.rebuild(at)
}

// writeZeros has runs of zero blocks written to the target.
func (b *blocks) writeZeros(runs []block.Range) {
	for _, run := range runs {
		b.proof.addZeros(run)
		b.working++
		b.disk.writeZeros(run)
	}
}

// handle handles an event of another goroutine.
func (b *blocks) handle(now time.Duration, e event) error {
	switch e := e.(type) {
	case offerStands:
		b.engine.TargetReady()
		b.stands = now
	case targetPrepared:
		b.ready = true
	case needMoreSymbols:
		b.working--
		b.engine.BlockNeedsMore(now, e.slot, e.more)
	case digestFailed:
		b.working--
		b.engine.BlockFailed(now, e.slot)
	case blockVerified:
		return b.handleVerified(now, e.slot)
	case groupsChecked:
		return b.handleChecked(now, e)
	case blockWritten:
		b.working--
		b.engine.BlockWritten(now, e.slot)
	case zerosWritten:
		b.working--
		b.engine.ZerosWritten(e.blocks)
		b.disk.zerosWritten()
		b.redoZeros(now)
	case prefixWritten:
		b.engine.PrefixWritten(now, e.blocks)
	case alreadyPresent:
		var out seed.Outcome
		b.content.engine.Present(now, &out)
		b.handleSeed(now, &out, nil)
	case compared:
		var out seed.Outcome
		b.content.engine.HandleResult(now, &e.result.Result, &out)
		b.handleSeed(now, &out, e.result)
		b.content.release(e.result)
	default:
		panic(fmt.Sprintf("fetch: event %T", e))
	}
	return nil
}

// handleVerified compares a block's digest with the manifest, if that has come, and has the
// block written. A block that is not the manifest's may be somebody else's as a whole.
func (b *blocks) handleVerified(now time.Duration, at int) error {
	p := &b.slots.all[at]
	known, suspect := p.object == wire.Image && b.proof.manifest != nil, p.object == wire.Manifest && b.proof.suspect
	switch {
	case !known && !suspect, known && b.proof.manifest.Digest(p.id) == p.digest:
	case suspect && b.engine.IsProven(at): // it is the server's
	case b.engine.IsProven(at):
		b.working--
		b.engine.ProvenWrong(now, at)
		return nil
	case b.engine.UsesProofs():
		b.working--
		b.engine.BlockFailed(now, at)
		return nil
	default:
		return b.proof.notTheImage(p.id)
	}
	b.engine.BlockVerified(at)
	if p.object == wire.Image {
		b.proof.addBlock(p.id, p.digest)
		b.disk.write(at, p)
		return nil
	}
	complete := b.proof.addManifest(p.id, p.plain)
	b.working--
	b.engine.BlockWritten(now, at)
	if !complete {
		return nil
	}
	return b.checkManifest(now)
}

// checkManifest holds everything against the manifest, once all of it is there and the server has
// told by unicast what completes the image.
func (b *blocks) checkManifest(now time.Duration) error {
	if err := b.proof.checkSigned(); err != nil {
		return err
	}
	if !b.proof.ready() {
		return nil
	}
	wrong, err := b.proof.check()
	if err != nil {
		if !b.engine.UsesProofs() || b.proof.suspect {
			return err
		}
		b.log.Warn("the manifest that came is somebody else's; asking the server for it again", "err", err)
		b.proof.suspectManifest()
		b.engine.RedoManifest(now)
		return nil
	}
	if len(wrong.blocks)+len(wrong.zeros) > 0 {
		if err := b.redoWrong(now, wrong); err != nil {
			return err
		}
	}
	if b.roomy != nil {
		if err := b.roomy.Lacks(b.proof.dataBytes, b.proof.restBytes); err != nil {
			return err
		}
	}
	if b.begin != nil {
		b.begin(now)
	}
	var out seed.Outcome
	b.content.engine.SetManifest(now, b.proof.manifest, &out)
	b.handleSeed(now, &out, nil)
	return nil
}

// redoWrong has blocks that came before the manifest, and are not what it says, come again.
func (b *blocks) redoWrong(now time.Duration, wrong wrongBlocks) error {
	if !b.engine.UsesProofs() || b.inOrder {
		return b.proof.notTheImage(block.ID(append(wrong.blocks, wrong.zeros...)[0].Lo))
	}
	b.log.Warn("blocks came that are not what the manifest says; asking the server for them again", "blocks", len(wrong.blocks)+len(wrong.zeros))
	for _, r := range wrong.blocks {
		b.engine.Redo(now, r)
	}
	b.redo = wrong.zeros
	b.redoZeros(now)
	return nil
}

// redoZeros has blocks that are no zeros come again, once no run of zeros is on its way to the
// target.
func (b *blocks) redoZeros(now time.Duration) {
	if b.disk.zerosPending() {
		return
	}
	for _, r := range b.redo {
		b.engine.Redo(now, r)
	}
	b.redo = nil
}

// handleSeed carries out a decision of seed's engine. r is the result that it is about, or nil.
func (b *blocks) handleSeed(now time.Duration, out *seed.Outcome, r *contentResult) {
	if out.Began {
		b.log.Info("the target holds some of the image already: only what differs is asked for", "output", b.output)
	}
	b.counts.BytesKept += out.KeptBytes
	b.writeZeros(out.Zeros)
	if out.Seed.K == 0 {
		return
	}
	// Symbols from the target go into the window as if they had arrived.
	id, k, have := out.Seed.Block, out.Seed.K, out.Seed.Have
	at := b.engine.SeedSlot(now, id, k, out.Seed.Twin, have)
	if at.Verdict != receiver.Keep {
		return
	}
	if at.First {
		b.openSlot(at.Slot, wire.Image, id, k)
	}
	eachSymbol(have, r.buf, b.slots.symbolSize, func(id fec.SymbolID, data []byte) { b.slots.add(at.Slot, id, data) })
	if at.Complete {
		b.complete(at.Slot)
	}
}
