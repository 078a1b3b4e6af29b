package receiver

import "multiserver/internal/wire"

// stream counts the packets of a stream by their sequence.
type stream struct {
	first     wire.Sequence // the first that was expected; 0 before
	highest   wire.Sequence
	announced wire.Sequence // the highest that was told before the first came
	recent    uint64        // bit i: highest − i has come
	newest    wire.Sequence // the highest that has come
	received  uint64
	dropped   uint64
	drops     drops

	// Loss over about the last lossSpan packets.
	fromSequence wire.Sequence
	fromReceived uint64
	lately       float64 // share of packets lost in the span before
	weight       float64 // packets that lately rests on
}

// drops tells gaps that the own socket made from those that the wire made. The system tells of
// a drop at once. The gap shows later, behind all that still waits in the socket.
type drops struct {
	gaps   uint64        // packets missing in the gaps that showed since the last recordDrops
	unseen uint64        // packets dropped at most, whose gaps have not shown yet
	until  wire.Sequence // by when they have
}

// recordDrops records that the own socket dropped up to count packets since the last call.
// Gaps that showed before that call are the wire's.
func (s *stream) recordDrops(count uint64) {
	now := min(count, s.drops.gaps)
	s.dropped += now
	s.drops.gaps = 0
	if count > now {
		s.drops.unseen += count - now
		s.drops.until = s.highest + maxQueued
	}
}

// recordGap records that missing packets before highest did not come.
func (s *stream) recordGap(missing uint64) {
	if s.highest > s.drops.until { // more was told than was dropped
		s.drops.unseen = 0
	}
	dropped := min(missing, s.drops.unseen)
	s.dropped += dropped
	s.drops.unseen -= dropped
	s.drops.gaps += missing - dropped
}

// recordArrival records packet q, and reports whether it is new: a copy within lateSpan is not.
func (s *stream) recordArrival(q wire.Sequence) bool {
	switch d := int64(q - s.highest); {
	case s.first == 0:
		s.first, s.fromSequence = q, q
		s.highest, s.recent = q, 1
	case d > 0:
		s.recordGap(uint64(d) - 1)
		s.advance(q)
		s.recent |= 1
	case d > -lateSpan:
		bit := uint64(1) << uint(-d)
		if s.recent&bit != 0 {
			return false
		}
		s.recent |= bit
	}
	s.newest = max(s.newest, q)
	s.received++
	return true
}

// advance records that q was sent.
func (s *stream) advance(q wire.Sequence) {
	if q <= s.highest {
		return
	}
	if d := q - s.highest; d < lateSpan {
		s.recent <<= d
	} else {
		s.recent = 0
	}
	s.highest = q
}

// retract forgets what was recorded beyond q, which was not sent.
func (s *stream) retract(q wire.Sequence) {
	s.highest, s.announced, s.newest = min(s.highest, q), min(s.announced, q), min(s.newest, q)
	s.first, s.fromSequence = min(s.first, max(q, 1)), min(s.fromSequence, max(q, 1))
	s.recent, s.drops = 0, drops{}
}

// recordSent records that q was sent, as a packet beside the stream says. Before the first packet
// nothing counts as lost.
func (s *stream) recordSent(q wire.Sequence) {
	if s.first != 0 {
		if q > s.highest {
			s.recordGap(uint64(q - s.highest))
		}
		s.advance(q)
	} else {
		s.announced = max(s.announced, q)
	}
}

// seen is up to where the receiver knows what it lacks.
func (s *stream) seen() wire.Sequence { return max(s.highest, s.announced) }

// counts returns how many packets came and were lost so far.
func (s *stream) counts() wire.PacketCounts {
	c := wire.PacketCounts{Received: s.received, Dropped: s.dropped}
	if s.first != 0 {
		if expected := uint64(s.highest-s.first) + 1; expected > s.received+s.dropped {
			c.Lost = expected - s.received - s.dropped
		}
	}
	return c
}

// loss is the share of packets lost lately.
func (s *stream) loss() float64 {
	expected := float64(int64(s.highest-s.fromSequence) + 1) // 0 right after the span ended
	missing := max(0, expected-float64(s.received-s.fromReceived))
	// The estimate starts from one loss in a hundred packets.
	loss := (missing + s.lately*s.weight + 1) / (expected + s.weight + 100)
	if expected >= lossSpan {
		s.lately, s.weight = loss, min(expected+s.weight, lossSpan)
		s.fromSequence, s.fromReceived = s.highest+1, s.received
	}
	return loss
}
