package receiver

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// setBlockState moves a block to a place, and counts.
func (e *Engine) setBlockState(index uint32, place uint16) {
	switch e.blockState[index] {
	case blockMissing:
		e.missing--
	case blockUnverified:
		e.unverified--
	case blockDiffers:
		e.leaveDiffers(index)
	}
	e.blockState[index] = place
	switch place {
	case blockMissing:
		e.missing++
		e.want.lackFrom = min(e.want.lackFrom, index)
		e.want.declared = min(e.want.declared, index)
	case blockVerified:
		e.verified++
	case blockUnverified:
		e.unverified++
	case blockDiffers:
		e.enterDiffers(index)
	}
}

// drop gives up what slot p holds.
func (e *Engine) drop(p int) { e.release(p, e.fallback(p)) }

// fallback is the place of the block in slot p once that is given up.
func (e *Engine) fallback(p int) uint16 {
	if h := e.slots[p].fallback; h != blockDiffers || e.usesSubblocks() {
		return h
	}
	return blockMissing
}

// HandleZeroRun appends to dst the blocks of the image that have become zeros by z;
// the driver makes them so on its target and calls ZerosWritten.
func (e *Engine) HandleZeroRun(now time.Duration, z *wire.ZeroRun, dst []block.Range) []block.Range {
	if !e.believes(now, z.Sequence) {
		return dst
	}
	e.arrived(now, z.Sequence)
	if !e.stream.recordArrival(z.Sequence) {
		return dst
	}
	if run := (block.Range{Lo: uint64(z.First), Hi: uint64(z.First) + uint64(z.Count)}); run.Hi <= uint64(e.image) && !e.cfg.ManifestFirst {
		dst = e.ConfirmZeros(run, dst)
	}
	if e.stream.highest >= e.lookAt {
		e.look(now)
	}
	return dst
}

// ConfirmZeros is HandleZeroRun for blocks that the driver knows to be zeros by the manifest.
func (e *Engine) ConfirmZeros(r block.Range, dst []block.Range) []block.Range {
	for i := r.Lo; i < r.Hi; i++ {
		if p := e.blockState[i]; p <= MaxWindow || p == blockVerified {
			continue
		}
		e.setBlockState(uint32(i), blockVerified)
		if n := len(dst); n > 0 && dst[n-1].Hi == i {
			dst[n-1].Hi++
		} else {
			dst = append(dst, block.Range{Lo: i, Hi: i + 1})
		}
	}
	return dst
}

// ZerosWritten records that count blocks of zeros are on the disk.
func (e *Engine) ZerosWritten(count uint32) {
	e.written += count
	e.done += count
}

// BlockNeedsMore records that the symbols in slot p do not rebuild the block: more
// symbols, 1 at least, are needed.
func (e *Engine) BlockNeedsMore(now time.Duration, p, more int) {
	s := &e.slots[p]
	if s.stale {
		e.drop(p)
		e.schedule(now)
		e.rearm()
		return
	}
	s.state, s.symbolsNeeded = slotFilling, uint16(more)
	s.passed, s.covered, s.tries = false, false, 0
	if e.quiet {
		e.look(now)
	}
}

// BlockVerified records that the block in slot p is rebuilt and right. It keeps
// its slot until BlockWritten.
func (e *Engine) BlockVerified(p int) {
	e.slots[p].state = slotWriting
	e.setBlockState(e.slots[p].index, blockVerified)
}

// BlockFailed records that the block in slot p does not have its digest. If symbols came from the
// target, those may have been wrong, and all of it is dropped. Otherwise the sender is asked for
// the block's proof.
func (e *Engine) BlockFailed(now time.Duration, p int) {
	switch s := &e.slots[p]; {
	case s.stale || s.seeded:
		e.release(p, blockMissing)
		e.schedule(now)
	case e.UsesProofs():
		e.prove(now, p)
	default:
		e.failed(now, p)
	}
	e.rearm()
}

// BlockWritten records that the block in slot p is on the disk, or for a block
// of the manifest, kept elsewhere. The slot is free.
func (e *Engine) BlockWritten(now time.Duration, p int) {
	if s := &e.slots[p]; s.redo {
		e.verified--
		e.release(p, blockMissing)
		e.schedule(now)
		e.rearm()
		return
	}
	if e.slots[p].index < e.image {
		e.done++
	}
	e.written++
	e.release(p, blockVerified)
	if e.slow && len(e.free) == len(e.slots) && !e.quiet && !e.tight {
		e.slow = false // the stream does not keep the disk busy
	}
	if e.quiet && e.missing > 0 && e.want.at == 0 || e.subblocks.idle() {
		e.schedule(now)
		e.rearm()
	}
}
