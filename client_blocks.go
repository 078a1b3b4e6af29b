package multiserver

import (
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

// solve rebuilds and verifies blocks until toSolve closes.
func (s *symbolClient) solve() {
	for p := range s.toSolve {
		s.done <- s.solveSlot(p)
	}
}

func (s *symbolClient) solveSlot(at int) event {
	p := &s.slots[at]
	if err := p.decoder.Solve(); err != nil {
		return event{slot: at, kind: singular, more: max(1, p.decoder.Needed())}
	}
	g := s.found.session.Geometry
	if p.object == wire.Manifest {
		g.ImageSize = uint64(len(s.manifestBytes))
	}
	plain, digest, err := codec.Decode(p.buf, int(g.Size(p.id)))
	if err != nil {
		return event{slot: at, kind: damaged}
	}
	p.plain, p.digest = plain, digest
	return event{slot: at, kind: verified}
}

// write writes what is verified until toWrite closes. The first error goes to fail.
func (s *symbolClient) write(fail func(error)) {
	g := s.found.session.Geometry
	failed := false
	put := func(p writeJob) {
		if failed {
			return
		}
		var err error
		if p.slot >= 0 {
			sl := &s.slots[p.slot]
			if s.compares > 0 {
				if s.compares--; s.holds(sl.plain, g.Offset(sl.id)) {
					s.compares = 0
					s.done <- event{kind: there}
					return
				}
			}
			err = s.out.WriteAt(sl.plain, g.Offset(sl.id))
		} else {
			end := min(p.zeros.Hi*uint64(g.BlockSize), g.ImageSize)
			start := p.zeros.Lo * uint64(g.BlockSize)
			err = s.out.WriteZeros(start, end-start)
		}
		if err != nil {
			failed = true
			fail(err)
		}
	}
	if !s.inOrder {
		for p := range s.toWrite {
			put(p)
			s.done <- writtenEvent(p)
		}
		return
	}
	// In order: what is not next waits.
	zeros := block.NewSet(uint64(g.BlockCount()))
	waiting := map[uint64]writeJob{}
	next := uint64(0)
	for p := range s.toWrite {
		if p.slot < 0 {
			zeros.Add(p.zeros)
			s.done <- writtenEvent(p) // they take no room
		} else {
			waiting[uint64(s.slots[p.slot].id)] = p
		}
		for next < uint64(g.BlockCount()) {
			if w, ok := waiting[next]; ok {
				put(w)
				delete(waiting, next)
				next++
				s.done <- writtenEvent(w)
				s.done <- event{kind: reached, position: uint32(next)}
			} else if run, ok := zeros.Next(next); ok && run.Lo == next {
				run.Hi = min(run.Hi, next+1)
				put(writeJob{slot: -1, zeros: run})
				next++
			} else {
				break
			}
		}
		s.done <- event{kind: reached, position: uint32(next)}
	}
}

func writtenEvent(p writeJob) event {
	return event{slot: p.slot, zeros: uint32(p.zeros.Len()), kind: written}
}
