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

// oldContent reads the target's old content, as seed's engine says.
type oldContent struct {
	engine     *seed.Engine
	content    target.ContentReader // nil if it is not used
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

// contentResult is the result of a contentJob.
type contentResult struct {
	seed.Result
	buf []byte // the block as the server encodes it, as far as its sub-blocks match
}

func newOldContent(content target.ContentReader, image block.Geometry, symbolSize int, engine *seed.Engine) *oldContent {
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

// hand hands out the next jobs.
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

// spareBlock returns memory for an encoded block and the padding of its last symbol.
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

// digest reads a run of blocks. A block that cannot be read is received and written again: a
// write may repair a bad sector.
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

// compare reads one block and finds the sub-blocks that match the image.
func (o *oldContent) compare(r *contentResult, there []codec.SubblockDigest) []codec.SubblockDigest {
	id := block.ID(r.Blocks.Lo)
	n := o.image.Size(id)
	plain := r.buf[codec.HeaderSize:][:n]
	if o.content.ReadAt(plain, o.image.Offset(id)) != nil {
		return there
	}
	r.Readable = 1
	there = codec.AppendSubblockDigests(there[:0], plain)
	r.Have = seed.SymbolsPresent(r.Subblocks, there, n, o.symbolSize)
	header := codec.Header{Codec: codec.Raw, PlainSize: uint32(n), BodySize: uint32(n), Digest: r.Digest}
	header.AppendTo(r.buf[:0])
	clear(r.buf[codec.HeaderSize+n:])
	return there
}

// eachSymbol calls f with each source symbol in have of an encoded block.
func eachSymbol(have block.Bits, encoded []byte, symbolSize int, f func(id fec.SymbolID, data []byte)) {
	for w, set := range have {
		for ; set != 0; set &= set - 1 {
			i := w*64 + bits.TrailingZeros64(set)
			f(fec.SymbolID(i), encoded[i*symbolSize:][:symbolSize])
		}
	}
}
