package seed

import (
	"math/bits"
	"math/rand/v2"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

const (
	// Samples is how many blocks are compared at random. If none matches, the target counts
	// as one that holds nothing of the image.
	Samples = 64
	// MaxRun is the most blocks that a job digests.
	MaxRun = 4
	// maxRuns jobs that digest are under way at most: 16 MiB of the default blocks.
	maxRuns = 4
	// maxComparisons bounds the memory of blocks whose sub-blocks are compared.
	maxComparisons = 4
	// MaxJobs is how many jobs are under way at most.
	MaxJobs = maxRuns + maxComparisons
	// maxLists bounds the memory of sub-blocks' digests: twice what the receiver waits for
	// at a time. A list stays if its block arrives whole before the last digest does.
	maxLists = 256
	// seedShare: if the target holds less than 1/seedShare of a block, it is received whole.
	seedShare = 4
)

// Receiver is the part of the receiver's engine that seeding needs.
type Receiver interface {
	// IsMissing reports whether no symbol of a block has arrived or was found on the target.
	IsMissing(id block.ID) bool
	// MarkUnverified keeps blocks from being requested before they are compared.
	MarkUnverified(now time.Duration, r block.Range)
	// NextUnverified returns the first run of unverified blocks from a block on.
	NextUnverified(from uint32) (block.Range, bool)
	// Confirm reports whether the target holds a block.
	Confirm(now time.Duration, id block.ID, held bool)
	// RequestWhole requests a whole block.
	RequestWhole(now time.Duration, id block.ID)
	// ConfirmZeros records blocks that are zeros by the manifest, and appends the ones that
	// the driver has to write.
	ConfirmZeros(r block.Range, dst []block.Range) []block.Range
	// HandleSubblockDigests reports whether the receiver waits for the digests of these sub-blocks.
	HandleSubblockDigests(now time.Duration, p wire.SubblockDigests) (wanted bool)
}

// Config says what is received.
type Config struct {
	Image      block.Geometry
	SymbolSize int
	Receiver   Receiver
	Rand       *rand.Rand // chooses the samples
}

// Engine keeps track of one target's old content.
type Engine struct {
	cfg      Config
	manifest *codec.Manifest // nil before it came
	samples  []block.ID      // blocks that are still to be sampled
	checking bool            // every block is compared before it is requested
	next     uint32          // unverified blocks before it were handed out

	// Before the manifest: the digests of the blocks in read.
	digests []codec.Digest
	read    *block.Set

	lists    map[block.ID]*Subblocks
	complete []block.ID // of lists, those that can be compared

	runs        int // jobs under way that digest
	comparisons int // jobs under way that compare sub-blocks
}

// New returns an engine that knows nothing of the target yet.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, lists: map[block.ID]*Subblocks{}}
}

// Job is what a driver does with the target.
type Job struct {
	// Blocks are to be digested, MaxRun at most. If Subblocks is not nil, it is one block
	// whose sub-blocks are to be compared.
	Blocks    block.Range
	Subblocks *Subblocks
	Digest    codec.Digest // of the block by the manifest, with Subblocks
	sample    bool
}

// Result is the result of a job.
type Result struct {
	Job
	// Readable has bit i if block i of Blocks could be read. Without Subblocks, Digests has
	// its digest.
	Readable uint
	Digests  [MaxRun]codec.Digest
	// Have comes from SymbolsPresent, with Subblocks.
	Have block.Bits
}

// Outcome is what a driver has to do after a call.
type Outcome struct {
	// Began: the target holds some of the image. From now on every block is compared.
	Began bool
	// KeptBytes of the image are on the target already.
	KeptBytes uint64
	// Zeros are blocks to be made zeros on the target. It is appended to.
	Zeros []block.Range
	// Seed has symbols for the receiver's window, if Seed.K is not 0.
	Seed Seed
}

// Seed is what the target holds of a block: those of its K source symbols that are in Have.
type Seed struct {
	Block block.ID
	K     uint16
	Twin  bool // they are those of the block's twin
	Have  block.Bits
}

// NeedsManifest reports whether nothing can be requested before the manifest has come.
func (e *Engine) NeedsManifest() bool { return e.checking && e.manifest == nil }

// UnderWay is the count of jobs whose results have not come.
func (e *Engine) UnderWay() int { return e.runs + e.comparisons }

// CheckAll has every missing block compared before it is requested.
func (e *Engine) CheckAll(now time.Duration) {
	if e.checking {
		return
	}
	n := e.cfg.Image.BlockCount()
	e.checking, e.samples = true, nil
	if e.manifest == nil {
		e.digests = make([]codec.Digest, n)
		e.read = block.NewSet(uint64(n))
	}
	e.cfg.Receiver.MarkUnverified(now, block.Range{Lo: 0, Hi: uint64(n)})
}

// Present records that the target already held a block that has arrived.
func (e *Engine) Present(now time.Duration, out *Outcome) {
	if !e.checking {
		out.Began = true
		e.CheckAll(now)
	}
}

// SetManifest takes the manifest, once. It compares the digests that were read before, or
// chooses the samples.
func (e *Engine) SetManifest(now time.Duration, m *codec.Manifest, out *Outcome) {
	e.manifest = m
	if e.read != nil {
		for at := uint64(0); ; {
			run, ok := e.read.Next(at)
			if !ok {
				break
			}
			for at = run.Lo; at < run.Hi; at++ {
				e.compare(now, block.ID(at), e.digests[at], out)
			}
		}
		e.digests, e.read = nil, nil
	}
	if !e.checking {
		e.chooseSamples()
	}
}

// chooseSamples chooses the blocks to be sampled. Blocks of zeros prove nothing: any disk has
// them.
func (e *Engine) chooseSamples() {
	chosen := map[block.ID]bool{}
	for tries := 0; tries < 16*Samples && len(chosen) < Samples; tries++ {
		id := block.ID(e.cfg.Rand.Uint32N(e.cfg.Image.BlockCount()))
		if !chosen[id] && e.cfg.Receiver.IsMissing(id) && !e.manifest.IsZeroBlock(id) {
			chosen[id] = true
			e.samples = append(e.samples, id)
		}
	}
}

// Next returns a job, if one can be handed out now. targetBusy says that the target does not
// keep up with the writes; then no runs of blocks are read.
func (e *Engine) Next(targetBusy bool) (j Job, ok bool) {
	if len(e.complete) > 0 && e.comparisons < maxComparisons {
		id := e.complete[0]
		e.complete = e.complete[1:]
		j = Job{Blocks: one(id), Subblocks: e.lists[id], Digest: e.manifest.Digest(id)}
		delete(e.lists, id)
		e.comparisons++
		return j, true
	}
	if targetBusy || e.runs == maxRuns {
		return Job{}, false
	}
	if len(e.samples) > 0 {
		j = Job{Blocks: one(e.samples[0]), sample: true}
		e.samples = e.samples[1:]
	} else if !e.checking {
		return Job{}, false
	} else if j.Blocks, ok = e.nextRun(); !ok {
		return Job{}, false
	}
	e.runs++
	return j, true
}

func one(id block.ID) block.Range { return block.Range{Lo: uint64(id), Hi: uint64(id) + 1} }

// nextRun returns the next run to be digested. After the last run it starts over: a block can
// become unverified again after a part of it arrived for other clients.
func (e *Engine) nextRun() (block.Range, bool) {
	run, ok := e.cfg.Receiver.NextUnverified(e.next)
	if !ok && e.next > 0 && e.read == nil && e.runs == 0 {
		run, ok = e.cfg.Receiver.NextUnverified(0)
	}
	if ok {
		run.Hi = min(run.Hi, run.Lo+MaxRun)
		e.next = uint32(run.Hi)
	}
	return run, ok
}

// HandleResult handles the result of a job.
func (e *Engine) HandleResult(now time.Duration, r *Result, out *Outcome) {
	switch {
	case r.Subblocks != nil:
		e.comparisons--
		e.seed(now, r, out)
		return
	case r.sample:
		e.runs--
		if id := block.ID(r.Blocks.Lo); !e.checking && r.Readable != 0 && r.Digests[0] == e.manifest.Digest(id) {
			e.Present(now, out)
			e.compare(now, id, r.Digests[0], out)
		}
		return
	}
	e.runs--
	for i := range r.Blocks.Len() {
		id := r.Blocks.Lo + i
		switch {
		case r.Readable>>i&1 == 0:
			e.differs(now, block.ID(id), false, out)
		case e.manifest != nil:
			e.compare(now, block.ID(id), r.Digests[i], out)
		default:
			e.digests[id] = r.Digests[i]
			e.read.Add(one(block.ID(id)))
		}
	}
}

// compare compares a block's digest on the target with the manifest.
func (e *Engine) compare(now time.Duration, id block.ID, there codec.Digest, out *Outcome) {
	if there != e.manifest.Digest(id) {
		e.differs(now, id, true, out)
		return
	}
	if e.cfg.Receiver.IsMissing(id) {
		out.KeptBytes += uint64(e.cfg.Image.Size(id))
	}
	e.cfg.Receiver.Confirm(now, id, true)
}

// differs handles a block that the target does not hold. Zeros need no packets. A block that
// cannot be read is written whole: a write may repair a bad sector.
func (e *Engine) differs(now time.Duration, id block.ID, readable bool, out *Outcome) {
	if e.manifest != nil && e.manifest.IsZeroBlock(id) {
		out.Zeros = e.cfg.Receiver.ConfirmZeros(one(id), out.Zeros)
		return
	}
	e.cfg.Receiver.Confirm(now, id, false)
	if !readable {
		e.cfg.Receiver.RequestWhole(now, id)
	}
}

// seed decides whether the target holds enough of a block to be used. Of a block that is sent in
// another encoding that is so if the rest of its raw one has fewer symbols.
func (e *Engine) seed(now time.Duration, r *Result, out *Outcome) {
	id, held := block.ID(r.Blocks.Lo), 0
	for _, w := range r.Have {
		held += bits.OnesCount64(w)
	}
	k, sent := int(r.Subblocks.k), int(r.Subblocks.sent)
	if held*seedShare < k && sent == 0 || sent != 0 && k-held >= sent {
		e.cfg.Receiver.RequestWhole(now, id)
		return
	}
	out.Seed = Seed{Block: id, K: r.Subblocks.k, Twin: sent != 0, Have: r.Have}
}
