package sender

import (
	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// state is all that is kept of a block: 16 bytes.
type state struct {
	k             uint16 // source symbols; 0 until the driver said Ready
	repairPending uint16 // repair symbols still to send
	next          uint32 // low 24 bits: the next repair symbol; the flags above
	first         uint32 // low 32 bits of the sequence of the last burst's first packet
	span          uint16 // from there to its last packet, in units of spanUnit, rounded up
	count         uint16 // symbols sent in the burst
}

const (
	flagZero    = 1 << 24 // the block is zeros
	flagSending = 1 << 25 // its source symbols are being sent
	flagFresh   = 1 << 26 // the next symbol begins a burst
	symbolMask  = 1<<24 - 1
	spanUnit    = 16
	maxBurst    = 1<<16 - 1
	staleBursts = 1 << 31 // a burst that old is before whatever a report has seen
)

func (s *state) has(flag uint32) bool { return s.next&flag != 0 }
func (s *state) set(flag uint32)      { s.next |= flag }
func (s *state) clear(flag uint32)    { s.next &^= flag }

// nextRepair returns the next repair symbol: each row is sent once, until 24 bits
// are through.
func (s *state) nextRepair() block.SymbolID {
	id := s.next & symbolMask
	following := id + 1
	if block.SymbolID(following) > block.MaxSymbolID {
		following = uint32(s.k)
	}
	s.next = s.next&^symbolMask | following
	return block.SymbolID(id)
}

// sent counts packet q into the burst, or begins one with it.
func (s *state) sent(q wire.Sequence) {
	if s.has(flagFresh) {
		s.clear(flagFresh)
		s.first, s.span, s.count = uint32(q), 0, 0
	}
	if s.count < maxBurst {
		s.count++
	}
	s.span = uint16(min((uint32(q)-s.first+spanUnit-1)/spanUnit, 1<<16-1))
}

// coming is how many symbols of the last burst followed packet seen, when now is the
// last packet sent: all of a burst that began later, none of one that was over, and
// its share of one in between.
func (s *state) coming(seen, now wire.Sequence) int {
	if s.count == 0 {
		return 0
	}
	age := uint32(now) - s.first // packets since the burst's first
	if age >= staleBursts || wire.Sequence(age) > now {
		return 0
	}
	first := now - wire.Sequence(age)
	if seen < first {
		return int(s.count)
	}
	span := min(uint64(s.span)*spanUnit, uint64(age))
	passed := uint64(seen - first)
	if passed >= span {
		return 0
	}
	return int((uint64(s.count)*(span-passed) + span/2) / span)
}

// sentAfter reports whether the last burst began after packet seen.
func (s *state) sentAfter(seen, now wire.Sequence) bool {
	age := uint32(now) - s.first
	return s.count > 0 && age < staleBursts && wire.Sequence(age) < now-min(seen, now)
}
