package fetch

import (
	"fmt"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/wire"
)

// slots is the memory of the receiver's window. Each slot holds one block, from its first
// symbol until it is written.
type slots struct {
	all        []slot
	blockBytes int // of the image's blocks
	symbolSize int
	// toSolve goes from rebuild to solve; close closes it. It has room for all slots.
	toSolve chan int
	// solve's alone: the decoder, and the memory that the next block is decoded into.
	decoder codec.Decoder
	spare   []byte
}

// slot is the memory of one block. It is the session's goroutine's until rebuild, then solve's
// until its event, then the session's and the writer's.
type slot struct {
	buf        []byte // K whole symbols; once verified, it holds plain
	memory     int    // cap(buf), as open saw it: the session's at any time
	decoder    fec.Decoder
	object     wire.Object
	id         block.ID
	plainBytes int    // that the block has
	plain      []byte // once verified, a part of buf
	digest     codec.Digest
	// Of a proven block: the digests of its groups, and the source symbols that were in when it was handed
	// over. Its symbols go into buf, and not through the decoder.
	groups []codec.GroupDigest
	have   block.Bits
}

func newSlots(window int, image block.Geometry, symbolSize int) *slots {
	return &slots{
		all: make([]slot, window), blockBytes: int(image.BlockSize), symbolSize: symbolSize,
		toSolve: make(chan int, window),
	}
}

// held is how many bytes the slots take.
func (s *slots) held() uint64 {
	n := 0
	for i := range s.all {
		n += s.all[i].memory
	}
	return uint64(n)
}

// release gives up the memory of free slots, and reports whether there was any.
func (s *slots) release(free []uint16) (any bool) {
	for _, at := range free {
		p := &s.all[at]
		any = any || p.buf != nil
		*p = slot{}
	}
	return any
}

func (s *slots) close() { close(s.toSolve) }

// open begins a block of k source symbols, which the engine has checked, and of plainBytes.
func (s *slots) open(at int, object wire.Object, id block.ID, k uint16, plainBytes int) {
	p := &s.all[at]
	p.object, p.id, p.plainBytes, p.groups = object, id, plainBytes, nil
	whole := int(k) * s.symbolSize
	if cap(p.buf) < whole {
		p.buf = s.memory(whole)
	}
	p.memory = cap(p.buf)
	p.buf = p.buf[:whole]
	if err := p.decoder.Reset(p.buf, s.symbolSize); err != nil {
		panic(fmt.Sprintf("fetch: K of %d: %v", k, err))
	}
}

// memory returns memory for any block, of least bytes at least.
func (s *slots) memory(least int) []byte {
	return make([]byte, max(least, s.blockBytes+codec.HeaderSize+s.symbolSize))
}

// add puts a symbol, whose size was checked, into a block.
func (s *slots) add(at int, id fec.SymbolID, data []byte) {
	if p := &s.all[at]; p.groups != nil {
		place := p.buf[int(id)*s.symbolSize:][:s.symbolSize]
		clear(place[copy(place, data):])
		return
	}
	if _, err := s.all[at].decoder.Add(id, data); err != nil {
		panic(fmt.Sprintf("fetch: symbol of %d bytes: %v", len(data), err))
	}
}

// rebuild hands over a block that has enough symbols.
func (s *slots) rebuild(at int) { s.toSolve <- at }

// solve rebuilds and verifies blocks until close.
func (s *slots) solve(done chan<- event) {
	for at := range s.toSolve {
		done <- s.solveSlot(at)
	}
}

func (s *slots) solveSlot(at int) event {
	p := &s.all[at]
	if p.groups != nil {
		wrong, complete := p.checkGroups(s.symbolSize)
		failed := complete && !s.decode(p)
		return groupsChecked{at, wrong, failed}
	}
	if err := p.decoder.Solve(); err != nil {
		return needMoreSymbols{at, max(1, p.decoder.Needed())}
	}
	if !s.decode(p) {
		return digestFailed{at}
	}
	return blockVerified{at}
}

// decode decodes and verifies a rebuilt block.
func (s *slots) decode(p *slot) (ok bool) {
	if s.spare == nil {
		s.spare = s.memory(0)
	}
	plain, digest, err := s.decoder.Decode(s.spare[:0], p.buf, p.plainBytes)
	if err != nil {
		return false
	}
	if &plain[0] == &s.spare[0] { // decoded: the encoded block's memory is for the next one
		p.buf, s.spare = s.spare, p.buf[:cap(p.buf)]
	}
	p.plain, p.digest = plain, digest
	return true
}
