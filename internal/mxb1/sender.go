package mxb1

import "multiserver/internal/block"

// Sender is the server's engine: the set of blocks still to send, walked in order
// and round again. A block that is asked for twice before it is sent goes once.
type Sender struct {
	pending *block.Set
	pos     uint64 // where the walk goes on
}

// NewSender returns a Sender for an image of sizeBytes that owes nothing.
func NewSender(sizeBytes uint64) *Sender {
	return &Sender{pending: block.NewSet(BlockCount(sizeBytes))}
}

// Request adds what a client asks for. The end of the range is clamped, since an
// original client asks for one block too many. It returns the count of blocks
// asked for, whether or not they were owed already, and ErrRange if none exists.
func (s *Sender) Request(r BlockRequest) (uint64, error) {
	blocks := block.Range{Lo: uint64(r.First), Hi: min(uint64(r.Last)+1, s.pending.N())}
	if blocks.Lo >= blocks.Hi {
		return 0, ErrRange
	}
	s.pending.Add(blocks)
	return blocks.Len(), nil
}

// Next takes the next run of at most max blocks from what is owed. It returns an
// empty range when nothing is.
func (s *Sender) Next(max uint64) block.Range {
	r, ok := s.pending.Next(s.pos)
	if !ok {
		if r, ok = s.pending.Next(0); !ok {
			return block.Range{}
		}
	}
	r.Hi = min(r.Hi, r.Lo+max)
	s.pending.Remove(r)
	s.pos = r.Hi
	return r
}

// Pending is the count of blocks still to send.
func (s *Sender) Pending() uint64 { return s.pending.Count() }
