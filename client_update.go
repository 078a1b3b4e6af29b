package multiserver

import (
	"bytes"
	"maps"
	"math/bits"
	"math/rand/v2"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/receiver"
	"multiserver/internal/target"
	"multiserver/internal/wire"
)

// Constants of the check of what a target holds already.
const (
	// samples is how many blocks of a target are compared before it counts as one that
	// holds nothing of the image.
	samples = 64
	// checkers read and digest the target side by side; each is handed checkBlocks at
	// a time, and checksInFlight are under way, which is 16 MiB of the default blocks.
	checkers       = 2
	checkBlocks    = 4
	checksInFlight = 4
	// fillsInFlight bounds the memory of blocks whose pieces are compared.
	fillsInFlight = 4
	// maxPieceLists bounds the memory of pieces' digests: twice what the engine waits for
	// at a time. Of blocks that came whole before the last of their pieces, lists stay.
	maxPieceLists = 256
)

const heldAlready = "the target holds some of the image already: only what differs is asked for"

// checking is what a client does about what its target held before: blocks that are
// there already are not asked for, nor are those parts of others. loop owns it.
type checking struct {
	file *target.File // nil if nothing there can be of use
	// jobs go from loop to check, which has room for all of them; loop closes it.
	jobs     chan checkJob
	underWay int
	samples  []uint32       // blocks that are still to be sampled
	doubting bool           // what has not come is checked before it is asked for
	next     uint32         // doubted blocks before it were handed to check
	own      []codec.Digest // of the blocks in read
	read     *block.Set     // blocks that were read before the manifest was there
	pieces   map[block.ID]*pieceList
	complete []block.ID // of pieces, those that can be compared
	spare    [][]byte   // memory of blocks
	fills    int        // jobs with memory of a block
}

// pieceList are the digests of a block's pieces, as they come.
type pieceList struct {
	k       uint16
	digests []codec.SubblockDigest
	known   []bool
	missing int
}

// checkJob is what check does: it digests a run of blocks, or compares a block's pieces.
type checkJob struct {
	run    block.Range
	sample bool
	list   *pieceList
	whole  codec.Digest // of the block, if list is not nil
	buf    []byte       // room for the encoded block, if list is not nil
}

// checkResult is what came of it.
type checkResult struct {
	checkJob
	digests [checkBlocks]codec.Digest
	// readable has a bit for each block of run that could be read at all.
	readable uint
	have     []uint64 // source symbols that buf holds as they are in the image
}

// settleTarget returns out if what it holds may be of use, once that is on the device: nil if
// not. It may take as long as a disk needs for what others left in the page cache.
func (c *Client) settleTarget(out target.Target) *target.File {
	file, ok := out.(*target.File)
	if !ok || c.cfg.Fresh || file.New() || !file.Readable() {
		return nil
	}
	if err := file.FlushCache(); err != nil {
		c.cfg.Log.Debug("what the target holds is not looked at", "err", err)
		return nil
	}
	return file
}

// beginUpdate decides what is done about the content of a target that has settled.
func (s *symbolClient) beginUpdate(file *target.File) {
	if file == nil {
		return
	}
	s.checks.file = file
	s.checks.jobs = make(chan checkJob, checksInFlight+fillsInFlight)
	s.checks.pieces = map[block.ID]*pieceList{}
	switch {
	case s.cfg.Update:
		s.doubt()
	case s.session.Completion.ManifestSize == 0:
		s.compares = samples
	}
}

// doubt lets nothing be asked for any more before it was checked.
func (s *symbolClient) doubt() {
	u, n := &s.checks, s.session.Geometry.BlockCount()
	if u.doubting {
		return
	}
	u.doubting, u.samples = true, nil
	if s.manifest == nil {
		u.own = make([]codec.Digest, n)
		u.read = block.NewSet(uint64(n))
	}
	s.engine.MarkUnverified(s.now(), block.Range{Lo: 0, Hi: uint64(n)})
}

// sample chooses the blocks whose digests tell whether the target holds some of the
// image: not of zeros, which any disk has.
func (s *symbolClient) sample() {
	u, n := &s.checks, s.session.Geometry.BlockCount()
	if u.file == nil || u.doubting {
		return
	}
	chosen := map[uint32]bool{}
	for tries := 0; tries < 16*samples && len(chosen) < samples; tries++ {
		id := rand.Uint32N(n)
		if !chosen[id] && s.engine.IsMissing(block.ID(id)) && !s.manifest.IsZeroBlock(id) {
			chosen[id] = true
			u.samples = append(u.samples, id)
		}
	}
}

// holds tells whether the target has a block's bytes at its place already. It runs on
// write's goroutine.
func (s *symbolClient) holds(plain []byte, off uint64) bool {
	there := make([]byte, len(plain))
	return s.checks.file.ReadAt(there, off) == nil && bytes.Equal(there, plain)
}

// judgeRead holds what was read before the manifest came against it.
func (s *symbolClient) judgeRead() {
	u := &s.checks
	if u.read == nil {
		return
	}
	_ = eachOf(u.read, func(id uint32) error { // which never fails
		s.judge(block.ID(id), u.own[id])
		return nil
	})
	u.own, u.read = nil, nil
}

// handChecks hands check what is to be done next, as long as the target keeps up with
// what is written to it.
func (s *symbolClient) handChecks() {
	u := &s.checks
	if u.file == nil {
		return
	}
	for len(u.complete) > 0 && u.fills < fillsInFlight {
		id := u.complete[0]
		u.complete = u.complete[1:]
		u.fills++
		s.hand(checkJob{
			run:  block.Range{Lo: uint64(id), Hi: uint64(id) + 1},
			list: u.pieces[id], whole: s.manifest.Digest(uint32(id)), buf: s.spareBlock(),
		})
		delete(u.pieces, id)
	}
	for u.underWay-u.fills < checksInFlight && len(s.toWrite) < len(s.slots)/4 {
		switch {
		case len(u.samples) > 0:
			id := uint64(u.samples[0])
			u.samples = u.samples[1:]
			s.hand(checkJob{run: block.Range{Lo: id, Hi: id + 1}, sample: true})
		case u.doubting:
			run, ok := s.nextDoubted()
			if !ok {
				return
			}
			s.hand(checkJob{run: run})
		default:
			return
		}
	}
}

// nextDoubted is the next run to be checked. When all were, it begins anew: blocks of which
// a part came for others may be doubted again.
func (s *symbolClient) nextDoubted() (block.Range, bool) {
	u := &s.checks
	run, ok := s.engine.NextUnverified(u.next)
	if !ok && u.next > 0 && u.read == nil && u.underWay == u.fills {
		run, ok = s.engine.NextUnverified(0)
	}
	if ok {
		run.Hi = min(run.Hi, run.Lo+checkBlocks)
		u.next = uint32(run.Hi)
	}
	return run, ok
}

func (s *symbolClient) hand(j checkJob) {
	s.checks.underWay++
	s.checks.jobs <- j
}

// spareBlock is room for an encoded block and the padding of its last symbol.
func (s *symbolClient) spareBlock() []byte {
	u := &s.checks
	if n := len(u.spare); n > 0 {
		b := u.spare[n-1]
		u.spare = u.spare[:n-1]
		return b
	}
	return make([]byte, codec.HeaderSize+int(s.session.Geometry.BlockSize)+int(s.session.SymbolSize))
}

// check does its jobs until there are no more.
func (s *symbolClient) check() {
	g := s.found.session.Geometry
	size := int(s.found.session.SymbolSize)
	plain := make([]byte, g.BlockSize)
	var own []codec.SubblockDigest
	for job := range s.checks.jobs {
		r := checkResult{checkJob: job}
		for i := range job.run.Len() {
			id := block.ID(job.run.Lo + i)
			n := g.Size(id)
			if job.list == nil {
				// What cannot be read is written anew, which mends what can be mended.
				if s.checks.file.ReadAt(plain[:n], g.Offset(id)) == nil {
					r.digests[i] = codec.Sum(plain[:n])
					r.readable |= 1 << i
				}
				continue
			}
			if s.checks.file.ReadAt(job.buf[codec.HeaderSize:][:n], g.Offset(id)) != nil {
				continue
			}
			r.readable |= 1
			own = codec.AppendSubblockDigests(own[:0], job.buf[codec.HeaderSize:][:n])
			r.have = symbolsHeld(job.list, own, n, size)
			// The block as the server encodes it, where the pieces are the image's.
			header := codec.Header{Codec: codec.Raw, PlainSize: uint32(n), BodySize: uint32(n), Digest: job.whole}
			header.AppendTo(job.buf[:0])
			clear(job.buf[codec.HeaderSize+n:])
		}
		if job.list == nil {
			s.checks.file.DropCache(g.Offset(block.ID(job.run.Lo)), job.run.Len()*uint64(g.BlockSize))
		}
		s.done <- event{kind: checked, check: &r}
	}
}

// symbolsHeld are the source symbols, one bit each, that lie within pieces of a block
// of n bytes that are the image's. All of them lack the bytes of a piece that is not.
func symbolsHeld(list *pieceList, own []codec.SubblockDigest, n, symbolSize int) []uint64 {
	have := make([]uint64, (int(list.k)+63)/64)
	if len(own) != len(list.digests) || (codec.HeaderSize+n+symbolSize-1)/symbolSize != int(list.k) {
		return have // it goes encoded otherwise
	}
	for i := range int(list.k) {
		// The bytes of the plain block that symbol i carries.
		lo := max(0, i*symbolSize-codec.HeaderSize)
		hi := min(n, (i+1)*symbolSize-codec.HeaderSize)
		same := true
		for p := lo / codec.SubblockSize; same && p*codec.SubblockSize < hi; p++ {
			same = own[p] == list.digests[p]
		}
		if same {
			have[i/64] |= 1 << (i % 64)
		}
	}
	return have
}

// checkedRun takes in what check found.
func (s *symbolClient) checkedRun(r *checkResult) {
	u := &s.checks
	u.underWay--
	switch {
	case r.list != nil:
		u.fills--
		s.fill(r)
		u.spare = append(u.spare, r.buf)
	case r.sample:
		if id := block.ID(r.run.Lo); !u.doubting && r.readable != 0 && r.digests[0] == s.manifest.Digest(uint32(id)) {
			s.cfg.Log.Info(heldAlready, "output", s.out.Name())
			s.doubt()
			s.judge(id, r.digests[0])
		}
	default:
		for i := range r.run.Len() {
			id := r.run.Lo + i
			switch {
			case r.readable>>i&1 == 0:
				s.differs(block.ID(id), false)
			case s.manifest != nil:
				s.judge(block.ID(id), r.digests[i])
			default:
				u.own[id] = r.digests[i]
				u.read.Add(block.Range{Lo: id, Hi: id + 1})
			}
		}
	}
}

// judge tells the engine whether the target holds block id, whose digest there is own.
func (s *symbolClient) judge(id block.ID, own codec.Digest) {
	if own != s.manifest.Digest(uint32(id)) {
		s.differs(id, true)
		return
	}
	if s.engine.IsMissing(id) {
		s.counts.BytesKept += uint64(s.session.Geometry.Size(id))
	}
	s.engine.Confirm(s.now(), id, true)
}

// differs: the target does not hold block id. Zeros need nobody.
func (s *symbolClient) differs(id block.ID, readable bool) {
	if s.manifest != nil && s.manifest.IsZeroBlock(uint32(id)) {
		s.runs = s.engine.ConfirmZeros(block.Range{Lo: uint64(id), Hi: uint64(id) + 1}, s.runs[:0])
		for _, run := range s.runs {
			s.takeZeros(run)
		}
		return
	}
	s.engine.Confirm(s.now(), id, false)
	if !readable {
		s.engine.RequestWhole(s.now(), id)
	}
}

// takePieces gathers the digests of a block's pieces.
func (s *symbolClient) takePieces(p wire.SubblockDigests) {
	u := &s.checks
	if wanted := s.engine.HandleSubblockDigests(s.now(), p); !wanted || u.file == nil || s.manifest == nil {
		return
	}
	l := u.pieces[p.Block]
	n := (s.session.Geometry.Size(p.Block) + codec.SubblockSize - 1) / codec.SubblockSize
	if l != nil && l.missing == 0 {
		return // it waits to be compared
	}
	if l == nil || l.k != p.K {
		if len(u.pieces) >= maxPieceLists { // what is still wanted of these comes again
			maps.DeleteFunc(u.pieces, func(_ block.ID, l *pieceList) bool { return l.missing > 0 })
		}
		l = &pieceList{k: p.K, digests: make([]codec.SubblockDigest, n), known: make([]bool, n), missing: n}
		u.pieces[p.Block] = l
	}
	for i := range p.Digests.Len() {
		if at := int(p.First) + i; at < n && !l.known[at] {
			l.digests[at], l.known[at] = codec.SubblockDigest(p.Digests.At(i)), true
			l.missing--
		}
	}
	if l.missing == 0 {
		u.complete = append(u.complete, p.Block)
	}
}

// dropPieces forgets what came of pieces: in another session, blocks may be encoded
// otherwise.
func (s *symbolClient) dropPieces() {
	clear(s.checks.pieces)
	s.checks.complete = nil
}

// fill puts what the target holds of a block into the window, as if it had come.
func (s *symbolClient) fill(r *checkResult) {
	id := block.ID(r.run.Lo)
	held := 0
	for _, w := range r.have {
		held += bits.OnesCount64(w)
	}
	if held*4 < int(r.list.k) {
		s.engine.RequestWhole(s.now(), id)
		return
	}
	t := s.engine.SeedSlot(s.now(), id, r.list.k, r.have)
	if t.Verdict != receiver.Keep {
		return
	}
	p := &s.slots[t.Slot]
	size := int(s.session.SymbolSize)
	if t.First {
		s.openSlot(p, wire.Image, id, r.list.k)
	}
	for w, set := range r.have {
		for ; set != 0; set &= set - 1 {
			i := w*64 + bits.TrailingZeros64(set)
			s.add(p, fec.SymbolID(i), r.buf[i*size:][:size])
		}
	}
	if t.Complete {
		s.solving++
		s.toSolve <- t.Slot
	}
}
