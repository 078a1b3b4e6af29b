package fetch

import (
	"math/bits"
	"sync"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/seed"
	"multiserver/internal/target"
)

// checkers read and digest the target side by side.
const checkers = 2

// oldContent reads what the target held before, as seed's engine says.
type oldContent struct {
	engine     *seed.Engine
	content    target.Held // nil if nothing there can be of use
	image      block.Geometry
	symbolSize int
	// jobs go from hand to check, and close closes it. It has room for all of them.
	jobs  chan contentJob
	spare [][]byte // memory of encoded blocks
}

// contentJob is a job with the memory that it needs.
type contentJob struct {
	seed.Job
	buf []byte // room for the encoded block, if its sub-blocks are compared
}

// contentResult is what came of a contentJob.
type contentResult struct {
	seed.Result
	buf []byte // the block as the server encodes it, where sub-blocks are the image's
}

func newOldContent(content target.Held, image block.Geometry, symbolSize int, engine *seed.Engine) *oldContent {
	return &oldContent{
		engine: engine, content: content, image: image, symbolSize: symbolSize,
		jobs: make(chan contentJob, seed.MaxJobs),
	}
}

func (o *oldContent) start(line *startLine, work *sync.WaitGroup, done chan<- event) {
	if o.content == nil {
		return
	}
	for range checkers {
		line.behind(work, func() { o.check(done) })
	}
}

func (o *oldContent) close() { close(o.jobs) }

// hand hands out what is to be done next.
func (o *oldContent) hand(diskBusy bool) {
	if o.content == nil {
		return
	}
	for {
		job, ok := o.engine.Next(diskBusy)
		if !ok {
			return
		}
		c := contentJob{Job: job}
		if job.Subblocks != nil {
			c.buf = o.spareBlock()
		}
		o.jobs <- c
	}
}

// spareBlock is room for an encoded block and the padding of its last symbol.
func (o *oldContent) spareBlock() []byte {
	if n := len(o.spare); n > 0 {
		b := o.spare[n-1]
		o.spare = o.spare[:n-1]
		return b
	}
	return make([]byte, codec.HeaderSize+int(o.image.BlockSize)+o.symbolSize)
}

// release takes back the memory of a result.
func (o *oldContent) release(r *contentResult) {
	if r.buf != nil {
		o.spare = append(o.spare, r.buf)
	}
}

// check does jobs until close.
func (o *oldContent) check(done chan<- event) {
	plain := make([]byte, o.image.BlockSize)
	var there []codec.SubblockDigest
	for job := range o.jobs {
		r := &contentResult{seed.Result{Job: job.Job}, job.buf}
		if job.Subblocks == nil {
			o.digest(r, plain)
		} else {
			there = o.compare(r, there)
		}
		done <- compared{r}
	}
}

// digest reads a run of blocks. What cannot be read is written anew, which mends what can be
// mended.
func (o *oldContent) digest(r *contentResult, plain []byte) {
	for i := range r.Blocks.Len() {
		id := block.ID(r.Blocks.Lo + i)
		n := o.image.Size(id)
		if o.content.ReadAt(plain[:n], o.image.Offset(id)) == nil {
			r.Digests[i] = codec.Sum(plain[:n])
			r.Readable |= 1 << i
		}
	}
	o.content.DropCache(o.image.Offset(block.ID(r.Blocks.Lo)), r.Blocks.Len()*uint64(o.image.BlockSize))
}

// compare reads one block and looks which sub-blocks are the image's.
func (o *oldContent) compare(r *contentResult, there []codec.SubblockDigest) []codec.SubblockDigest {
	id := block.ID(r.Blocks.Lo)
	n := o.image.Size(id)
	plain := r.buf[codec.HeaderSize:][:n]
	if o.content.ReadAt(plain, o.image.Offset(id)) != nil {
		return there
	}
	r.Readable = 1
	there = codec.AppendSubblockDigests(there[:0], plain)
	r.Have = seed.SymbolsHeld(r.Subblocks, there, n, o.symbolSize)
	header := codec.Header{Codec: codec.Raw, PlainSize: uint32(n), BodySize: uint32(n), Digest: r.Digest}
	header.AppendTo(r.buf[:0])
	clear(r.buf[codec.HeaderSize+n:])
	return there
}

// eachSymbol calls f with each source symbol in have, a bit each, of an encoded block.
func eachSymbol(have []uint64, encoded []byte, symbolSize int, f func(id fec.SymbolID, data []byte)) {
	for w, set := range have {
		for ; set != 0; set &= set - 1 {
			i := w*64 + bits.TrailingZeros64(set)
			f(fec.SymbolID(i), encoded[i*symbolSize:][:symbolSize])
		}
	}
}
